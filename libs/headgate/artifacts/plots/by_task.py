"""Which plots a version has, by its task, and the files that hold them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headgate.artifacts.answers import (
    BINARY,
    MULTICLASS,
    MULTILABEL,
    RANKING,
    REGRESSION,
    Floats,
    Integers,
    Values,
    WrongMeaning,
    as_classes,
    as_label_probabilities,
    as_labels,
    as_logits,
    as_numbers,
    as_probabilities,
    as_relevance,
    as_rows_of_numbers,
    as_true_numbers,
    require_as_many,
)
from headgate.artifacts.layout import PLOT_NAMES, PLOTS_FILE, plot_file
from headgate.artifacts.plots.curves import (
    NoCurve,
    calibration,
    confusion,
    ndcg_at,
    precision_recall,
    residuals,
    roc,
    series,
)
from headgate.artifacts.plots.drawing import drawn
from headgate.artifacts.plots.plot import Kind, Plot, Series
from headgate.artifacts.ranked_groups import RankedGroups

MAX_SERIES = 10
"""Curves in one plot: of more classes, labels or numbers, only the first ones have one."""
MAX_CLASSES = 40
"""Of a confusion. A larger one would have no room for its counts."""

ROC, PRECISION_RECALL, CALIBRATION, CONFUSION, RESIDUALS, NDCG_AT, LEARNING_CURVE = PLOT_NAMES
PLOTS_OF = {
    BINARY: (ROC, PRECISION_RECALL, CALIBRATION, CONFUSION),
    MULTICLASS: (ROC, PRECISION_RECALL, CALIBRATION, CONFUSION),
    MULTILABEL: (ROC, PRECISION_RECALL, CALIBRATION),
    REGRESSION: (RESIDUALS,),
    RANKING: (NDCG_AT,),
}
"""Those that show what a version of the task answers to its test rows."""

Curve = Callable[[str, Floats, npt.NDArray[Any]], Series]


@dataclass(frozen=True, slots=True)
class Plots:
    """Each plot is either in `plots`, by its name, or in `undefined`, with the reason."""

    plots: dict[str, Plot] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        """The data of all plots as JSON, and each as a PNG. Equal plots give equal bytes."""
        data = {"plots": {name: plot.as_json() for name, plot in self.plots.items()}, "undefined": self.undefined}
        text = json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n"
        pictures = {plot_file(name): drawn(plot) for name, plot in self.plots.items()}
        return {PLOTS_FILE: text.encode()} | pictures


def plots_of(task: str, predictions: Values, answers: Values, threshold: float) -> Plots:
    """The plots of what a version answers to its test rows. Those that make no sense of it are undefined."""
    plots = Plots()
    try:
        _add_plots(plots, task, predictions, answers, threshold)
    except WrongMeaning as error:
        plots.undefined.update(dict.fromkeys(PLOTS_OF.get(task, ()), str(error)))
    return plots


def learning_curve(train_losses: Sequence[float], validation_losses: Sequence[float]) -> Plot:
    epochs = range(1, len(train_losses) + 1)
    curves = (series("training", epochs, train_losses), series("validation", epochs, validation_losses))
    return Plot("LEARNING CURVE", "epoch", "loss", Kind.LINES, curves)


def _add_plots(plots: Plots, task: str, predictions: Values, answers: Values, threshold: float) -> None:
    if task == BINARY:
        probabilities = as_probabilities(predictions)
        _add_binary(plots, probabilities, as_classes(answers, 2), threshold)
    elif task == MULTICLASS:
        logits = as_logits(predictions)
        _add_multiclass(plots, logits, as_classes(answers, logits.shape[1]))
    elif task == MULTILABEL:
        probabilities = as_label_probabilities(predictions)
        rows = _finite(probabilities, as_labels(answers, probabilities.shape[1]) == 1)
        names = [f"label {label}" for label in range(probabilities.shape[1])]
        _add_curves(plots, rows, names)
        _add_calibration(plots, rows, names)
    elif task == REGRESSION:
        numbers, truth = as_rows_of_numbers(predictions, "prediction"), as_true_numbers(answers)
        require_as_many(numbers, truth)
        _add_residuals(plots, _finite(numbers, truth))
    elif task == RANKING:
        _add_ranking(plots, as_numbers(predictions, "prediction"), *as_relevance(answers))


@dataclass(frozen=True)
class _Rows:
    """Predictions and truth of the rows whose predictions are finite, by column, and how many rows have others."""

    predictions: Floats
    truth: npt.NDArray[Any]
    left_out: int


def _finite(predictions: Floats, truth: npt.NDArray[Any]) -> _Rows:
    valid = np.isfinite(predictions).all(axis=1)
    return _Rows(predictions[valid], truth[valid], int((~valid).sum()))


def _add_binary(plots: Plots, probabilities: Floats, answers: Integers, threshold: float) -> None:
    rows = _finite(probabilities[:, None], (answers == 1)[:, None])
    _add_curves(plots, rows, ["positive"])
    _add_calibration(plots, rows, ["positive"])
    _add_confusion(plots, (rows.predictions[:, 0] >= threshold).astype(np.int64), rows.truth[:, 0], 2, rows.left_out)


def _add_multiclass(plots: Plots, logits: Floats, answers: Integers) -> None:
    found, classes = _finite(logits, answers), logits.shape[1]
    powers = np.exp(found.predictions - found.predictions.max(axis=1, keepdims=True, initial=-np.inf))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    each = _Rows(probabilities, found.truth[:, None] == np.arange(classes), found.left_out)
    _add_curves(plots, each, [f"class {number}" for number in range(classes)])
    predicted = np.argmax(found.predictions, axis=1) if len(found.truth) else found.truth
    likely = probabilities.max(axis=1, initial=0.0)[:, None]
    right = (predicted == found.truth)[:, None]
    _add_calibration(plots, _Rows(likely, right, found.left_out), ["predicted class"])
    _add_confusion(plots, predicted, found.truth, classes, found.left_out)


def _add_curves(plots: Plots, rows: _Rows, names: Sequence[str]) -> None:
    """One curve for each column; those that a column cannot have are undefined."""
    for plot, curve, x_label, y_label in (
        (ROC, roc, "false positive rate", "true positive rate"),
        (PRECISION_RECALL, precision_recall, "recall", "precision"),
    ):
        found = _series_of(plots, plot, curve, rows, names)
        if found:
            title = plot.replace("_", " ").upper()
            shown = Plot(title, x_label, y_label, Kind.LINES, found, shares=True, diagonal=plot == ROC)
            plots.plots[plot] = replace(shown, left_out_rows=rows.left_out)


def _add_calibration(plots: Plots, rows: _Rows, names: Sequence[str]) -> None:
    found = _series_of(plots, CALIBRATION, calibration, rows, names)
    if found:
        labels = "mean probability", "share that came true"
        plots.plots[CALIBRATION] = Plot(
            "CALIBRATION", *labels, Kind.LINES, found, shares=True, diagonal=True, left_out_rows=rows.left_out
        )


def _add_residuals(plots: Plots, rows: _Rows) -> None:
    names = ["prediction"] if rows.truth.shape[1] == 1 else [f"number {each}" for each in range(rows.truth.shape[1])]
    found = _series_of(plots, RESIDUALS, residuals, rows, names)
    if found:
        labels = "prediction", "prediction - answer"
        plots.plots[RESIDUALS] = Plot("RESIDUALS", *labels, Kind.POINTS, found, left_out_rows=rows.left_out)


def _add_ranking(plots: Plots, scores: Floats, relevance: Floats, groups: Integers) -> None:
    valid = np.isfinite(scores)
    try:
        if not valid.all():
            raise NoCurve(f"the prediction of row {int(np.argmin(valid))} is not a finite number")
        curve = ndcg_at("prediction", RankedGroups(scores, relevance, groups))
    except NoCurve as error:
        plots.undefined[NDCG_AT] = str(error)
        return
    plots.plots[NDCG_AT] = Plot("NDCG OF THE FIRST RANKS", "ranks", "mean ndcg", Kind.LINES, [curve])


def _add_confusion(plots: Plots, predicted: Integers, truth: npt.NDArray[Any], classes: int, left_out: int) -> None:
    if classes > MAX_CLASSES:
        plots.undefined[CONFUSION] = f"there are {classes} classes, and it is drawn for at most {MAX_CLASSES}"
        return
    names = [str(number) for number in range(classes)]
    cells = confusion(predicted, truth.astype(np.int64), classes)
    plots.plots[CONFUSION] = Plot(
        "CONFUSION", "predicted", "true", Kind.MATRIX, cells=cells, names=names, left_out_rows=left_out
    )


def _series_of(plots: Plots, plot: str, curve: Curve, rows: _Rows, names: Sequence[str]) -> list[Series]:
    """The curves of the first columns. Where one is undefined, the reason has its name if there are several."""
    found = []
    for column, name in enumerate(names[:MAX_SERIES]):
        try:
            if not len(rows.predictions):
                raise NoCurve("no prediction is a finite number")
            found.append(curve(name, rows.predictions[:, column], rows.truth[:, column]))
        except NoCurve as error:
            plots.undefined[plot if len(names) == 1 else f"{plot} of {name}"] = str(error)
    return found
