"""What a training minimises: a loss of [train] or the repository's own, and what is served where it takes logits.

A loss that takes logits trains on what the network answers. The task takes probabilities, so the activation that makes
them becomes part of what is measured, exported and served.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from headgate.artifacts.answers import BINARY, MULTILABEL, RANKING, Floats, Integers
from headgate.artifacts.layout import Unclear, measured
from headgate.configuration import BALANCED
from services.trainer.child.failure import TrainingFailure
from services.trainer.child.rows import measured_answers_of
from services.trainer.child.tensors import Named, Tensors, outputs_of
from services.trainer.job import Job

OWN = "custom"
"""The loss of [train] that is the repository's own function."""
COMPARES = "compares one output with one answer"
TWO = "Set network.measured, or define loss(context, prediction, answers) and set train.loss to custom"
Loss = Callable[[Any, Tensors], Tensor]
"""Takes what the network answers and the true answers, and returns their mean loss."""
Compare = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True, slots=True)
class Form:
    """What the network's answers are called, and what becomes of the measured one before it is served."""

    declared: Sequence[str] = ()
    """The names that the repository gives to the parts of a tuple."""
    measured: str = ""
    activation: Callable[[Tensor], Tensor] | None = None

    def outputs(self, answer: Any) -> Named:
        """What is served, by name. Raises TypeError for anything but tensors, and Unclear."""
        outputs = outputs_of(answer, self.declared)
        if self.activation is None:
            return outputs
        name = measured(outputs, self.measured)
        return outputs | {name: self.activation(outputs[name])}


def form_of(job: Job) -> Form:
    return Form(job.outputs, job.measured, ACTIVATIONS.get((job.loss, job.task)))


def loss_of(job: Job, own: Callable[[Any, Tensors], Any] | None, train_answers: Tensors | None) -> Loss:
    """The loss of [train]. The training answers are None when they are not in the memory. Raises TrainingFailure."""
    if job.loss == OWN:
        if own is None:
            raise TrainingFailure(
                f"train.loss: {OWN} needs loss(context, prediction, answers) in {job.module}, which defines none"
            )
        return checked_loss(own)
    weights = class_weights(job, train_answers)
    compare = LOSSES[job.loss]

    def loss(answer: Any, answers: Tensors) -> Tensor:
        return compare(*compared(job, answer, answers), weights)

    return loss


def checked_loss(own: Callable[[Any, Tensors], Any]) -> Loss:
    """The repository's own loss, which must be one number that depends on the weights."""

    def loss(answer: Any, answers: Tensors) -> Tensor:
        found = own(answer, answers)
        if not isinstance(found, Tensor) or found.numel() != 1:
            shown = f"the shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise TrainingFailure(f"loss(context, prediction, answers): expected one number as a tensor, got {shown}")
        if torch.is_grad_enabled() and not found.requires_grad:
            raise TrainingFailure(
                "loss(context, prediction, answers): it does not depend on the network's weights, as after detach(),"
                " item() or numpy(); compute it from prediction with torch alone"
            )
        return found.reshape(())

    return loss


def compared(job: Job, answer: Any, answers: Tensors) -> tuple[Tensor, Tensor]:
    """The prediction and the answers that a loss of [train] compares. Raises TrainingFailure."""
    prediction, true_answers = _compared(job, answer, answers)
    # The answer of a ranked row has its group too, with which no loss compares a score.
    return prediction, true_answers[:, 0] if job.task == RANKING else true_answers


def _compared(job: Job, answer: Any, answers: Tensors) -> tuple[Tensor, Tensor]:
    if isinstance(answer, Tensor) and isinstance(answers, Tensor):
        return answer, answers
    outputs = outputs_of(answer, job.outputs)
    trained = [name for name in outputs if not isinstance(answers, Tensor) and name in answers]
    if len(trained) > 1:
        raise TrainingFailure(
            f"train.loss: {job.loss} {COMPARES}, and there are answers to {', '.join(trained)}. {TWO}"
        )
    try:
        return outputs[measured(outputs, job.measured)], measured_answers_of(answers, job.measured)
    except Unclear as error:
        raise TrainingFailure(f"train.loss: {job.loss} {COMPARES}, got {error}. {TWO}") from error


def class_weights(job: Job, train_answers: Tensors | None) -> Tensor | None:
    """The weight of each class, or of each label; of balanced labels a row for no and one for yes.

    Raises TrainingFailure.
    """
    if job.class_weights != BALANCED:
        return torch.tensor(job.class_weights, dtype=torch.float64) if job.class_weights else None
    if train_answers is None:
        raise TrainingFailure("train.class_weights: list the weights, because the training rows are read in batches")
    answers = measured_answers_of(train_answers, job.measured).numpy().astype(np.int64)
    return torch.from_numpy(balanced_labels(answers) if job.task == MULTILABEL else balanced(answers.reshape(-1)))


