"""A training process that also runs the trainings that must fail, so that torch starts once for all tests.

python -P cases.py OUTCOMES JOB_DIRECTORY
"""

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from headgate.artifacts.layout import MODEL_FILE
from services.trainer.child import __main__ as child
from services.trainer.child.checkpoint import save
from services.trainer.child.context import TrainingContext
from services.trainer.child.exporting import ExportFailure, largest_difference
from services.trainer.job import ARTIFACT_DIRECTORY, CHECKPOINT, PROGRESS, RESUME, Job, read_job

OWN_LOOP = """
def train(context):
    optimizer = torch.optim.SGD(context.network.parameters(), lr=context.settings.learning_rate)
    done = context.resume(optimizer)
    rows, answers = context.rows["train"]
    (context.network(rows).flatten() - answers).square().mean().backward()
    optimizer.step()
    {rest}
"""
CASES = {
    "nan loss": "def network(context): return nn.Sequential(nn.Linear(3, 1), Blank())",
    "no module": "def network(context): return 3",
    "raises": "def network(context): raise RuntimeError('no idea')",
    "no test part": "def datasets(context): return {'train': (ROWS, ROWS[:, 0]), 'validation': (ROWS, ROWS[:, 0])}",
    "own loop": OWN_LOOP.format(rest="context.epoch(1.0, 0.5)"),
    "no epoch": "def train(context): pass",
    "too many epochs": OWN_LOOP.format(rest="[context.epoch(1.0, 1.0) for _ in range(9)]"),
    "returns": OWN_LOOP.format(rest="context.epoch(1.0, 1.0); return context.network"),
    "own nan": OWN_LOOP.format(rest="context.epoch(float('nan'), 1.0)"),
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
    doomed = DoomedTraining()
    code = child.main()
    job = replace(read_job(directory), loss="mse")
    first = {file.name: file.read_bytes() for file in (directory / ARTIFACT_DIRECTORY).iterdir()}
    found = {}
    with TemporaryDirectory() as scratch:
        found["same"] = differing(first, run_job_in(read_job(directory), Path(scratch) / "again"))
        found["killed"] = killed_and_resumed(doomed, directory, Path(scratch), first)
        found["another network"] = resumed_from_another_network(read_job(directory), Path(scratch), first)
        for number, (name, text) in enumerate(CASES.items()):
            (Path(scratch) / f"case{number}.py").write_text(COMMON + text)
            case = Path(scratch) / f"case{number}"
            run_job_in(replace(job, checkout=scratch, module=case.name, batch_size=4), case)
            found[name] = progress_lines(case)[-1]
    found["differs"] = unfaithful(first[MODEL_FILE])
    outcomes.write_text(json.dumps(found))
    return code


def run_job_in(job: Job, directory: Path) -> Path:
    """Runs the job in this process."""
    directory.mkdir(exist_ok=True)
    with (directory / PROGRESS).open("w", buffering=1) as progress:
        child.run_job(job, directory, progress)
    return directory


def progress_lines(directory: Path) -> list[dict[str, Any]]:
    file = directory / PROGRESS
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def differing(first: dict[str, bytes], directory: Path) -> list[str]:
    return [name for name, content in first.items() if (directory / ARTIFACT_DIRECTORY / name).read_bytes() != content]


class DoomedTraining:
    """A training that is killed with SIGKILL after three epochs.

    It is forked before torch trains anything, because autograd does not work in a fork that comes later.
    """

    def __init__(self) -> None:
        read_end, self._write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            job_directory, directory = os.read(read_end, 65_536).decode().splitlines()
            TrainingContext.epoch = stuck_after_three(TrainingContext.epoch)  # type: ignore[method-assign]
            run_job_in(read_job(Path(job_directory)), Path(directory))
            os._exit(0)

    def run(self, job_directory: Path, directory: Path) -> int:
        """The signal that ended it."""
        os.write(self._write_end, f"{job_directory}\n{directory}".encode())
        pause = threading.Event()
        for _ in range(6_000):
            if {"checkpoint": 3} in progress_lines(directory):
                break
            pause.wait(0.01)
        os.kill(self._pid, signal.SIGKILL)
        return os.WTERMSIG(os.waitpid(self._pid, 0)[1])


def killed_and_resumed(
    doomed: DoomedTraining, job_directory: Path, scratch: Path, first: dict[str, bytes]
) -> dict[str, Any]:
    killed_by = doomed.run(job_directory, scratch / "lost")
    directory = scratch / "taken-over"
    directory.mkdir()
    (scratch / "lost" / CHECKPOINT).rename(directory / RESUME)
    # The random state changes between the two trainings.
    random.seed(99)
    run_job_in(read_job(job_directory), directory)
    return {
        "signal": killed_by,
        "resumed from": progress_lines(directory)[-1]["finished"]["resumed_from"],
        "epochs reported": [line["epoch"]["epoch"] for line in progress_lines(directory) if "epoch" in line],
        "differing": differing(first, directory),
    }


def stuck_after_three(epoch: Callable[..., None]) -> Callable[..., None]:
    def report_or_hang(context: TrainingContext, *losses: float) -> None:
        epoch(context, *losses)
        if len(context.history) == 3:
            signal.pause()

    return report_or_hang


def resumed_from_another_network(job: Job, scratch: Path, first: dict[str, bytes]) -> dict[str, Any]:
    """The checkpoint is of another network, so the training starts from the beginning."""
    directory = scratch / "another-network"
    directory.mkdir()
    save(directory / RESUME, torch.nn.Linear(1, 1), [], [])
    run_job_in(job, directory)
    finished = progress_lines(directory)[-1]["finished"]
    return {"resumed from": finished["resumed_from"], "differing": differing(first, directory)}


def unfaithful(graph: bytes) -> str:
    try:
        largest_difference(graph, torch.ones(2, 3), torch.zeros(2, 1))
    except ExportFailure as failure:
        return str(failure)
    return ""


if __name__ == "__main__":
    sys.exit(main())
