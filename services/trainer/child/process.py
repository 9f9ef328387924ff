"""The training process: the only one that imports torch and runs a repository's network.

It starts with the attempt and imports torch while the commit is fetched and tested, because the import takes longer
than a small training. Until it reads the start line it runs no code of the repository; the packages of its lock are not
the repository's. It trains once, and writes its progress as lines.
"""

import gc
import logging
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from headgate.configuration import ONNX
from services.trainer.child.built import build_artifact
from services.trainer.child.context import CheckpointFiles, TrainingContext
from services.trainer.child.exporting import export
from services.trainer.child.failure import ExportFailure, NotResumable, TrainingFailure, line_of
from services.trainer.child.names import give_names_back
from services.trainer.child.progress import report, report_failed, report_finished
from services.trainer.child.rehearsal import rehearse
from services.trainer.child.training import LoadedModel, load_model, make_deterministic, train
from services.trainer.child.warming import warm_up
from services.trainer.job import ARTIFACT_DIRECTORY, CHECKPOINT, PROGRESS, RESUME, START_LINE, Job, read_job

Trained = tuple[TrainingContext, LoadedModel]
"""The training that has ended, and what the repository defines."""

logger = logging.getLogger(__name__)


def main() -> int:
    directory = Path(sys.argv[1])
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warm_up()
    # What the imports have made stays until the end, so the collector need not look at it again.
    gc.freeze()
    gc.enable()
    if sys.stdin.readline().strip() != START_LINE:
        return 0
    # The repository's code gets an empty standard input.
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    job = read_job(directory)
    os.chdir(job.checkout)
    sys.argv = [job.module]
    give_names_back(sys.modules, sys.path, os.environ)
    with (directory / PROGRESS).open("w", buffering=1) as progress:
        return run_job(job, directory, progress)


def run_job(job: Job, directory: Path, progress: TextIO) -> int:
    stage = "TRAINING"
    files = directory / ARTIFACT_DIRECTORY
    try:
        make_deterministic()
        files.mkdir()
        if job.kind == ONNX:
            build_artifact(files, job)
            report_finished(progress)
            return 0
        context, model = train_model(job, directory, progress)
        stage = "EXPORT"
        difference = export(files, context.network, model, job, context.history)
    except SystemExit as ended:
        report_failed(progress, stage, f"the repository's code ended the process: sys.exit({ended.code!r})")
        return 1
    except Exception as error:  # noqa: BLE001  # foreign code: whatever it raises is the reason of the failure
        known = isinstance(error, TrainingFailure | ExportFailure)
        reason = str(error) if known else f"{type(error).__name__}: {error}{line_of(error, job.checkout)}"
        print_origin(error.__cause__ if known else error)
        if isinstance(error, ExportFailure):
            stage = "EXPORT"
        report_failed(progress, stage, reason)
        return 1
    report_finished(progress, asdict(context.history[-1]), difference, context.resumed_from)
    return 0


def print_origin(error: BaseException | None) -> None:
    """Prints where foreign code raised the error; nothing for a failure that Headgate has described itself."""
    if error is not None:
        traceback.print_exception(error)


def train_model(job: Job, directory: Path, progress: TextIO) -> Trained:
    """Goes on from a lost attempt's checkpoint if there is one that fits. Otherwise it starts from the beginning."""
    try:
        return train_once(job, directory, progress)
    except NotResumable as reason:
        logger.warning("the training starts from the beginning: %s", reason)
        (directory / RESUME).unlink()
        return train_once(job, directory, progress)


def train_once(job: Job, directory: Path, progress: TextIO) -> Trained:
    model = load_model(job)
    rehearse(model, job)
    context = TrainingContext(
        model.network,
        model.rows | ({"train": model.stream.source} if model.stream else {}),
        job,
        CheckpointFiles(directory / CHECKPOINT, directory / RESUME, job.checkpoint_seconds),
        on_epoch=lambda epoch: report(progress, epoch=asdict(epoch)),
        on_checkpoint=lambda epoch: report(progress, checkpoint=epoch),
    )
    train(context, model, job)
    return context, model
