"""How far a metric can be trusted on these rows: its confidence interval.

Shares of rows, such as accuracy, have the exact binomial interval. The others are resampled (bootstrap, percentiles)
with a fixed seed, so the same rows give the same interval. Of many rows a fixed number are resampled, and the spread is
scaled down to all of them: the time is bounded whatever the number of rows is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from headgate.artifacts.answers import Floats
from services.evaluator.metrics.binomial import exact_interval
from services.evaluator.metrics.scores import Interval, Method, Rows, Scores

SEED = 20_240_229
RESAMPLES = 1_000
MAX_RESAMPLED_ROWS = 4_000
LEAST_DEFINED = 0.9
"""In so many of the resamples a metric must be defined; otherwise it has no interval."""
BIASED = {"calibration_error": "a sample of rows always looks worse calibrated than the rows"}
"""Metrics that have no interval, and why."""
ONE_UNIT = "there is only one row, or only one group of rows that are ranked together"
RARELY_DEFINED = "it is undefined in more than a tenth of 1,000 samples of the rows, because they are too few"
UNBOUNDED = frozenset({"log_loss", "mae", "mse", "r2"})
"""Metrics whose values need not lie between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """The interval of each metric that has one, and why each other one has none."""

    found: Mapping[str, Interval] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def intervals(rows: Rows, scores: Scores, confidence: float) -> Intervals:
    exact = {
        name: Interval(*exact_interval(hits, total, confidence), confidence, Method.EXACT_BINOMIAL)
        for name, (hits, total) in scores.shares.items()
    }
    others = {name: scores.values[name] for name in sorted(scores.values.keys() - exact.keys() - BIASED.keys())}
    biased = {name: reason for name, reason in BIASED.items() if name in scores.values}
    if not others or rows.units < 2:
        return Intervals(exact, biased | dict.fromkeys(others, ONE_UNIT))
    with np.errstate(all="ignore"):
        resampled = _resampled(rows, others, confidence)
    return Intervals(exact | resampled, biased | dict.fromkeys(others.keys() - resampled.keys(), RARELY_DEFINED))


def _resampled(rows: Rows, values: Mapping[str, float], confidence: float) -> dict[str, Interval]:
    generator = np.random.Generator(np.random.PCG64(SEED))
    used, centres, scale = rows, values, 1.0
    if rows.units > MAX_RESAMPLED_ROWS:
        used = rows.part(np.sort(generator.choice(rows.units, MAX_RESAMPLED_ROWS, replace=False)))
        centres = used.scores().values
        scale = float(np.sqrt(used.units / rows.units))
    of_samples = [used.resampled(_drawn(generator, used.units)) for _ in range(RESAMPLES)]
    found = {name: _finite([sample[name] for sample in of_samples]) for name in of_samples[0]}
    return {
        name: _percentiles(name, values[name], scale * (defined - centres[name]), confidence)
        for name, defined in found.items()
        if name in values and name in centres and len(defined) >= LEAST_DEFINED * RESAMPLES
    }


def _drawn(generator: np.random.Generator, units: int) -> Floats:
    """How often each unit is in a sample of as many units."""
    return np.bincount(generator.integers(units, size=units), minlength=units).astype(np.float64)


def _finite(values: list[float]) -> Floats:
    found: Floats = np.array(values)
    return found[np.isfinite(found)]


def _percentiles(name: str, value: float, differences: Floats, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = (float(value + end) for end in np.quantile(differences, (tail, 1 - tail)))
    if name not in UNBOUNDED:
        low, high = max(low, 0.0), min(high, 1.0)
    return Interval(low, high, confidence, Method.BOOTSTRAP)
