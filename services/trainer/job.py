"""What the trainer and its training child tell each other through files in the job's directory. Knows no torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

JOB = "job.json"
PROGRESS = "progress.jsonl"
TRAIN = "train"
"""What the child is told once the job is written."""
CHECKPOINT = "checkpoint.safetensors"
RESUME = "resume.safetensors"
"""Where the child writes its last checkpoint, and where it finds the one to go on from."""
FILES = "files"
"""Directory of the artifact's files inside the job's."""


@dataclass(frozen=True, slots=True)
class Job:
    checkout: str
    module: str
    task: str
    data: Mapping[str, str]
    parameters: Mapping[str, Any]
    loss: str
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    epochs: int
    batch_size: int
    seed: int
    environment: Mapping[str, str]
    checkpoint_seconds: float


def write_job(directory: Path, job: Job) -> None:
    (directory / JOB).write_text(json.dumps(asdict(job)))


def read_job(directory: Path) -> Job:
    return Job(**json.loads((directory / JOB).read_text()))
