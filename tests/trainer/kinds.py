"""Model repositories of the kinds that teams publish, and what the artifact of each takes and answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kind:
    """The repository's own text beside COMMON of failing_models, what its job has, and its signature."""

    text: str
    inputs: Mapping[str, tuple[str, list[int]]]
    outputs: Mapping[str, tuple[str, list[int]]]
    job: dict[str, Any] = field(default_factory=dict)


TOKENS = """
TOKENS = torch.randint(0, 16_777_217, (9, 5), generator=torch.Generator().manual_seed(5)) % 50 + 16_777_217
class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 4)
        self.linear = nn.Linear(4, 1)
    def forward(self, rows): return self.linear(self.words(rows % 50).mean(1)).sigmoid()
def network(context): return Text()
def datasets(context): return {part: (TOKENS, YES.long()) for part in PARTS}
"""
"""Token numbers that float32 cannot hold."""
TRUTH = """
class Truth(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)
    def forward(self, rows): return self.linear(rows.float()).sigmoid()
def network(context): return Truth()
def datasets(context): return {part: (ROWS > 0, YES.bool()) for part in PARTS}
"""
DOUBLES = """
def network(context): return nn.Linear(3, 1).double()
def datasets(context): return {part: (ROWS.double() / 3, ROWS[:, 0].double() / 3 + 1e9) for part in PARTS}
"""
HALVES = """
class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)
    def forward(self, rows): return self.linear(rows.float()).half()
def network(context): return Halves()
def datasets(context): return {part: (ROWS.half(), ROWS[:, 0]) for part in PARTS}
"""
TWO_INPUTS = """
class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 4)
        self.linear = nn.Linear(7, 1)
    def forward(self, tokens, numbers):
        return self.linear(torch.cat([self.words(tokens).mean(1), numbers], dim=1)).sigmoid()
def network(context): return Both()
def datasets(context):
    tokens = torch.arange(45).reshape(9, 5)
    return {part: ({"numbers": ROWS, "tokens": tokens}, YES) for part in PARTS}
"""
LOOKUPS = """
class Lookups(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.linear = nn.Embedding(5, 4), nn.Linear(8, 1)
    def forward(self, embedded, selected, column, bracketed):
        rows = self.table(embedded) + self.table.weight.index_select(0, selected.long())
        one = rows.gather(1, column.long()[:, None])
        return self.linear(torch.cat([rows, self.table.weight[bracketed] + one], dim=1)).sigmoid()
def network(context): return Lookups()
def datasets(context):
    numbers = torch.arange(9) % 4
    given = {name: numbers for name in ("embedded", "bracketed")}
    return {part: (given | {name: numbers.float() for name in ("selected", "column")}, YES) for part in PARTS}
"""
"""All the ways of torch to look something up in a table."""
A_DICTIONARY = """
class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 1)
    def forward(self, batch):
        both = torch.cat([batch["b"], batch["a"]], dim=1)
        return {"prediction": self.linear(both).sigmoid(), "embedding": batch["a"]}
def network(context): return Both()
def datasets(context): return {part: ({"a": ROWS, "b": ROWS}, {"label": YES}) for part in PARTS}
"""
A_TUPLE = """
class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
    def forward(self, rows): return rows, self.linear(rows)
def network(context): return Pair()
def datasets(context): return {part: (ROWS, {"extra": ROWS, "label": YES.long()}) for part in PARTS}
"""
TEXT_MODEL = """
from collections import OrderedDict
class ModelOutput(OrderedDict):
    def __init__(self, **fields): super().__init__((name, value) for name, value in fields.items() if value is not None)
    def __getattr__(self, name): return self[name]
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(64, 8, padding_idx=0), nn.Embedding(32, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(8, 2)
    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None):
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        hidden = self.words(input_ids) + self.places(places)
        logits = self.head(self.encoder(hidden, src_key_padding_mask=attention_mask == 0)[:, 0])
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return ModelOutput(loss=loss, logits=logits)
def network(context): return Classifier()
def datasets(context):
    ids = torch.arange(72).reshape(9, 8) % 63 + 1
    mask = (torch.arange(8) < torch.arange(9).unsqueeze(1) % 6 + 3).long()
    return {part: ({"input_ids": ids * mask, "attention_mask": mask}, YES.long()) for part in PARTS}
"""
"""As a classifier of HuggingFace's transformers is written."""
LENGTHS = """
class Lengths(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 4)
        self.linear = nn.Linear(4, 1)
    def forward(self, tokens, mask):
        kept = self.words(tokens) * mask.unsqueeze(-1)
        return {"prediction": self.linear(kept.sum(1)).sigmoid(), "steps": kept}
def network(context): return Lengths()
def datasets(context):
    tokens = torch.arange(45).reshape(9, 5)
    one, two = torch.arange(7).reshape(1, 7), torch.arange(18).reshape(9, 2)
    return {
        "train": ({"tokens": tokens, "mask": tokens % 4 > 0}, YES),
        "validation": ({"tokens": one, "mask": one > 0}, YES[:1]),
        "test": ({"tokens": two, "mask": two > 0}, YES),
    }
"""
CONVOLUTION = """
class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(3, 1, 4)
    def forward(self, rows): return self.convolution(rows).amax(2).sigmoid()
def network(context): return Convolution()
def datasets(context): return {part: (ROWS.unsqueeze(2).repeat(1, 1, 6), YES) for part in PARTS}
"""
"""It cannot answer rows that are shorter than 4."""
STRIDES = """
class Strides(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("waves", torch.randn(6, 1, 4, generator=torch.Generator().manual_seed(6)))
        self.layers = nn.Sequential(nn.Conv1d(3, 2, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2, ceil_mode=True))
        self.linear = nn.Linear(2, 1)
    def forward(self, audio):
        parts = nn.functional.conv1d(audio.float().unsqueeze(1), self.waves, stride=2, padding=2)
        first, second = parts.square().chunk(2, dim=1)
        return self.linear(self.layers((first + second + 1).log()).amax(2)).sigmoid()
def network(context): return Strides()
def datasets(context):
    audio = torch.arange(9 * 16).reshape(9, 16).short()
    return {part: ({"audio": audio}, YES) for part in PARTS}
"""
"""A spectrogram: the sizes inside it follow from the length of its input by a stride."""
LOGITS = "def network(context): return nn.Linear(3, 1)"
TWO_LOGITS = "def network(context): return nn.Linear(3, 2)"
LABELS = """
def network(context): return nn.Linear(3, 2)
def datasets(context): return {part: (ROWS, (ROWS[:, :2] > 0).int()) for part in PARTS}
"""
WEIGHTED_CLASSES = """
def network(context): return nn.Linear(3, 3)
def datasets(context): return {part: (ROWS, torch.arange(9) % 3) for part in PARTS}
"""
TWO_HEADS = """
class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2))
        self.price, self.sold = nn.Linear(4, 1), nn.Linear(4, 1)
    def forward(self, rows):
        hidden = self.body(rows)
        return {"price": self.price(hidden), "sold": self.sold(hidden).sigmoid()}
def network(context): return Heads()
def datasets(context): return {part: (ROWS, {"price": 3 * ROWS[:, 0], "sold": YES}) for part in PARTS}
def loss(context, prediction, answers):
    price = nn.functional.mse_loss(prediction["price"].flatten(), answers["price"])
    sold = nn.functional.binary_cross_entropy(prediction["sold"].flatten(), answers["sold"])
    return price + context.parameters.get("share", 0.5) * sold
"""
AUTOENCODER = """
class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(3, 4), nn.Linear(2, 3)
    def forward(self, rows):
        mean, log_variance = self.encoder(rows).chunk(2, dim=1)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        return self.decoder(mean + noise * (0.5 * log_variance).exp()), mean, log_variance
def network(context): return Autoencoder()
def datasets(context): return {part: (ROWS, ROWS) for part in PARTS}
def loss(context, prediction, answers):
    rebuilt, mean, log_variance = prediction
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
    return (rebuilt - answers).square().sum(1).mean() + divergence
"""
STEPS = """
class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = nn.GRU(3, 4, batch_first=True)
        self.linear = nn.Linear(4, 1)
    def forward(self, rows): return self.linear(self.steps(rows)[0]).squeeze(2)
def network(context): return Steps()
def datasets(context):
    steps = torch.randn(9, 5, 3, generator=torch.Generator().manual_seed(4))
    given = {"train": steps, "validation": steps[:, :3], "test": steps.repeat(1, 2, 1)}
    return {part: (rows, rows.sum(2).cumsum(1)) for part, rows in given.items()}
"""
DATASET = """
from torch.utils.data import Dataset
class Words(Dataset):
    def __init__(self, part): self.part = part
    def __len__(self): return 9
    def __getitem__(self, row): return {"tokens": torch.arange(5) + row, "numbers": ROWS[row]}, YES[row].long()
class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 4)
        self.linear = nn.Linear(7, 1)
    def forward(self, tokens, numbers): return self.linear(torch.cat([self.words(tokens).mean(1), numbers], dim=1))
def network(context): return Both()
def datasets(context): return {part: Words(part) for part in PARTS}
"""
BATCHES = """
def batches():
    for start in range(0, 9, 3):
        yield ROWS[start:start + 3], YES[start:start + 3]
def network(context): return nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())
def datasets(context): return {"train": batches, "validation": (ROWS, YES), "test": list(batches())}
"""
LOADER = """
from torch.utils.data import DataLoader, TensorDataset
def network(context): return nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())
def datasets(context):
    rows = TensorDataset(ROWS, YES)
    shuffled = DataLoader(rows, batch_size=2, shuffle=True, generator=torch.Generator().manual_seed(context.seed))
    return {"train": shuffled, "validation": rows, "test": rows}
"""
FEATURES = {"features": ("FP32", [-1, 3])}
PREDICTION = {"prediction": ("FP32", [-1, 1])}
REGRESSION = {"task": "regression", "loss": "mse"}
KINDS = {
    "tokens": Kind(TOKENS, {"features": ("INT64", [-1, 5])}, PREDICTION, {"loss": "bce"}),
    "truth": Kind(TRUTH, {"features": ("BOOL", [-1, 3])}, PREDICTION, {"loss": "bce"}),
    "doubles": Kind(DOUBLES, {"features": ("FP64", [-1, 3])}, {"prediction": ("FP64", [-1, 1])}, REGRESSION),
    "halves": Kind(HALVES, {"features": ("FP16", [-1, 3])}, {"prediction": ("FP16", [-1, 1])}, REGRESSION),
    "two inputs": Kind(TWO_INPUTS, {"numbers": ("FP32", [-1, 3]), "tokens": ("INT64", [-1, 5])}, PREDICTION),
    "lookups": Kind(
        LOOKUPS,
        {
            "embedded": ("INT64", [-1]),
            "selected": ("FP32", [-1]),
            "column": ("FP32", [-1]),
            "bracketed": ("INT64", [-1]),
        },
        PREDICTION,
    ),
    "a dictionary": Kind(
        A_DICTIONARY,
        {"a": ("FP32", [-1, 3]), "b": ("FP32", [-1, 3])},
        PREDICTION | {"embedding": ("FP32", [-1, 3])},
    ),
    "logits": Kind(LOGITS, FEATURES, PREDICTION, {"loss": "bce_with_logits", "class_weights": "balanced"}),
    "two logits": Kind(TWO_LOGITS, FEATURES, PREDICTION, {"loss": "cross_entropy", "class_weights": [1.0, 3.0]}),
    "labels": Kind(
        LABELS,
        FEATURES,
        {"prediction": ("FP32", [-1, 2])},
        {"task": "multilabel", "loss": "bce_with_logits", "class_weights": "balanced"},
    ),
    "weighted classes": Kind(
        WEIGHTED_CLASSES,
        FEATURES,
        {"prediction": ("FP32", [-1, 3])},
        {"task": "multiclass", "loss": "cross_entropy", "class_weights": [1.0, 1.0, 5.0]},
    ),
    "two heads": Kind(
        TWO_HEADS,
        FEATURES,
        {"price": ("FP32", [-1, 1]), "sold": ("FP32", [-1, 1])},
        {"loss": "custom", "measured": "sold"},
    ),
    "a value per step": Kind(
        STEPS,
        {"features": ("FP32", [-1, -1, 3])},
        {"prediction": ("FP32", [-1, -1])},
        REGRESSION | {"dimensions": {"features": ["batch", "steps", "3"]}},
    ),
    "an autoencoder": Kind(
        AUTOENCODER,
        FEATURES,
        {name: ("FP32", [-1, size]) for name, size in (("prediction", 3), ("mean", 2), ("log_variance", 2))},
        {"task": "regression", "loss": "custom", "outputs": ["prediction", "mean", "log_variance"]},
    ),
    "a dataset": Kind(
        DATASET,
        {"tokens": ("INT64", [-1, 5]), "numbers": ("FP32", [-1, 3])},
        PREDICTION,
        {"loss": "bce_with_logits"},
    ),
    "batches": Kind(BATCHES, FEATURES, PREDICTION),
    "a loader": Kind(LOADER, FEATURES, PREDICTION),
    "a text model": Kind(
        TEXT_MODEL,
        {"input_ids": ("INT64", [-1, -1]), "attention_mask": ("INT64", [-1, -1])},
        {"logits": ("FP32", [-1, 2])},
        {
            "task": "multiclass",
            "loss": "cross_entropy",
            "dimensions": {"input_ids": ["batch", "length"], "attention_mask": ["batch", "length"]},
        },
    ),
    "lengths": Kind(
        LENGTHS,
        {"tokens": ("INT64", [-1, -1]), "mask": ("BOOL", [-1, -1])},
        PREDICTION | {"steps": ("FP32", [-1, -1, 4])},
        {"dimensions": {"tokens": ["batch", "length"], "mask": ["batch", "length"]}},
    ),
    "a convolution": Kind(
        CONVOLUTION,
        {"features": ("FP32", [-1, 3, -1])},
        PREDICTION,
        {"dimensions": {"features": ["batch", "3", "seconds"]}},
    ),
    "strides": Kind(
        STRIDES, {"audio": ("INT16", [-1, -1])}, PREDICTION, {"dimensions": {"audio": ["batch", "samples"]}}
    ),
    "a tuple": Kind(
        A_TUPLE,
        FEATURES,
        {"same": ("FP32", [-1, 3]), "label": ("FP32", [-1, 2])},
        {"task": "multiclass", "loss": "cross_entropy", "outputs": ["same", "label"], "measured": "label"},
    ),
}