def balanced(answers: Integers) -> Floats:
    """For each class the number of rows by that of its own rows, as scikit-learn does. Raises TrainingFailure."""
    counts = np.bincount(answers, minlength=2)
    if not counts.all():
        absent = int(np.argmin(counts))
        raise TrainingFailure(f"train.class_weights: no training row is of the class {absent}; list the weights")
    return len(answers) / (len(counts) * counts)


def balanced_labels(answers: Integers) -> Floats:
    """The same for the two classes of each label: [2, labels]. Raises TrainingFailure."""
    yes = answers.sum(axis=0)
    for label in np.flatnonzero((yes == 0) | (yes == len(answers))):
        found = f"{'no' if yes[label] == 0 else 'every'} training row has the label {label}"
        raise TrainingFailure(f"train.class_weights: {found}; list the weights")
    return len(answers) / (2 * np.stack([len(answers) - yes, yes]))


def mse(prediction: Tensor, answers: Tensor, weights: Tensor | None) -> Tensor:
    answers = match_shape(answers, prediction)
    weight = weight_of_each(answers, weights)
    if weight is None:
        return functional.mse_loss(prediction, answers)
    return (functional.mse_loss(prediction, answers, reduction="none") * weight).mean()


def bce(prediction: Tensor, answers: Tensor, weights: Tensor | None) -> Tensor:
    """Takes probabilities: the network ends in a sigmoid, so that it serves probabilities too."""
    answers = match_shape(answers, prediction)
    return functional.binary_cross_entropy(prediction, answers, weight_of_each(answers, weights))


def bce_with_logits(prediction: Tensor, answers: Tensor, weights: Tensor | None) -> Tensor:
    answers = match_shape(answers, prediction)
    return functional.binary_cross_entropy_with_logits(prediction, answers, weight_of_each(answers, weights))


def cross_entropy(prediction: Tensor, answers: Tensor, weights: Tensor | None) -> Tensor:
    """Takes a row of logits for each answer; there may be several answers for each row, as one for each step."""
    if prediction.ndim > 2 and answers.numel() * prediction.shape[-1] == prediction.numel():
        prediction = prediction.reshape(-1, prediction.shape[-1])
    if prediction.ndim == 2 and answers.numel() == len(prediction):
        answers = answers.reshape(-1)
    weight = None if weights is None else of_size(weights, prediction.shape[-1], "class").to(prediction.dtype)
    return functional.cross_entropy(prediction, answers.to(torch.int64), weight)


def weight_of_each(answers: Tensor, weights: Tensor | None) -> Tensor | None:
    """The weight of each answer by its class, which is 0 or 1; with more columns, that of its label, or of both."""
    if weights is None:
        return None
    weights = weights.to(answers.dtype)
    if weights.ndim == 2:
        return torch.where(answers > 0, weights[1], weights[0])
    if answers.ndim > 1 and answers.shape[-1] > 1:
        return of_size(weights, answers.shape[-1], "label").expand_as(answers)
    of_size(weights, 2, "class")
    return torch.where(answers > 0, weights[1], weights[0])


def of_size(weights: Tensor, size: int, what: str) -> Tensor:
    if len(weights) != size:
        raise TrainingFailure(f"train.class_weights: expected {size} weights, one for each {what}, got {len(weights)}")
    return weights


def match_shape(answers: Tensor, prediction: Tensor) -> Tensor:
    if answers.numel() != prediction.numel():
        shapes = f"{tuple(prediction.shape)} for {tuple(answers.shape)}"
        raise TrainingFailure(f"network: expected one prediction per answer, got {shapes}")
    return answers.to(prediction.dtype).view_as(prediction)


def probability_of_yes(logits: Tensor) -> Tensor:
    """Of two logits for each row, for no and for yes."""
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise TrainingFailure(
            f"network: train.loss = cross_entropy and task = binary need two logits for each row, for no and for yes,"
            f" got the shape {tuple(logits.shape)}; with one logit use bce_with_logits"
        )
    return torch.softmax(logits, dim=1)[:, 1:]


LOSSES: Mapping[str, Compare] = {
    "mse": mse,
    "bce": bce,
    "bce_with_logits": bce_with_logits,
    "cross_entropy": cross_entropy,
}
ACTIVATIONS: Mapping[tuple[str, str], Callable[[Tensor], Tensor]] = {
    ("bce_with_logits", BINARY): torch.sigmoid,
    ("bce_with_logits", MULTILABEL): torch.sigmoid,
    ("cross_entropy", BINARY): probability_of_yes,
}
"""By loss and task, what makes the probabilities that the task takes of the logits that the loss takes."""
