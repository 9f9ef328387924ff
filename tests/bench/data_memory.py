"""How often a training holds its data: 500,000 rows of 50 numbers from CSV and NPY, as `headgate check` trains them.

The peak of a training on few rows is taken off: it is what torch and the export need.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.bench.results import Results

ROWS, QUICK_ROWS, FEW_ROWS = 500_000, 100_000, 5_000
FEATURES = 50
MOST_TIMES = 3.0
KIB = 1024
READERS = {
    "csv": 'np.loadtxt(context.data["rows"], delimiter=",", skiprows=1, dtype=np.float32)',
    "npy": 'np.load(context.data["rows"])',
}
MODEL = """
import numpy as np
from torch import nn


def network(context):
    return nn.Sequential(nn.Linear({features}, 16), nn.Tanh(), nn.Linear(16, 1), nn.Sigmoid())


def datasets(context):
    rows = {reader}
    first, second = len(rows) * 8 // 10, len(rows) * 9 // 10
    parts = {{"train": slice(0, first), "validation": slice(first, second), "test": slice(second, None)}}
    return {{name: (rows[part, :{features}], rows[part, {features}]) for name, part in parts.items()}}
"""
DECLARATION = """
[model]
name = "rows"
task = "binary"
[code]
module = "model"
tests = "python -c pass"
[data]
rows = {{ uri = {uri}, sha256 = "{sha256}" }}
[train]
loss = "bce"
optimizer = "adam"
learning_rate = 0.01
epochs = 1
batch_size = 512
seed = 7
[evaluate]
metrics = ["accuracy"]
"""
PEAK = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-P", "-m", "services.trainer.check", sys.argv[1]], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """The peak of the largest process of the training, in MiB, and how many times the data that is."""
    rows = QUICK_ROWS if quick else ROWS
    for kind in READERS:
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            data_bytes, peak = trained(Path(folder), kind, rows)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            base = trained(Path(folder), kind, FEW_ROWS)[1]
        times = max(peak - base, 0) / data_bytes
        figures = {"peak MiB": peak / KIB**2, "of it torch and export MiB": base / KIB**2, "times the data": times}
        results.rows.append((f"training on {rows:,} rows", kind, figures))
        results.compare(f"{kind}: {MOST_TIMES:g} times the data over its own", MOST_TIMES / max(times, 0.01), 1, 1.5)


def trained(folder: Path, kind: str, rows: int) -> tuple[int, int]:
    """The size of the rows as float32, and the peak of the training's largest process, in bytes."""
    generator = np.random.default_rng(7)
    table = generator.standard_normal((rows, FEATURES + 1), dtype=np.float32)
    table[:, FEATURES] = table[:, :5].sum(axis=1) > 0
    file = folder / f"rows.{kind}"
    if kind == "npy":
        np.save(file, table)
    else:
        np.savetxt(file, table, delimiter=",", fmt="%.6g", header=",".join("x" * (FEATURES + 1)), comments="")
    repository = folder / "rows"
    repository.mkdir()
    (repository / "model.py").write_text(MODEL.format(features=FEATURES, reader=READERS[kind]))
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    (repository / "headgate.toml").write_text(DECLARATION.format(uri=json.dumps(file.as_uri()), sha256=sha256))
    command = [sys.executable, "-c", PEAK, str(repository)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return table.nbytes, int(printed) * KIB
