"""Chooses the threshold at and above which a probability is a yes: on validation rows, never on test rows."""

import numpy as np

from headgate.artifacts.answers import Floats, Integers
from headgate.v1 import configuration_pb2 as configuration


class NoThreshold(Exception):
    """These rows can choose no threshold. The text says why, and what could be reached."""


def choose(choice: configuration.ThresholdChoice, probabilities: Floats, answers: Integers) -> float:
    """Of equally good thresholds the highest for recall, and the lowest otherwise. Raises NoThreshold."""
    if not np.isfinite(probabilities).all():
        raise NoThreshold("a prediction for the validation rows is not a finite number")
    candidates, places = np.unique(probabilities, return_inverse=True)
    positive = _at_or_above(places, answers == 1, len(candidates))
    claimed = _at_or_above(places, np.ones(len(answers), np.bool_), len(candidates))
    positives = positive[0]
    if positives == 0:
        raise NoThreshold("no validation row is positive")
    if choice.HasField("recall"):
        chosen = _enough(positive / positives, choice.recall, "recall")[-1]
    elif choice.HasField("precision"):
        chosen = _enough(positive / claimed, choice.precision, "precision")[0]
    elif choice.best == "accuracy":
        negatives_right = (len(answers) - positives) - (claimed - positive)
        chosen = np.argmax(positive + negatives_right)
    else:
        chosen = np.argmax(2 * positive / (positives + claimed))
    # Between two probabilities, so that a rounding error of another runtime changes no answer.
    below = candidates[chosen - 1] if chosen else 0.0
    return float((below + candidates[chosen]) / 2)


def _at_or_above(places: Integers, counted: np.ndarray[tuple[int], np.dtype[np.bool_]], size: int) -> Integers:
    """For each candidate, how many of the counted rows have at least its probability."""
    return np.cumsum(np.bincount(places, counted, size)[::-1])[::-1].astype(np.int64)


def _enough(reached: Floats, least: float, name: str) -> Integers:
    enough = np.flatnonzero(reached >= least)
    if len(enough) == 0:
        raise NoThreshold(f"no threshold reaches a {name} of {least:g}; the best reaches {reached.max():.4f}")
    return enough
