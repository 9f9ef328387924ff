"""Model repositories that cannot become a version, each with the stage and the reason that its authors read."""

from dataclasses import dataclass, field
from typing import Any

COMMON = """
import torch
from torch import nn
PARTS = ("train", "validation", "test")
ROWS = torch.randn(9, 3, generator=torch.Generator().manual_seed(3))
YES = (ROWS[:, 0] > 0).float()
def network(context): return nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())
def datasets(context): return {part: (ROWS, YES) for part in PARTS}
"""
"""Each model is this and its own text."""

OWN_LOOP = """
def train(context):
    optimizer = torch.optim.SGD(context.network.parameters(), lr=context.settings.learning_rate)
    done = context.resume(optimizer)
    rows, answers = context.rows["train"]
    (context.network(rows).flatten() - answers).square().mean().backward()
    optimizer.step()
    {rest}
"""
MULTICLASS = {"task": "multiclass", "loss": "cross_entropy"}
OWN_LOSS = {"loss": "custom"}
REGRESSION = {"task": "regression"}


@dataclass(frozen=True)
class Failing:
    """The repository's own text, how its training fails, and what its job has beside the usual."""

    text: str
    reason: str
    stage: str = "TRAINING"
    job: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0
    """Epochs that have ended before."""
    advice: str = ""
    """What stands later in the reason."""


def forward(body: str) -> str:
    """A network of one linear layer `self.linear` with this forward(self, rows)."""
    return f"""
class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)
    def forward(self, rows):
        {body}
def network(context): return Network()
"""


