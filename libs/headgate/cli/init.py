"""`headgate init` writes a new model repository that passes `headgate check`. Its files are in the folder skeleton."""

import hashlib
import random
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from headgate.cli.files import local_path
from headgate.cli.printing import report
from headgate.cli.session import CommandFailed, usage
from headgate.domain.names import MODEL_NAME_RULE, is_model_name
from headgate.domain.words import counted

SKELETON = "skeleton"
FILES = {
    "headgate.toml": "headgate.toml.txt",
    "model.py": "model.py.txt",
    "test_model.py": "test_model.py.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
}
"""The file of the repository -> the template beside this module."""
DATA_FILE = "data/rows.csv"
SEED = 20
ROWS = 400
ROWS_OF_A_GROUP = 5
FEATURES = ("x1", "x2", "x3", "x4")

Features = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What differs from task to task. `answer` makes up the answers of a row; `own` is the template with functions that
    only this task has, and `own_metrics` says of each metric that they measure what is better."""

    answers: tuple[str, ...]
    answer: Callable[[Features, float, int], tuple[float, ...]]
    outputs: int
    meaning: str
    loss: str
    gate: Mapping[str, float]
    metrics: tuple[str, ...]
    last: str = ""
    conversion: str = "columns"
    split: str = "np.arange(len(table))"
    own: str = ""
    own_metrics: Mapping[str, str] = field(default_factory=dict)


def _score(row: Features, noise: float) -> float:
    return 2 * row[0] - row[1] + 0.05 * noise


TASKS: Mapping[str, Skeleton] = {
    "binary": Skeleton(
        ("answer",),
        lambda row, noise, _: (float(_score(row, noise) > 0.5),),
        1,
        "One answer for each row: 1 for yes, 0 for no. The network answers with the probability of yes.",
        "bce",
        {"accuracy": 0.85, "auc": 0.9},
        ("accuracy", "recall", "precision", "f1", "auc", "log_loss"),
        "nn.Sigmoid()",
        "columns[:, 0]",
    ),
    "multiclass": Skeleton(
        ("answer",),
        lambda row, noise, _: (float((_score(row, noise) > 0.2) + (_score(row, noise) > 0.8)),),
        3,
        "The number of each row's class, from 0. The network answers with one logit for each class.",
        "cross_entropy",
        {"accuracy": 0.8},
        ("accuracy", "recall", "precision", "f1", "log_loss"),
        "",
        "columns[:, 0].long()",
    ),
    "multilabel": Skeleton(
        ("label_a", "label_b"),
        lambda row, noise, _: (float(_score(row, noise) > 0.5), float(row[2] + 0.05 * noise > row[3])),
        2,
        "For each row and each label 1 or 0. The network answers with one probability for each label.",
        "bce",
        {"accuracy": 0.7, "f1": 0.8},
        ("accuracy", "recall", "precision", "f1", "auc", "hamming_loss"),
        "nn.Sigmoid()",
    ),
    "regression": Skeleton(
        ("answer",),
        lambda row, noise, _: (round(10 * _score(row, noise), 4),),
        1,
        "One number for each row. The network answers with one number too.",
        "mse",
        {"r2": 0.8},
        ("mae", "mse", "r2"),
        "",
        "columns[:, 0]",
    ),
    "ranking": Skeleton(
        ("relevance", "group"),
        lambda row, noise, number: (
            float(max(0, min(3, round(1.5 + _score(row, noise))))),
            float(number // ROWS_OF_A_GROUP),
        ),
        1,
        "The relevance of each row, and the group in which it is ranked. The network answers with a score.",
        "mse",
        {"ndcg": 0.85},
        ("ndcg", "map"),
        "",
        "columns",
        "table[:, -1].numpy()",
    ),
    "custom": Skeleton(
        ("answer",),
        lambda row, noise, _: (round(10 * _score(row, noise), 4),),
        1,
        "One number for each row. The network answers with a bound that few of these numbers exceed.",
        "custom",
        {"covered": 0.75},
        ("leakage",),
        "",
        "columns",
        own="own.py.txt",
        own_metrics={"covered": "higher", "excess": "lower"},
    ),
}


def init(
    task: Annotated[str, typer.Argument(metavar="TASK", help=f"One of {', '.join(TASKS)}.")],
    directory: Annotated[
        Path,
        typer.Argument(parser=local_path, metavar="DIRECTORY", help="A new or an empty folder."),
    ],
    name: Annotated[str, typer.Option(help="The model's name; by default that of the folder.")] = "",
) -> None:
    """Write a new model repository for a task. It passes `headgate check` as it is."""
    if task not in TASKS:
        usage(f"TASK: expected one of {', '.join(TASKS)}, got {task!r}")
    model = name or re.sub(r"[^a-z0-9_-]+", "-", directory.resolve().name.lower()).strip("-_")
    if not is_model_name(model):
        usage(f"--name: {MODEL_NAME_RULE}, got {model!r}")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise CommandFailed(f"{directory} exists and is not an empty folder: name a new one")
    written = repository_files(task, model)
    for file, content in written.items():
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text(content)
    report(f"wrote {counted(len(written), 'file')} for the model {model} into {directory}. Next:")
    quoted = shlex.quote(str(directory))
    for command in (
        f"headgate check {quoted}",
        f"git -C {quoted} init",
        f"git -C {quoted} add .",
        f'git -C {quoted} commit -m "First version"',
        f"headgate publish {quoted}",
    ):
        report(f"  {command}")


def repository_files(task: str, model: str) -> dict[str, str]:
    """The content of each file, by its path in the repository."""
    skeleton, rows = TASKS[task], rows_of(TASKS[task])
    folder = files("headgate.cli") / SKELETON
    words = {
        "NAME": model,
        "TASK": task,
        "SHA256": hashlib.sha256(rows.encode()).hexdigest(),
        "ANSWERS": _list(skeleton.answers, "[{}]"),
        "OUTPUTS": str(skeleton.outputs),
        "LAST": f"\n        {skeleton.last}," if skeleton.last else "",
        "SPLIT": skeleton.split,
        "MEANING": skeleton.meaning,
        "CONVERSION": skeleton.conversion,
        "LOSS": skeleton.loss,
        "METRICS": _list(skeleton.metrics, "{}"),
        "OWN": (folder / skeleton.own).read_text() if skeleton.own else "",
        "OWN_METRICS": _table("evaluate.own_metrics", skeleton.own_metrics),
        "GATE": "\n".join(f"{metric} = {{ min = {least} }}" for metric, least in skeleton.gate.items()),
    }
    written = {file: Template((folder / source).read_text()).substitute(words) for file, source in FILES.items()}
    return written | {DATA_FILE: rows}


def rows_of(skeleton: Skeleton) -> str:
    """Rows that are made up, always the same ones."""
    chance = random.Random(SEED)
    lines = [",".join((*FEATURES, *skeleton.answers))]
    for number in range(ROWS):
        row = tuple(round(chance.random(), 4) for _ in FEATURES)
        noise = chance.gauss(0, 1)
        answers = skeleton.answer((row[0], row[1], row[2], row[3]), noise, number)
        lines.append(",".join(f"{value:g}" for value in (*row, *answers)))
    return "\n".join(lines) + "\n"


def _table(name: str, values: Mapping[str, str]) -> str:
    lines = [f'{key} = "{value}"' for key, value in values.items()]
    return "\n".join(["", f"[{name}]", *lines, ""]) if lines else ""


def _list(words: tuple[str, ...], form: str) -> str:
    return form.format(", ".join(f'"{word}"' for word in words))
