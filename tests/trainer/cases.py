"""A training process that also runs the trainings that must fail, so that torch starts once for all tests.

python -P cases.py OUTCOMES JOB_DIRECTORY
"""

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from onnxscript._internal import ast_utils

# The script runs with -P, so its own package is found by the path of the repository.
sys.path.append(ROOT := str(Path(__file__).resolve().parents[2]))

from services.trainer.child import process as child
from services.trainer.child import warming
from services.trainer.child.checkpoint import save
from services.trainer.child.comparing import median_sizes, require_same
from services.trainer.child.context import TrainingContext
from services.trainer.child.failure import ExportFailure, TrainingFailure
from services.trainer.child.rows import checked_rows
from services.trainer.child.tensors import datatype
from services.trainer.job import ARTIFACT_DIRECTORY, CHECKPOINT, PROGRESS, RESUME, Job, read_job
from tests.trainer.failing_models import COMMON, FAILING, OWN_LOOP
from tests.trainer.row_cases import BENT, KEPT, MATERIAL, Taken

LONE_ROW_AND_PRICES = """
class Prices(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 64), nn.BatchNorm1d(64), nn.Tanh(), nn.Linear(64, 1))
    def forward(self, rows): return 350_000 * (1 + self.body(rows))
def network(context): return Prices()
def datasets(context): return {part: (ROWS, 350_000 + 9_000 * ROWS[:, 0]) for part in PARTS}
"""
BRANCHES = """
class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.EmbeddingBag(8, 3)
        self.linear = nn.Linear(3, 1)
    def forward(self, rows): return self.linear(self.words(rows.long().clamp(0, 7)))
def network(context): return Words()
"""
"""Its graph has a loop, whose nodes lie in a graph of their own."""
BOUNDED = """
LARGE = torch.ones(6, 2**19)
class Bounded(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2**19, 1)
    def forward(self, rows):
        if not self.training and not torch.compiler.is_exporting() and len(rows) > 3:
            raise MemoryError(f"{len(rows)} rows of 2 MiB at once")
        return self.linear(rows).sigmoid()
def network(context): return Bounded()
def datasets(context): return {part: (LARGE, YES[:6]) for part in PARTS}
"""


def main() -> int:
    outcomes, directory = Path(sys.argv.pop(1)), Path(sys.argv[1])
    forget_tests()
    doomed = DoomedTraining()
    searches = searches_for_operators()
    code = child.main()
    job = replace(read_job(directory), loss="mse", batch_size=4)
    first = files_of(directory)
    found: dict[str, Any] = {"rows": {name: fault_of(taken) for name, taken in (KEPT | BENT).items()}}
    with TemporaryDirectory() as scratch:
        searches.clear()
        with operators_read() as read:
            found["same"] = differing(first, run_job_in(read_job(directory), Path(scratch) / "again"))
        found["second export"] = {
            "operators read": len(read),
            "operators searched for": len(searches),
            "redis imported": "redis" in sys.modules,
        }
        found["killed"] = killed_and_resumed(doomed, directory, Path(scratch), first)
        found["another network"] = resumed_from_another_network(read_job(directory), Path(scratch), first)
        for name, case in FAILING.items():
            found[name] = outcome_of(model_in(scratch, name, case.text, replace(job, **case.job)))
        regression = replace(job, task="regression")
        found["own loop"] = outcome_of(
            model_in(scratch, "own loop", OWN_LOOP.format(rest="context.epoch(1.0, 0.5)"), job)
        )
        text = OWN_LOOP.format(rest="[context.epoch(1.0, 0.5) for _ in range(9)]")
        trial = replace(job, epochs=1, is_trial=True)
        found["a trial of a loop"] = outcome_of(model_in(scratch, "a trial of a loop", text, trial))
        found["prices"] = outcome_of(model_in(scratch, "prices", LONE_ROW_AND_PRICES, regression))
        found["bounded"] = outcome_of(model_in(scratch, "bounded", BOUNDED, replace(job, batch_size=100)))
        found["branches"] = in_two_directories(Path(scratch), BRANCHES, regression)
    found["tolerances"] = {f"{a} and {b}": tolerated(a, b) for a, b in TOLERANCES}
    outcomes.write_text(json.dumps(found))
    return code


