"""The training child: the only process that imports torch and runs a repository's network. Tells its progress as lines.

python -P -m services.trainer.child JOB_DIRECTORY

It is started when an attempt begins and gets itself ready while the commit is fetched and tested, since torch and its
exporter take longer to import than a small network takes to train. It trains once, when it is told to on its standard
input, and has run nobody's code before.
"""

import json
import logging
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from services.trainer.child.checkpoint import NotResumable
from services.trainer.child.course import Course, Papers, TrainingFailure
from services.trainer.child.exporting import export, get_ready
from services.trainer.child.training import be_deterministic, prepare, train
from services.trainer.job import CHECKPOINT, FILES, PROGRESS, RESUME, TRAIN, Job, read_job

logger = logging.getLogger(__name__)


def main() -> int:
    directory = Path(sys.argv[1])
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    get_ready()
    if sys.stdin.readline().strip() != TRAIN:
        return 0
    # What the repository runs has nothing to read.
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    job = read_job(directory)
    os.chdir(job.checkout)
    with (directory / PROGRESS).open("w", buffering=1) as progress:
        return attempt(job, directory, progress)


def attempt(job: Job, directory: Path, progress: TextIO) -> int:
    stage = "TRAINING"
    try:
        be_deterministic()
        course = trained(job, directory, progress)
        stage = "EXPORT"
        files = directory / FILES
        files.mkdir()
        difference = export(files, course.network, course.rows, job, course.history)
    except Exception as error:  # noqa: BLE001  # foreign code: whatever it raises is the reason of the failure
        traceback.print_exc()
        known = isinstance(error, TrainingFailure) or type(error).__module__ == "services.trainer.child.exporting"
        tell(progress, failed={"stage": stage, "reason": str(error) if known else f"{type(error).__name__}: {error}"})
        return 1
    last = asdict(course.history[-1])
    tell(
        progress,
        finished={"epochs": last, "export_difference": difference, "resumed_from": course.resumed_from},
    )
    return 0


def trained(job: Job, directory: Path, progress: TextIO) -> Course:
    """Goes on from a lost attempt's checkpoint where there is one and it fits; from nothing otherwise."""
    try:
        return one_training(job, directory, progress)
    except NotResumable as reason:
        logger.warning("begun anew: %s", reason)
        (directory / RESUME).unlink()
        return one_training(job, directory, progress)


def one_training(job: Job, directory: Path, progress: TextIO) -> Course:
    subject = prepare(job)
    course = Course(
        subject.network,
        subject.rows,
        job,
        Papers(directory / CHECKPOINT, directory / RESUME, job.checkpoint_seconds),
        lambda epoch: tell(progress, epoch=asdict(epoch)),
        lambda epoch: tell(progress, checkpoint=epoch),
    )
    train(course, subject.hook)
    return course


def tell(progress: TextIO, **line: object) -> None:
    progress.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
