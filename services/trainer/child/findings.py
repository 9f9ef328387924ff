"""What only this process can find out: rows of test that stand in training, a threshold, the repository's metrics."""

from collections import Counter
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from headgate.artifacts.answers import WrongMeaning, as_classes, as_probabilities
from headgate.artifacts.findings import Findings
from headgate.artifacts.layout import measured
from headgate.artifacts.slices import WrongSlice, rows_in
from headgate.artifacts.thresholds import NoThreshold, choose
from headgate.v1 import configuration_pb2 as configuration
from services.trainer.child.agreement import NamedAnswers
from services.trainer.child.failure import TrainingFailure
from services.trainer.child.own_metrics import measured_by_the_repository, numbers_of
from services.trainer.child.rows import measured_answers_of
from services.trainer.child.tensors import Rows, Tensors, inputs
from services.trainer.child.training import LoadedModel
from services.trainer.job import Job

ROWS_AT_ONCE = 4_096
"""So that no second copy of the rows is held."""


def find_out(network: nn.Module, model: LoadedModel, validated: NamedAnswers, job: Job) -> Findings:
    """`validated` is what the network answers to the validation rows. Raises TrainingFailure."""
    own, rows = model.own_metrics, model.rows
    return Findings(
        measured_by_the_repository(own, network, rows["test"], job) if own else {},
        chosen_threshold(validated, rows["validation"], job),
        leaked_rows(training_features(model), rows["test"][0]),
    )


def check_findings(model: LoadedModel, job: Job) -> None:
    """Finds before the first epoch what cannot be found out after the last one. Raises TrainingFailure."""
    rows, own = model.rows, model.own_metrics
    features = {name: tensor.numpy() for name, tensor in inputs(rows["test"][0]).items()}
    for each in job.slices:
        try:
            rows_in(configuration.Slice(**each), features)
        except WrongSlice as error:
            raise TrainingFailure(str(error)) from error
    if job.threshold_choice and not (measured_answers_of(rows["validation"][1], job.measured) == 1).any():
        raise TrainingFailure("evaluate.threshold: no validation row is positive, so none can be chosen")
    if own:
        numbers_of(own, model.network, rows["test"], job)


def chosen_threshold(validated: NamedAnswers, rows: Rows, job: Job) -> float | None:
    """None when headgate.toml gives the threshold itself."""
    if not job.threshold_choice:
        return None
    choice = configuration.ThresholdChoice(**job.threshold_choice)
    predictions = validated[measured(validated, job.measured)]
    answers = measured_answers_of(rows[1], job.measured)
    try:
        return choose(choice, as_probabilities(predictions), as_classes(answers.numpy(), 2))
    except (NoThreshold, WrongMeaning) as error:
        raise TrainingFailure(f"evaluate.threshold: {error}") from error


def training_features(model: LoadedModel) -> Iterator[Tensors]:
    """All of them, a batch at a time where they are read so. Raises TrainingFailure."""
    if model.stream is None:
        yield model.rows["train"][0]
    else:
        for features, _ in model.stream.batches(torch.Generator()):
            yield features


def leaked_rows(train: Iterable[Tensors], test: Tensors) -> int:
    """How many test rows have the same features as some training row, bit for bit."""
    hashes = Counter(_hashes(test))
    seen = {row for features in train for row in _hashes(features) if row in hashes}
    return sum(hashes[row] for row in seen)


def _hashes(features: Tensors) -> Iterator[int]:
    parts = [_bytes_of_rows(tensor) for _, tensor in sorted(inputs(features).items())]
    for row in zip(*parts, strict=True):
        yield hash(b"".join(row))


def _bytes_of_rows(tensor: Tensor) -> Iterator[bytes]:
    for first in range(0, len(tensor), ROWS_AT_ONCE):
        some = tensor[first : first + ROWS_AT_ONCE]
        # -0.0 and 0.0 are the same number.
        values = some + 0 if some.is_floating_point() else some
        for row in values.reshape(len(some), -1).contiguous().view(torch.uint8).numpy():
            yield row.tobytes()
