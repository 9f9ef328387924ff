"""A model for the journeys about releases alone. Its versions are imported: a training takes three times as long."""

from examples.driver import Running
from tests.artifacts.graph_material import tree

MODEL = "risk.trees"
ROWS = ((0.1, 3.0), (0.2, 1.0), (0.8, 4.0), (0.9, 1.0))
THRESHOLDS = {1: 0.6, 2: 0.5}
"""Where the tree of each version splits the rows. Both versions tell all of them apart."""
CONFIGURATION = f"""
[model]
name = "{MODEL}"
task = "binary"
[evaluate]
metrics = ["auc"]
[gate]
auc = {{ min = 0.9 }}
[release]
environment = "production"
strategy = "canary"
"""


def import_version(running: Running, version: int) -> None:
    """Makes a file the model's next version. It passes the gate, and is released."""
    lines = ["amount,age,label", *(f"{amount},{age},{int(amount > 0.5)}" for amount, age in ROWS)]
    (running.folder / "headgate.toml").write_text(CONFIGURATION)
    (running.folder / "rows.csv").write_text("\n".join(lines))
    (running.folder / "trees.onnx").write_bytes(tree(THRESHOLDS[version]).SerializeToString())
    named = ("--test", "rows.csv", "--config", "headgate.toml")
    running.command("version", "import", MODEL, "trees.onnx", *named)
