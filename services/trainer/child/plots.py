"""Writes the plots of a version into its artifact, as data and as pictures."""

from collections.abc import Sequence
from pathlib import Path

from headgate.artifacts.plots.by_task import LEARNING_CURVE, Plots, learning_curve, plots_of
from services.trainer.child.progress import Epoch
from services.trainer.child.row_findings import Array
from services.trainer.job import Job


def write_plots(
    directory: Path, test: tuple[Array, Array] | None, threshold: float | None, epochs: Sequence[Epoch], job: Job
) -> None:
    """`test` has predictions and true answers of the test rows. Without it there is the learning curve alone."""
    used = job.threshold if threshold is None else threshold
    found = plots_of(job.task, *test, used) if test else Plots()
    if epochs:
        losses = [epoch.train_loss for epoch in epochs], [epoch.validation_loss for epoch in epochs]
        found.plots[LEARNING_CURVE] = learning_curve(*losses)
    for name, content in found.files().items():
        (directory / name).write_bytes(content)
