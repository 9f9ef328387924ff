"""Counts predictions by model, arm and outcome. Each series is looked up once per route, not once per request."""

from collections.abc import Callable, Container

from headgate.runtime.observability.metrics import Child, CounterSeries, Family, HistogramSeries, Metrics
from headgate.telemetry.counters import ARM_NAMES
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.routes import NO_RELEASE, Route

OK, BAD, REFUSED, ERROR = "ok", "bad", "refused", "error"
STABLE, CANDIDATE = ARM_NAMES[telemetry.ARM_STABLE], ARM_NAMES[telemetry.ARM_CANDIDATE]
PINNED = "pinned"
QUEUE_FULL, DEADLINE, CANCELLED, NOT_LOADED = "queue-full", "deadline", "cancelled", "not-loaded"
"""Why a request did not run: too many wait, its caller gave up meanwhile, or its version was not loaded in time."""


class ArmMetrics:
    """The series of one arm of one model. Each appears with its first prediction. Thread-safe."""

    def __init__(self, count_of: Callable[[str], CounterSeries], seconds: Callable[[], HistogramSeries]) -> None:
        self._count_of = count_of
        self._seconds_of = seconds
        self._seconds: HistogramSeries | None = None
        self._counts: dict[str, CounterSeries] = {}

    def answered(self, outcome: str, seconds: float) -> None:
        """Counts a prediction and its duration. It is OK, or BAD when a value is not finite or the answer is late."""
        if self._seconds is None:
            self._seconds = self._seconds_of()
        self._seconds.observe(seconds)
        self.count(outcome)

    def count(self, outcome: str) -> None:
        """Counts a prediction without its duration."""
        if outcome not in self._counts:
            self._counts[outcome] = self._count_of(outcome)
        self._counts[outcome].inc()


class ModelMetrics:
    """The series of one model during one release, or while it has no release."""

    def __init__(self, arms: Callable[[str], ArmMetrics], release: int, count_not_run: Callable[[str], None]) -> None:
        self.release = release
        self.count_not_run = count_not_run
        """Counts a request that did not run, by its reason."""
        self.stable, self.candidate, self.pinned = arms(STABLE), arms(CANDIDATE), arms(PINNED)


class PredictionMetrics:
    """The series of all models.

    The number of series is limited. A model in a release gets series before others, and loses them after the release.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._counts: Family[CounterSeries] = metrics.counter("headgate_predictions_total")
        self._seconds: Family[HistogramSeries] = metrics.histogram("headgate_prediction_duration_seconds")
        self._not_run: Family[CounterSeries] = metrics.counter("headgate_predictions_not_run_total")
        self._models: dict[str, ModelMetrics] = {}

    def metrics_of(self, route: Route) -> ModelMetrics:
        """The series of the route's model. They stay the same as long as the release stays the same."""
        known = self._models.get(route.model)
        if known is not None and known.release == route.release:
            return known
        if known is not None:
            self._end_release(route.model)
        metrics = ModelMetrics(
            lambda arm: self._arm(route, arm),
            route.release,
            lambda reason: self._not_run.labels(route.model, reason).inc(),
        )
        self._models[route.model] = metrics
        return metrics

    def keep_only(self, models: Container[str]) -> None:
        """Removes the series of models that are no longer routed."""
        gone = {model for model in self._models if model not in models}
        if gone:
            self._counts.remove(lambda values: values[0] in gone)
            self._seconds.remove(lambda values: values[0] in gone)
            self._not_run.remove(lambda values: values[0] in gone)
            self._models = {model: metrics for model, metrics in self._models.items() if model not in gone}

    def _end_release(self, model: str) -> None:
        _remove_candidate(self._counts, model)
        _remove_candidate(self._seconds, model)

    def _arm(self, route: Route, arm: str) -> ArmMetrics:
        in_release = route.release != NO_RELEASE
        return ArmMetrics(
            lambda outcome: self._counts.labels(route.model, arm, outcome, has_priority=in_release),
            lambda: self._seconds.labels(route.model, arm, has_priority=in_release),
        )


def _remove_candidate(family: Family[Child], model: str) -> None:
    """Removes the candidate's series, or all series of a model that has them only because of its release."""
    whole = family.is_by_priority(model)
    family.remove(lambda values: values[0] == model and (whole or values[1] == CANDIDATE))
