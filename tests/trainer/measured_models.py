"""Model repositories with other tasks, metrics of their own and chosen thresholds, and those that fail by them."""

from tests.trainer.failing_models import Failing, forward
from tests.trainer.kinds import PREDICTION, Kind

FEATURES = {"features": ("FP32", [-1, 3])}
LABELS = """
def network(context): return nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
def datasets(context): return {part: (ROWS, (ROWS[:, :2] > 0).float()) for part in PARTS}
"""
RANKED = """
def network(context): return nn.Linear(3, 1)
def datasets(context):
    answers = torch.stack([YES, torch.tensor([1, 1, 1, 2, 2, 2, 3, 3, 3])], dim=1)
    answers[::3, 0] = 2
    return {part: (ROWS, answers) for part in PARTS}
"""
COSTS = """
def metrics(context, prediction, answers):
    assert prediction.shape == (9, 1) and answers.shape == (9,) and not prediction.requires_grad
    wrong = (prediction.flatten() >= 0.5) != (answers > 0)
    return {"cost": 5 * wrong.sum(), "rows": len(answers), "seed": context.seed}
"""
ENCODED = """
class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.code, self.back = nn.Linear(3, 2), nn.Linear(2, 3)
    def forward(self, rows):
        code = self.code(rows)
        return {"code": code, "again": self.back(code)}
def network(context): return Coder()
def datasets(context):
    return {part: (ROWS + (part == "test"), {"rows": ROWS}) for part in PARTS}
def train(context): context.epoch(1.0, 1.0)
def metrics(context, prediction, answers):
    return {"distance": (prediction["again"] - answers["rows"]).abs().mean()}
"""
"""A task of its own: neither its outputs nor its answers mean what a task of Headgate takes them for."""

BOXES = """
class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 8)
    def forward(self, rows):
        scores = self.linear(rows).sigmoid()
        order = scores.argsort(dim=1, descending=True, stable=True)
        most = (scores > 0.5).sum(1).max()
        kept = torch.nonzero(torch.arange(8) < most).flatten()
        return {"scores": scores.gather(1, order)[:, kept], "places": order[:, kept]}
def network(context): return Detector()
def datasets(context): return {part: (ROWS, YES) for part in PARTS}
def train(context): context.epoch(1.0, 1.0)
def metrics(context, prediction, answers):
    rows = prediction["scores"]
    assert len(rows) == len(answers) and [len(row) for row in rows] == [len(row) for row in prediction["places"]]
    return {"sizes": len({len(row) for row in rows}), "lowest": min(float(row.min()) for row in rows if len(row))}
"""
"""A detector: a row has as many answers as it has scores above a half."""

OWN = {"own_metrics": ["cost"]}
MEASURED = {
    "two labels": Kind(
        LABELS,
        FEATURES,
        {"prediction": ("FP32", [-1, 2])},
        {"task": "multilabel", "loss": "bce", "class_weights": [1.0, 2.0]},
    ),
    "ranked": Kind(RANKED, FEATURES, PREDICTION, {"task": "ranking", "loss": "mse"}),
    "costs": Kind(
        COSTS, FEATURES, PREDICTION, {"own_metrics": ["cost", "rows", "seed"], "threshold_choice": {"best": "f1"}}
    ),
    "encoded": Kind(
        ENCODED,
        FEATURES,
        {"code": ("FP32", [-1, 2]), "again": ("FP32", [-1, 3])},
        {"task": "custom", "own_metrics": ["distance"]},
    ),
    "boxes": Kind(
        BOXES,
        FEATURES,
        {"scores": ("FP32", [-1, -1]), "places": ("INT64", [-1, -1])},
        {"task": "custom", "own_metrics": ["sizes", "lowest"]},
    ),
}

CALL = "metrics(context, prediction, answers)"


def metrics(body: str) -> str:
    return f"def metrics(context, prediction, answers):\n    {body}\n"


UNMEASURED = {
    "no metrics function": Failing("", "code.module: model_no_metrics_function defines no metrics(context,", job=OWN),
    "metrics that raise": Failing(
        metrics("return {'cost': 1 / (len(answers) - 9)}"),
        f"{CALL}: ZeroDivisionError: division by zero (model_metrics_that_raise.py, line 10)",
        job=OWN,
    ),
    "metrics of other names": Failing(
        metrics("return {'price': 1}"),
        f"{CALL} (model_metrics_of_other_names.py, line 9): "
        "expected a dict with the names of evaluate.own_metrics, cost, got price",
        job=OWN,
    ),
    "metrics without names": Failing(
        metrics("return 3"),
        f"{CALL} (model_metrics_without_names.py, line 9): "
        "expected a dict with the names of evaluate.own_metrics, cost, got int",
        job=OWN,
    ),
    "a metric of text": Failing(
        metrics("return {'cost': 'dear'}"),
        f"{CALL} (model_a_metric_of_text.py, line 9): cost: expected a number, got str",
        job=OWN,
    ),
    "a metric of many numbers": Failing(
        metrics("return {'cost': answers}"),
        f"{CALL} (model_a_metric_of_many_numbers.py, line 9): cost: expected a number",
        job=OWN,
    ),
    "a metric that is nan": Failing(
        metrics("return {'cost': float('nan')}"),
        f"{CALL} (model_a_metric_that_is_nan.py, line 9): cost is nan, expected a finite number",
        job=OWN,
        epochs=2,
    ),
    "a slice of no column": Failing(
        "",
        "evaluate.slices.north.column: expected a column from 0 to 2, which the rows have, got 3",
        job={"slices": [{"name": "north", "column": 3, "min": 0.0}]},
    ),
    "no positive row to choose by": Failing(
        "def datasets(context): return {part: (ROWS, YES * (part != 'validation')) for part in PARTS}",
        "evaluate.threshold: no validation row is positive, so none can be chosen",
        job={"threshold_choice": {"best": "f1"}},
    ),
    "a precision out of reach": Failing(
        forward("return self.linear(rows) * 0 + 0.5"),
        "evaluate.threshold: no threshold reaches a precision of 1; the best reaches 0.",
        job={"threshold_choice": {"precision": 1.0}},
        epochs=2,
    ),
}
