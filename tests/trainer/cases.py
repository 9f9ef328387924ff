"""A training child that also tries what must fail, so that torch starts once for all tests.

python -P cases.py OUTCOMES JOB_DIRECTORY
"""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from services.trainer import child
from services.trainer.exporting import ExportFailure, largest_difference
from services.trainer.job import FILES, read_job

CASES = {
    "nan loss": "def network(context): return nn.Sequential(nn.Linear(3, 1), Blank())",
    "no module": "def network(context): return 3",
    "raises": "def network(context): raise RuntimeError('no idea')",
    "no test part": "def datasets(context): return {'train': (ROWS, ROWS[:, 0]), 'validation': (ROWS, ROWS[:, 0])}",
    "unequal": "def datasets(context): return {part: (ROWS, ROWS[:3, 0]) for part in PARTS}",
}
COMMON = """
import torch
from torch import nn
PARTS = ("train", "validation", "test")
ROWS = torch.ones(8, 3)
class Blank(nn.Module):
    def forward(self, rows): return rows * float("nan")
def network(context): return nn.Linear(3, 1)
def datasets(context): return {part: (ROWS, ROWS[:, 0]) for part in PARTS}
"""


def main() -> int:
    outcomes, directory = Path(sys.argv.pop(1)), Path(sys.argv[1])
    code = child.main()
    job = replace(read_job(directory), loss="mse")
    first = {file.name: file.read_bytes() for file in (directory / FILES).iterdir()}
    found = {}
    with TemporaryDirectory() as scratch:
        again = io.StringIO()
        child.attempt(read_job(directory), Path(scratch) / "again", again)
        files = {file.name: file.read_bytes() for file in (Path(scratch) / "again").iterdir()}
        found["differing files"] = [name for name in first if files[name] != first[name]]
        for number, (name, text) in enumerate(CASES.items()):
            (Path(scratch) / f"case{number}.py").write_text(COMMON + text)
            progress = io.StringIO()
            child.attempt(
                replace(job, checkout=scratch, module=f"case{number}"), Path(scratch) / f"files{number}", progress
            )
            found[name] = json.loads(progress.getvalue().splitlines()[-1])
    found["differs"] = unfaithful(first["model.onnx"])
    outcomes.write_text(json.dumps(found))
    return code


def unfaithful(graph: bytes) -> str:
    import torch

    try:
        largest_difference(graph, torch.ones(2, 3), torch.zeros(2, 1))
    except ExportFailure as failure:
        return str(failure)
    return ""


if __name__ == "__main__":
    sys.exit(main())
