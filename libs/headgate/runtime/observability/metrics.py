"""Instruments made from the catalogue: only what is declared can be used, and no metric outgrows its cap of series."""

import platform
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import prometheus_client as prometheus
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import make_wsgi_app
from prometheus_client.registry import Collector

from headgate.runtime.observability.metric_catalogue import OTHER, Kind, Metric, Overflow, metrics_of

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

Child = TypeVar("Child", prometheus.Counter, prometheus.Gauge, prometheus.Histogram)
LabelSet = tuple[str, ...]
CounterSeries = prometheus.Counter
HistogramSeries = prometheus.Histogram
"""For those who keep series at hand without knowing the vendor."""


class UndeclaredMetric(Exception):
    """The catalogue has no such metric of this kind for this service."""


class Reading(NamedTuple):
    """The present value of one series of a gauge that is read at the scrape."""

    name: str
    values: LabelSet
    value: float


class Metrics:
    """The instruments of one process. Thread-safe."""

    def __init__(self, service: str) -> None:
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.service = service
        self.used: set[str] = set()
        self._declared = {metric.name: metric for metric in metrics_of(service)}
        self._families: dict[str, Any] = {}
        self._registry = prometheus.CollectorRegistry()
        self._lock = threading.Lock()
        prometheus.ProcessCollector(registry=self._registry)
        build = (service, version("headgate"), platform.python_version())
        self.gauge("headgate_build_info").labels(*build).set(1)

    def counter(self, name: str) -> "Family[prometheus.Counter]":
        """Raises UndeclaredMetric."""
        return self._family(name, "counter", prometheus.Counter)

    def gauge(self, name: str) -> "Family[prometheus.Gauge]":
        """Raises UndeclaredMetric."""
        return self._family(name, "gauge", prometheus.Gauge)

    def histogram(self, name: str) -> "Family[prometheus.Histogram]":
        """Raises UndeclaredMetric."""
        edges = self._lookup(name, "histogram").buckets
        return self._family(name, "histogram", partial(prometheus.Histogram, buckets=edges))

    def read_at_scrape(self, names: Iterable[str], read: Callable[[], Iterable[Reading]]) -> None:
        """Gauges that are read from a state: what the state no longer holds has no series. Raises UndeclaredMetric.

        The first readings get series of their own; those beyond the cap are added up in `_other`.
        """
        declared = {name: self._lookup(name, "gauge") for name in names}
        self._registry.register(_StateCollector(self.service, declared, read))

    def application(self) -> "WSGIApplication":
        """Answers every GET with all series, in the format that the Accept header asks for."""
        # Not compressed: that costs the service more than the bytes cost on the way to a Prometheus near by.
        answer: WSGIApplication = make_wsgi_app(self._registry, disable_compression=True)
        return answer

    def _family(self, name: str, kind: Kind, make: Callable[..., Child]) -> "Family[Child]":
        declared = self._lookup(name, kind)
        with self._lock:
            if name not in self._families:
                metric = make(name, declared.help, declared.labels, registry=self._registry)
                self._families[name] = Family(metric, Slots(declared, self.service))
            family: Family[Child] = self._families[name]
            return family

    def _lookup(self, name: str, kind: Kind) -> Metric:
        declared = self._declared.get(name)
        if declared is None or declared.kind != kind:
            raise UndeclaredMetric(f"{self.service} declares no {kind} {name}")
        self.used.add(name)
        return declared


class Slots:
    """Decides which label sets have a series of their own and which share one with `_other` in it.

    With a model label, newcomers get three quarters of the cap. The next eighth is for models that have a series
    already or come first, such as those in a release; the last is for the shared ones.
    """

    def __init__(self, metric: Metric, service: str) -> None:
        cap = metric.cap_in(service)
        by_model = "model" in metric.labels
        self._at = [at for at, label in enumerate(metric.labels) if label in metric.overflow_labels]
        self._cap = cap
        self._for_known = cap * 7 // 8 if by_model else max(1, cap - 1)
        self._for_new = cap * 3 // 4 if by_model else self._for_known
        self._taken: set[LabelSet] = set()
        self._known: Tally[str] = Tally()
        self.guests: set[str] = set()
        """Models that have series of their own only because they came first."""

    def place(self, values: LabelSet, first: bool = False) -> LabelSet:
        """The label set to use for these values."""
        if values in self._taken or not values:
            return values
        model = values[self._at[0]]
        known = self._known[model] > 0
        if len(self._taken) < (self._for_known if known or first else self._for_new):
            if not known and len(self._taken) >= self._for_new:
                self.guests.add(model)
            return self._take(values)
        shared = tuple(OTHER if at in self._at else value for at, value in enumerate(values))
        if shared in self._taken or len(self._taken) < self._cap - 1:
            return self._take(shared)
        return self._take((OTHER,) * len(values))

    def free(self, values: LabelSet) -> None:
        """Another label set may have the place."""
        model = values[self._at[0]]
        self._taken.discard(values)
        self._known[model] -= 1
        if not self._known[model]:
            del self._known[model]
            self.guests.discard(model)

    def _take(self, values: LabelSet) -> LabelSet:
        if values not in self._taken:
            self._taken.add(values)
            self._known[values[self._at[0]]] += 1
        return values


class Family(Generic[Child]):
    """One declared metric; hands out the series of label values, cached."""

    def __init__(self, metric: Child, slots: Slots) -> None:
        self._metric: Child = metric
        self._slots = slots
        self._children: dict[LabelSet, Child] = {}
        self._lock = threading.Lock()

    def labels(self, *values: str, first: bool = False) -> Child:
        """The series of these values, in the catalogue's order; `first` before others when places are short."""
        child = self._children.get(values)
        return child if child is not None else self._admit(values, first)

    def remove(self, unwanted: Callable[[LabelSet], bool]) -> None:
        """Removes series, which leave their places to others; those with `_other` stay."""
        with self._lock:
            for values in [values for values in self._children if OTHER not in values and unwanted(values)]:
                del self._children[values]
                self._slots.free(values)
                self._metric.remove(*values)

    def is_guest(self, model: str) -> bool:
        """Whether the model has series of its own only because it came first."""
        return model in self._slots.guests

    def _admit(self, values: LabelSet, first: bool) -> Child:
        with self._lock:
            placed = self._slots.place(values, first)
            if placed not in self._children:
                self._children[placed] = self._metric.labels(*placed) if placed else self._metric
            return self._children[placed]


class _StateCollector(Collector):
    def __init__(self, service: str, declared: dict[str, Metric], read: Callable[[], Iterable[Reading]]) -> None:
        self._service = service
        self._declared = declared
        self._read = read

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names without values, so that registering reads nothing."""
        for metric in self._declared.values():
            yield GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        slots = {name: Slots(metric, self._service) for name, metric in self._declared.items()}
        found: dict[str, dict[LabelSet, float]] = {name: {} for name in self._declared}
        for name, values, value in self._read():
            placed = slots[name].place(values)
            known = found[name].get(placed)
            if known is None:
                found[name][placed] = value
            else:
                largest = self._declared[name].overflow is Overflow.LARGEST
                found[name][placed] = max(known, value) if largest else known + value
        for name, metric in self._declared.items():
            family = GaugeMetricFamily(name, metric.help, labels=metric.labels)
            for values, value in found[name].items():
                family.add_metric(values, value)
            yield family