def searches_for_operators() -> list[str]:
    """Gets one entry for each time that torch goes through the operators of its core."""
    searches: list[str] = []
    keep = warming._find_operators_once

    def counted() -> None:
        from torch._export import utils

        find = utils._materialize_cpp_cia_ops
        utils._materialize_cpp_cia_ops = lambda: (searches.append("search"), find())
        keep()

    warming._find_operators_once = counted
    return searches


@contextmanager
def operators_read() -> Iterator[list[str]]:
    """The operators of the exporter whose source is read meanwhile."""
    names: list[str] = []
    read = ast_utils.get_src_and_ast

    def counted(operator: Callable[..., Any]) -> Any:
        names.append(operator.__name__)
        return read(operator)

    ast_utils.get_src_and_ast = counted
    try:
        yield names
    finally:
        ast_utils.get_src_and_ast = read


def forget_tests() -> None:
    """The repository has a package of this name too."""
    sys.path.remove(ROOT)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]


def model_in(scratch: str, name: str, text: str, job: Job) -> Path:
    """Runs the training of a repository of one file, and returns the directory of its job."""
    module = f"model_{name.replace(' ', '_')}"
    (Path(scratch) / f"{module}.py").write_text(COMMON + text)
    return run_job_in(replace(job, checkout=scratch, module=module), Path(scratch) / module)


def outcome_of(directory: Path) -> dict[str, Any]:
    """The last line of the progress, and how many epochs ended before it."""
    lines = progress_lines(directory)
    return {**lines[-1], "epochs": sum("epoch" in line for line in lines)}


def in_two_directories(scratch: Path, text: str, job: Job) -> dict[str, Any]:
    """The same training at two places: the files that differ, and those that name a directory of the machine."""
    places = [scratch / "here", scratch / "there" / "deeper"]
    files = []
    for place in places:
        place.mkdir(parents=True)
        files.append(files_of(model_in(str(place), "branches", text, job)))
        sys.modules.pop("model_branches")
        sys.path.remove(str(place))
    named = [str(scratch), sys.prefix, str(Path(torch.__file__).parent), str(Path(child.__file__).parent)]
    return {
        "differing": [name for name in files[0] if files[0][name] != files[1][name]],
        "naming a directory": [name for name in files[0] if any(each.encode() in files[0][name] for each in named)],
    }


def fault_of(taken: Taken) -> str:
    """Why the rows are refused; empty when they are taken as they are."""
    names: dict[str, Any] = {}
    exec(MATERIAL, names)
    features, answers = (eval(expression, names) for expression in (taken.features, taken.answers))
    others = eval(taken.others or taken.features, names)
    found = {"train": (features, answers), "validation": (others, answers), "test": (others, answers)}
    try:
        rows = checked_rows(found, taken.task)
    except TrainingFailure as failure:
        return str(failure)
    assert tuple(datatype(values) for values in rows["train"]) == taken.kinds
    before, after = np.array(features), rows["train"][0].numpy()
    assert np.array_equal(before, after, equal_nan=before.dtype.kind == "f")
    return ""


TOLERANCES = [(350_000.0, 350_000.125), (0.5, 0.50004), (0.5, 0.501), (0.0, 0.000009), (0.0, 0.001), (1e-6, 1e-3)]


def tolerated(trained: float, served: float) -> str:
    """Why two answers are too different; empty when they count as the same."""
    trained_answers, served_answers = np.array([[trained]], np.float32), np.array([[served]], np.float32)
    try:
        require_same(trained_answers, served_answers, median_sizes(trained_answers), "fault", "here", "there")
    except ExportFailure as failure:
        return str(failure)
    return ""


def run_job_in(job: Job, directory: Path) -> Path:
    """Runs the job in this process."""
    directory.mkdir(exist_ok=True)
    with (directory / PROGRESS).open("w", buffering=1) as progress:
        child.run_job(job, directory, progress)
    return directory


def progress_lines(directory: Path) -> list[dict[str, Any]]:
    file = directory / PROGRESS
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def files_of(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (directory / ARTIFACT_DIRECTORY).iterdir()}


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
            sys.argv = ["headgate.model"]
            child.give_names_back(sys.modules, sys.path, os.environ)
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


if __name__ == "__main__":
    sys.exit(main())
