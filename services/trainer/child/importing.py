"""The process that inspects the file of an imported version and asks it for its answers. It imports no torch.

python -P -m services.trainer.child.importing JOB_DIRECTORY

It runs no foreign code, but the file is foreign: whatever reading or running it does to a process, it does to this one.
"""

import sys
from pathlib import Path
from typing import TextIO

from services.trainer.child.built import build_artifact
from services.trainer.child.failure import ExportFailure, TrainingFailure
from services.trainer.child.progress import report_failed, report_finished
from services.trainer.job import ARTIFACT_DIRECTORY, PROGRESS, START_LINE, Job, read_job


def main() -> int:
    directory = Path(sys.argv[1])
    if sys.stdin.readline().strip() != START_LINE:
        return 0
    with (directory / PROGRESS).open("w", buffering=1) as progress:
        return run_job(read_job(directory), directory / ARTIFACT_DIRECTORY, progress)


def run_job(job: Job, files: Path, progress: TextIO) -> int:
    files.mkdir()
    try:
        build_artifact(files, job)
    except (TrainingFailure, ExportFailure) as failure:
        report_failed(progress, "EXPORT", str(failure))
        return 1
    report_finished(progress)
    return 0


if __name__ == "__main__":
    sys.exit(main())
