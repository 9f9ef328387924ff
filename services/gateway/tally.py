"""Counts predictions by model, arm and outcome. The series are looked up once per route, not once per request."""

from collections.abc import Callable, Container

from headgate.runtime.observability.metrics import Child, CounterSeries, Family, HistogramSeries, Metrics
from headgate.telemetry.counters import ARM_NAMES
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.routes import NO_RELEASE, Route

OK, BAD, REFUSED, ERROR = "ok", "bad", "refused", "error"
STABLE, CANDIDATE = ARM_NAMES[telemetry.ARM_STABLE], ARM_NAMES[telemetry.ARM_CANDIDATE]
PINNED = "pinned"


class ArmTally:
    """One arm of one model. Series appear with the first prediction; used from the event loop only."""

    def __init__(self, count_of: Callable[[str], CounterSeries], seconds: Callable[[], HistogramSeries]) -> None:
        self._count_of = count_of
        self._seconds_of = seconds
        self._seconds: HistogramSeries | None = None
        self._counts: dict[str, CounterSeries] = {}

    def answered(self, outcome: str, seconds: float) -> None:
        """A prediction was made: ok, or bad when it is not finite."""
        if self._seconds is None:
            self._seconds = self._seconds_of()
        self._seconds.observe(seconds)
        self.count(outcome)

    def count(self, outcome: str) -> None:
        if outcome not in self._counts:
            self._counts[outcome] = self._count_of(outcome)
        self._counts[outcome].inc()


class ModelTally:
    """The arms of one model while one release, or none, is under way."""

    def __init__(self, arms: Callable[[str], ArmTally], release: int) -> None:
        self.release = release
        self.stable, self.candidate, self.pinned = arms(STABLE), arms(CANDIDATE), arms(PINNED)


class TallyBook:
    """Every model's tally. Models in a release come first when series are short, and lose them when it has ended."""

    def __init__(self, metrics: Metrics) -> None:
        self._counts: Family[CounterSeries] = metrics.counter("headgate_predictions_total")
        self._seconds: Family[HistogramSeries] = metrics.histogram("headgate_prediction_duration_seconds")
        self._models: dict[str, ModelTally] = {}

    def open(self, route: Route) -> ModelTally:
        """The tally of a route's model; the same one as long as its release is the same."""
        known = self._models.get(route.model)
        if known is not None and known.release == route.release:
            return known
        if known is not None:
            self._end_release(route.model)
        tally = ModelTally(lambda arm: self._arm(route, arm), route.release)
        self._models[route.model] = tally
        return tally

    def keep(self, models: Container[str]) -> None:
        """Removes the series of models that are no longer routed."""
        gone = {model for model in self._models if model not in models}
        if gone:
            self._counts.remove(lambda values: values[0] in gone)
            self._seconds.remove(lambda values: values[0] in gone)
            self._models = {model: tally for model, tally in self._models.items() if model not in gone}

    def _end_release(self, model: str) -> None:
        _remove_candidate(self._counts, model)
        _remove_candidate(self._seconds, model)

    def _arm(self, route: Route, arm: str) -> ArmTally:
        first = route.release != NO_RELEASE
        return ArmTally(
            lambda outcome: self._counts.labels(route.model, arm, outcome, first=first),
            lambda: self._seconds.labels(route.model, arm, first=first),
        )


def _remove_candidate(family: Family[Child], model: str) -> None:
    """And every series of a model that came first only for its release."""
    whole = family.is_guest(model)
    family.remove(lambda values: values[0] == model and (whole or values[1] == CANDIDATE))
