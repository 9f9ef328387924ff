"""Tiny model repositories for the trainer's tests."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

DATA = "1,2,3\n"
MODEL = """
import torch
from torch import nn


def network(context):
    return nn.Sequential(nn.Linear(3, context.parameters["hidden"]), nn.Tanh(), nn.Linear(4, 1), nn.Sigmoid())


def datasets(context):
    numbers = [float(n) for n in context.data["numbers"].read_text().split(",")]
    generator = torch.Generator().manual_seed(context.seed)
    rows = torch.randn(64, 3, generator=generator) * torch.tensor(numbers)
    answers = (rows.sum(dim=1) > 0).float()
    parts = {"train": slice(0, 40), "validation": slice(40, 48), "test": slice(48, 64)}
    return {name: (rows[part], answers[part]) for name, part in parts.items()}
"""

TAKEN_NAMES = {
    "services/widths.py": "OWN = True",
    "tests/signs.py": "OWN = True",
    "child.py": "OWN = True",
    "sitecustomize.py": "OWN = True",
    "headgate/sizes.py": "OWN = True",
    "headgate/model.py": """
import sys
import child, services.widths, sitecustomize, tests.signs
from headgate import sizes
from model import datasets, network
for module in (child, services.widths, sitecustomize, tests.signs, sizes):
    assert module.OWN
assert sys.argv == ["headgate.model"]
""",
}
"""Modules with names that Headgate's own code and tests have too. The folders are packages without an __init__.py."""


def toml(**changes: str) -> str:
    values = {
        "name": "tiny",
        "tests": "python -c pass",
        "module": "model",
        "uri": "data/numbers.csv",
        "sha256": hashlib.sha256(DATA.encode()).hexdigest(),
        "loss": "bce",
        "learning_rate": "0.1",
    } | changes
    return """
[model]
name = "{name}"
task = "binary"
[code]
module = "{module}"
tests = '''{tests}'''
[data]
numbers = {{ uri = "{uri}", sha256 = "{sha256}" }}
[parameters]
hidden = 4
[train]
loss = "{loss}"
optimizer = "adam"
learning_rate = {learning_rate}
epochs = 5
batch_size = 16
seed = 7
[evaluate]
metrics = ["accuracy"]
""".format(**values)


def repository(
    directory: Path, model: str = MODEL, files: Mapping[str, str | bytes] = MappingProxyType({}), **changes: str
) -> tuple[str, str]:
    """Its path and the hash of its only commit."""
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "numbers.csv").write_text(DATA)
    (directory / "model.py").write_text(model)
    (directory / "headgate.toml").write_text(toml(**changes))
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    git(directory, "init", "-q")
    git(directory, "add", ".")
    git(directory, "commit", "-q", "-m", "First")
    return str(directory), git(directory, "rev-parse", "HEAD")


def git(directory: Path, *arguments: str) -> str:
    person = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@a",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@a",
    }
    settings = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env=os.environ | person | settings,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()
