"""The training child: the only process that imports torch and runs a repository's network. Tells its progress as lines.

python -P -m services.trainer.child JOB_DIRECTORY
"""

import json
import logging
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from services.trainer.exporting import export
from services.trainer.job import FILES, PROGRESS, Job, read_job
from services.trainer.training import TrainingFailure, be_deterministic, prepare, train


def main() -> int:
    directory = Path(sys.argv[1])
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (directory / PROGRESS).open("w", buffering=1) as progress:
        return attempt(read_job(directory), directory / FILES, progress)


def attempt(job: Job, files: Path, progress: TextIO) -> int:
    stage = "TRAINING"
    try:
        be_deterministic()
        subject = prepare(job)
        epochs = []
        for epoch in train(subject, job):
            epochs.append(epoch)
            tell(progress, epoch=asdict(epoch))
        stage = "EXPORT"
        files.mkdir()
        difference = export(files, subject.network, subject.rows, job, epochs)
    except Exception as error:  # noqa: BLE001  # foreign code: whatever it raises is the reason of the failure
        traceback.print_exc()
        known = isinstance(error, TrainingFailure) or type(error).__module__ == "services.trainer.exporting"
        tell(progress, failed={"stage": stage, "reason": str(error) if known else f"{type(error).__name__}: {error}"})
        return 1
    tell(progress, finished={"epochs": asdict(epochs[-1]), "export_difference": difference})
    return 0


def tell(progress: TextIO, **line: object) -> None:
    progress.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
