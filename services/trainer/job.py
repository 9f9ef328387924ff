"""The files in a job's directory through which the trainer and its training process talk. Imports no torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headgate.evaluation_tables import DEFAULT_THRESHOLD
from services.trainer.programs.foreign_files import write_new

JOB = "job.json"
PROGRESS = "progress.jsonl"
START_LINE = "train"
"""The trainer writes this line to the standard input of the training process when the job is ready."""
OWN_PATHS = "PYTHONPATH"
"""The variable that tells the training process where Headgate's own packages are. It removes it before foreign code."""
CHECKPOINT = "checkpoint.safetensors"
"""The training process writes its last checkpoint here."""
RESUME = "resume.safetensors"
"""The checkpoint of a lost attempt, when there is one: the training goes on from it."""
NO_EPOCHS = {"epoch": 0, "train_loss": 0.0, "validation_loss": 0.0}
"""What is reported when Headgate does not train itself: it knows of no epochs."""
ARTIFACT_DIRECTORY = "files"
"""The training process writes the files of the artifact into this directory."""


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
    class_weights: Sequence[float] | str = ()
    """For each class, or for each label; or `balanced`."""
    outputs: Sequence[str] = ()
    """The names of the parts of a tuple that the network answers."""
    measured: str = ""
    """The output, and the answer, that the task is about."""
    dimensions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For each input of which more than the batch varies, the name or the size of each dimension."""
    own_metrics: Sequence[str] = ()
    """What metrics(context, prediction, answers) of the repository returns."""
    threshold: float = DEFAULT_THRESHOLD
    """At this probability or above, the answer is a yes, where none is chosen."""
    threshold_choice: Mapping[str, Any] = field(default_factory=dict)
    """The fields of a ThresholdChoice; none when the threshold is given."""
    kind: str = ""
    """onnx when the repository's build(context) leaves an ONNX file; empty when its network is trained here."""
    answers: str = ""
    """Of an imported version, which has no module: the column of the test rows with the true answers."""
    input_names: Mapping[str, str] = field(default_factory=dict)
    """Of an ONNX file: what callers call an input, by what the file calls it."""
    served_as: str = ""
    """Of an ONNX file: the name of the measured output, when it alone is served."""
    slices: Sequence[Mapping[str, Any]] = ()
    """The fields of each Slice."""
    is_trial: bool = False
    """A training loop of the repository that knows its epochs itself is ended after `epochs`, and does not fail."""


def write_job(directory: Path, job: Job) -> None:
    write_new(directory / JOB, json.dumps(asdict(job)).encode())


def read_job(directory: Path) -> Job:
    return Job(**json.loads((directory / JOB).read_text()))