LOOPS = {
    "no epoch": Failing(
        "def train(context): pass",
        "train(context): it reported no epoch; call context.epoch(train_loss, validation_loss)",
    ),
    "too many epochs": Failing(
        OWN_LOOP.format(rest="[context.epoch(1.0, 1.0) for _ in range(9)]"),
        "train(context): context.epoch was called more often than train.epochs, which is 5",
        epochs=5,
    ),
    "returns": Failing(
        OWN_LOOP.format(rest="context.epoch(1.0, 1.0); return context.network"),
        "train(context): expected it to train context.network in place",
        epochs=1,
    ),
    "own nan": Failing(
        OWN_LOOP.format(rest="context.epoch(float('nan'), 1.0)"),
        "the loss is not a finite number in epoch 1: training nan",
    ),
    "a loss that explodes": Failing(
        "def network(context): return nn.Linear(3, 1)",
        "the loss is not a finite number in epoch ",
        job=REGRESSION | {"learning_rate": 1e30, "optimizer": "sgd"},
    ),
}
REPOSITORIES = {
    "an exit": Failing("raise SystemExit(3)", "the repository's code ended the process: sys.exit(3)"),
    "no module": Failing("def network(context): return 3", "network(context): expected a torch.nn.Module, got int"),
    "raises": Failing(
        "def network(context): raise RuntimeError('no idea')",
        "network(context): RuntimeError: no idea (model_raises.py, line 9)",
    ),
    "datasets that raise": Failing(
        "def read(): return {}['price']\ndef datasets(context): return read()",
        "datasets(context): KeyError: 'price' (model_datasets_that_raise.py, line 9)",
    ),
    "no package": Failing(
        "import einops_of_nobody",
        "code.module: model_no_package cannot be imported: ModuleNotFoundError: No module named 'einops_of_nobody'",
    ),
    "a loop that raises": Failing(
        "def train(context): context.rows['trian']",
        "train(context): KeyError: 'trian' (model_a_loop_that_raises.py, line 9)",
    ),
    "no test part": Failing(
        "def datasets(context): return {'train': (ROWS, YES), 'validation': (ROWS, YES)}",
        "datasets(context): expected a dict of train, validation, test",
    ),
}
SHAPES = {
    "doubles for floats": Failing(
        "def datasets(context): return {part: (ROWS.double(), YES) for part in PARTS}",
        "network: it cannot answer rows of the shape (4, 3) and the datatype float64: RuntimeError: ",
    ),
    "other columns": Failing(
        "def network(context): return nn.Linear(4, 1)",
        "network: it cannot answer rows of the shape (4, 3): RuntimeError: ",
    ),
    "one row at once": Failing(
        "def network(context): return nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1), nn.Sigmoid())",
        "network: it cannot answer rows of the shape (1, 3): ValueError: Expected more than 1 value per channel",
        job={"batch_size": 1},
        advice="set train.batch_size to 2 or more",
    ),
    "loss and answers": Failing(
        "",
        "network: train.loss = cross_entropy and task = binary need two logits for each row, for no and for yes",
        job={"loss": "cross_entropy"},
    ),
    "loss and values": Failing(
        "def network(context): return nn.Linear(3, 1)\n"
        "def datasets(context): return {part: (ROWS, 9 * YES) for part in PARTS}",
        "train.loss: bce cannot compare predictions",
        job=REGRESSION | {"loss": "bce"},
    ),
    "two predictions": Failing(
        "def network(context): return nn.Linear(3, 2)",
        "network: the predictions have 2 for each row, and the answers have 1: expected as many",
        job=REGRESSION,
    ),
    "one number for all rows": Failing(
        forward("return self.linear(rows).mean()"),
        "network: expected tensors with a prediction for each row, got the shape () for a batch of 4 rows",
        "EXPORT",
    ),
    "a number beside the predictions": Failing(
        forward("return self.linear(rows), rows.mean()"),
        "network: output_2: expected tensors with a prediction for each row, got the shape () for a batch of 4 rows",
        "EXPORT",
    ),
    "text beside the predictions": Failing(
        forward("return {'prediction': self.linear(rows), 'note': 'fine'}"),
        "network: expected tensors with a prediction for each row, got str as note for a batch of 4 rows",
        "EXPORT",
    ),
    "two outputs of which neither is the prediction": Failing(
        forward("return {'price': self.linear(rows), 'sold': self.linear(rows)}"),
        "network: expected one output that the task is about, got price, sold: none is prediction",
        "EXPORT",
    ),
    "an input of another name": Failing(
        "def datasets(context): return {part: ({'tokens': ROWS, 'more': ROWS}, YES) for part in PARTS}",
        "network: it cannot answer rows of tokens of the shape (4, 3), more of the shape (4, 3): TypeError: ",
    ),
    "a row alone loses its dimension": Failing(
        forward("return self.linear(rows).sigmoid().squeeze()"),
        "network: expected tensors with a prediction for each row, got the shape () for one row alone",
        "EXPORT",
    ),
}
MEANINGS = {
    "a score for a probability": Failing(
        forward("return self.linear(rows) - 9"),
        "network: the prediction of row 0 is -",
    ),
    "a class for a probability": Failing(
        forward("return (self.linear(rows) > 0).long()"),
        "network: the predictions have the datatype int64: expected floats, because each is a probability",
    ),
    "a softmax for logits": Failing(
        "def network(context): return nn.Sequential(nn.Linear(3, 2), nn.Softmax(1))",
        "network: the predictions of every row add up to 1, so they are probabilities",
        job=MULTICLASS,
    ),
    "a class for logits": Failing(
        "def network(context): return nn.Linear(3, 1)",
        "network: the predictions have the shape [4, 1]: a multiclass model must return one logit for each class",
        job=MULTICLASS,
    ),
    "more classes than logits": Failing(
        "def network(context): return nn.Linear(3, 2)\n"
        "def datasets(context): return {part: (ROWS, torch.arange(9) // 3) for part in PARTS}",
        "datasets(context): train: the answer of row 6 is 2, which is not one of the classes 0 to 1",
        job=MULTICLASS,
    ),
    "a brain float": Failing(
        forward("return self.linear(rows).sigmoid().bfloat16()"),
        "network: no ONNX graph answers with bfloat16; answer, for example, float32",
        "EXPORT",
    ),
    "nothing finite": Failing(
        forward("return self.linear(rows) * float('nan')"),
        "the loss of the first rows is nan before any training",
    ),
}
EXPORTS = {
    "the mean of the batch": Failing(
        forward("return self.linear(rows - rows.mean(0, keepdim=True)).sigmoid()"),
        "network: its answer to a row depends on the rows beside it",
        "EXPORT",
    ),
    "the statistics of the batch": Failing(
        "def network(context): return nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.Linear(3, 1))",
        "network: it cannot answer one row alone: ValueError: Expected more than 1 value per channel",
        "EXPORT",
        job=REGRESSION,
    ),
    "a dropout that is always on": Failing(
        forward("return self.linear(nn.functional.dropout(rows))"),
        "network: it answers the same rows differently each time",
        "EXPORT",
        job=REGRESSION,
    ),
    "another network when exported": Failing(
        forward("return self.linear(rows) + torch.compiler.is_exporting()"),
        "ONNX Runtime and torch differ: ",
        "EXPORT",
        job=REGRESSION,
    ),
    "a length that it is made for": Failing(
        "def network(context): return nn.Linear(3, 1)",
        "the network cannot be exported for other sizes of length than 3: something in it, such as a layer",
        "EXPORT",
        job=REGRESSION | {"dimensions": {"features": ["batch", "length"]}},
    ),
    "an if on its rows": Failing(
        forward("return self.linear(rows) if rows.sum() > 0 else -self.linear(rows)"),
        "the network cannot be exported to ONNX: GuardOnDataDependentSymNode: Could not guard on data-dependent",
        "EXPORT",
        job=REGRESSION,
        advice="). What the code does must not depend on the values of a tensor, as with if, int() or .item(): use",
    ),
    "packed sequences": Failing(
        """
class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = nn.GRU(1, 2, batch_first=True)
        self.linear = nn.Linear(2, 1)
    def forward(self, rows):
        lengths = (rows != 0).sum(1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(rows[:, :, None], lengths, True, enforce_sorted=False)
        return self.linear(self.steps(packed)[1][-1])
def network(context): return Network()
""",
        "the network cannot be exported to ONNX: ",
        "EXPORT",
        job=REGRESSION,
        advice="Packed sequences cannot be exported: run the layer on the padded rows",
    ),
    "an operator that ONNX lacks": Failing(
        forward("return torch.special.i1(self.linear(rows))"),
        "the network cannot be exported to ONNX: the exporter knows no ONNX for the operator prims.bessel_i1 as it is",
        "EXPORT",
        job=REGRESSION,
    ),
    "a loop over its rows": Failing(
        forward("return torch.stack([self.linear(row) * int(row[0] * 3) for row in rows])"),
        "the network cannot be exported for another number of rows than 2 (model_a_loop_over_its_rows.py, line ",
        "EXPORT",
        job=REGRESSION,
        advice="Compute all rows at once, with torch.where in place of a condition",
    ),
}
LOSSES = {
    "no loss of its own": Failing(
        "", "train.loss: custom needs loss(context, prediction, answers) in model_no_loss_of_its_own", job=OWN_LOSS
    ),
    "a loss that nobody uses": Failing(
        "def loss(context, prediction, answers): return prediction.mean()",
        "train.loss: it is mse, and model_a_loss_that_nobody_uses defines loss(context, prediction, answers); write",
    ),
    "a loss that raises": Failing(
        "def loss(context, prediction, answers): return prediction['price'].mean()",
        "loss(context, prediction, answers): IndexError: ",
        job=OWN_LOSS,
    ),
    "a loss without gradients": Failing(
        "def loss(context, prediction, answers): return (prediction.detach().flatten() - answers).square().mean()",
        "loss(context, prediction, answers): it does not depend on the network's weights, as after detach()",
        job=OWN_LOSS,
    ),
    "a loss for each row": Failing(
        "def loss(context, prediction, answers): return (prediction.flatten() - answers).square()",
        "loss(context, prediction, answers): expected one number as a tensor, got the shape (4,)",
        job=OWN_LOSS,
    ),
    "a number for a loss": Failing(
        "def loss(context, prediction, answers): return 0.5",
        "loss(context, prediction, answers): expected one number as a tensor, got float",
        job=OWN_LOSS,
    ),
    "a built-in loss of two heads": Failing(
        forward("return {'a': self.linear(rows), 'prediction': self.linear(rows).sigmoid()}")
        + "def datasets(context): return {part: (ROWS, {'a': YES, 'prediction': YES, 'b': YES}) for part in PARTS}",
        "train.loss: mse compares one output with one answer, and there are answers to a, prediction. Set",
    ),
    "weights of two classes for three": Failing(
        "def network(context): return nn.Linear(3, 3)\n"
        "def datasets(context): return {part: (ROWS, torch.arange(9) % 3) for part in PARTS}",
        "train.class_weights: expected 3 weights, one for each class, got 2",
        job=MULTICLASS | {"class_weights": [1.0, 2.0]},
    ),
    "a class without rows": Failing(
        "def network(context): return nn.Linear(3, 3)\n"
        "def datasets(context): return {part: (ROWS, torch.arange(9) % 2 * 2) for part in PARTS}",
        "train.class_weights: no training row is of the class 1; list the weights",
        job=MULTICLASS | {"class_weights": "balanced"},
    ),
    "a label of every row": Failing(
        "def network(context): return nn.Linear(3, 2)\n"
        "def datasets(context): return {part: (ROWS, torch.stack([YES, YES * 0 + 1], 1)) for part in PARTS}",
        "train.class_weights: every training row has the label 1; list the weights",
        job={"task": "multilabel", "loss": "bce_with_logits", "class_weights": "balanced"},
    ),
    "one class only": Failing(
        "def datasets(context): return {part: (ROWS, torch.zeros(9)) for part in PARTS}",
        "datasets(context): train: every answer is 0; a training needs rows of at least two classes",
    ),
    "features that are nothing": Failing(
        "MISSING = ROWS.index_fill(0, torch.tensor(2), float('nan'))\n"
        "def datasets(context): return {part: (MISSING, YES) for part in PARTS}",
        "datasets(context): train: features of row 2, column 0 is nan, and the network answers this row with nan",
    ),
}
STREAMS = {
    "an iterator": Failing(
        "def datasets(context): return {part: iter([(ROWS, YES)]) for part in PARTS}",
        "datasets(context): train: list_iterator: it can be read only once, and a training",
    ),
    "no batch": Failing(
        "def datasets(context): return {part: lambda: [] for part in PARTS}",
        "datasets(context): train: there are no rows; each split needs some",
    ),
    "a batch of another shape": Failing(
        "def datasets(context): return {part: [(ROWS, YES), (ROWS[:, :2], YES)] for part in PARTS[1:]}"
        " | {'train': (ROWS, YES)}",
        "datasets(context): validation: batch 2 has features [2, float32] and the first features [3, float32];"
        " all need the same. Where only a length differs, pad all batches of this split to one length",
    ),
    "items of several sizes": Failing(
        "class Ragged(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 9\n"
        "    def __getitem__(self, row): return ROWS[row, :1 + row % 2], YES[row]\n"
        "def datasets(context): return {part: Ragged() for part in PARTS}",
        "datasets(context): the items of the Dataset do not fit into one batch: stack expects each tensor to be equal",
    ),
    "a wrong label in the second batch": Failing(
        "WRONG = [(ROWS, YES), (ROWS, YES + 1)]\n"
        "def datasets(context): return {part: (ROWS, YES) for part in PARTS} | {'train': WRONG}",
        "datasets(context): train: batch 2: the answer of row 1 is 2.0, which is not one of the classes 0 to 1",
    ),
    "an item of three": Failing(
        "from torch.utils.data import TensorDataset\n"
        "def datasets(context): return {part: TensorDataset(ROWS, ROWS, YES) for part in PARTS}",
        "datasets(context): expected (features, answers) as an item of the Dataset, got tuple of 3. Give several",
    ),
    "a dataset that raises": Failing(
        "class Rows(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 9\n"
        "    def __getitem__(self, row): return ROWS[row], [0, 1][row]\n"
        "def datasets(context): return {part: Rows() for part in PARTS}",
        "datasets(context): IndexError: list index out of range (model_a_dataset_that_raises.py, line 11)",
    ),
}
FAILING = LOOPS | REPOSITORIES | SHAPES | MEANINGS | EXPORTS | LOSSES | STREAMS
