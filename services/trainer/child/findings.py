"""What only this process can find out: rows of test that stand in training, a threshold, the repository's metrics."""

from collections.abc import Iterator

import torch
from torch import nn

from headgate.artifacts.batches import rows_at_once
from headgate.artifacts.findings import Findings
from headgate.artifacts.layout import OUTPUT, measured
from services.trainer.child.agreement import Agreement, run_in_batches, torch_run
from services.trainer.child.comparing import NamedAnswers
from services.trainer.child.losses import form_of
from services.trainer.child.own_metrics import OwnMetrics, measured_by_the_repository, numbers_of
from services.trainer.child.ragged import is_ragged
from services.trainer.child.row_findings import (
    Arrays,
    check_slices,
    chosen_threshold,
    leaked_rows,
    require_positive,
)
from services.trainer.child.rows import measured_answers_of
from services.trainer.child.tensors import Rows, Tensors, inputs, row_bytes
from services.trainer.child.training import LoadedModel
from services.trainer.job import Job


def find_out(network: nn.Module, model: LoadedModel, validated: Agreement, job: Job) -> Findings:
    """`validated` has what the network answers to the validation rows. Raises TrainingFailure."""
    rows = model.rows
    one_by_one = validated.varies
    return Findings(
        own_metrics(model.own_metrics, network, rows["test"], job, one_by_one) if model.own_metrics else {},
        threshold_on(validated.answers, rows["validation"], job),
        leaked_rows(training_features(model), arrays(rows["test"][0])),
    )


def check_findings(model: LoadedModel, job: Job) -> None:
    """Finds before the first epoch what cannot be found out after the last one. Raises TrainingFailure."""
    rows, own = model.rows, model.own_metrics
    check_slices(arrays(rows["test"][0]), job)
    if job.threshold_choice:
        require_positive(measured_answers_of(rows["validation"][1], job.measured).numpy(), job)
    if own:
        with torch.no_grad():
            numbers_of(own, predictions_of(model.network, rows["test"][0], job), rows["test"][1])


def own_metrics(own: OwnMetrics, network: nn.Module, rows: Rows, job: Job, one_by_one: bool) -> dict[str, float]:
    features, answers = rows
    with torch.no_grad():
        return measured_by_the_repository(own, predictions_of(network, features, job, one_by_one), answers)


def predictions_of(network: nn.Module, features: Tensors, job: Job, one_by_one: bool = False) -> object:
    """What is served for the rows: one tensor, or several by name; a list of tensors where each row has a size."""
    run = torch_run(network, features, form_of(job))
    found = run_in_batches(run, features, 1 if one_by_one else rows_at_once(row_bytes(features), job.batch_size))
    if not one_by_one and any(map(is_ragged, found.values())):
        return predictions_of(network, features, job, one_by_one=True)
    tensors = {
        name: list(map(torch.from_numpy, array)) if is_ragged(array) else torch.from_numpy(array)
        for name, array in found.items()
    }
    return tensors[OUTPUT] if list(tensors) == [OUTPUT] else tensors


def threshold_on(validated: NamedAnswers, rows: Rows, job: Job) -> float | None:
    """None when headgate.toml gives the threshold itself. Raises TrainingFailure."""
    if not job.threshold_choice:
        return None
    answers = measured_answers_of(rows[1], job.measured)
    return chosen_threshold(validated[measured(validated, job.measured)], answers.numpy(), job)


def training_features(model: LoadedModel) -> Iterator[Arrays]:
    """All of them, a batch at a time where they are read so. Raises TrainingFailure."""
    if model.stream is None:
        yield arrays(model.rows["train"][0])
    else:
        for features, _ in model.stream.batches(torch.Generator()):
            yield arrays(features)


def arrays(features: Tensors) -> Arrays:
    """The same rows as numpy has them, not copied."""
    return {name: tensor.numpy() for name, tensor in inputs(features).items()}
