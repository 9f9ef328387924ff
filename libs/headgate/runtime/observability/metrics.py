"""Makes the instruments from the catalogue. Only declared metrics exist, and none has more series than its cap."""

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

from headgate.runtime.observability.metric import OTHER, Kind, Metric, Overflow
from headgate.runtime.observability.metric_catalogue import metrics_of

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

Child = TypeVar("Child", prometheus.Counter, prometheus.Gauge, prometheus.Histogram)
LabelSet = tuple[str, ...]
CounterSeries = prometheus.Counter
HistogramSeries = prometheus.Histogram
"""The types of series, for modules that keep series but do not import prometheus_client."""


class UndeclaredMetric(Exception):
    """The catalogue does not declare this metric, of this kind, for this service."""


class Reading(NamedTuple):
    """The present value of one series, for a gauge that is read at each scrape."""

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
        """The declared counter with this name. Raises UndeclaredMetric."""
        return self._family(name, "counter", prometheus.Counter)

    def gauge(self, name: str) -> "Family[prometheus.Gauge]":
        """The declared gauge with this name. Raises UndeclaredMetric."""
        return self._family(name, "gauge", prometheus.Gauge)

    def histogram(self, name: str) -> "Family[prometheus.Histogram]":
        """The declared histogram with this name. Raises UndeclaredMetric."""
        edges = self._lookup(name, "histogram").buckets
        return self._family(name, "histogram", partial(prometheus.Histogram, buckets=edges))

    def read_at_scrape(self, names: Iterable[str], read: Callable[[], Iterable[Reading]]) -> None:
        """Adds gauges whose values `read` gives at each scrape. What it gives no longer has no series.

        The first readings get their own series. The others are combined in the series with `_other`. Raises
        UndeclaredMetric.
        """
        declared = {name: self._lookup(name, "gauge") for name in names}
        self._registry.register(_StateCollector(self.service, declared, read))

    def text(self) -> str:
        """All series in the text format."""
        return prometheus.generate_latest(self._registry).decode()

    def application(self) -> "WSGIApplication":
        """The WSGI application that answers every GET with all series, in the format that the Accept header names."""
        # Not compressed: compression would cost the service more than sending the bytes to a Prometheus in its network.
        application: WSGIApplication = make_wsgi_app(self._registry, disable_compression=True)
        return application

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
    """Decides which label sets get their own series and which share a series with `_other`.

    A metric with the label `model` divides its cap. Any label set may use the first three quarters. The next eighth is
    for models that already have a series, and for models with priority, such as those in a release. The last eighth is
    for the shared series.
    """

    def __init__(self, metric: Metric, service: str) -> None:
        cap = metric.cap_in(service)
        by_model = "model" in metric.labels
        self._overflow_places = [at for at, label in enumerate(metric.labels) if label in metric.overflow_labels]
        self._cap = cap
        self._for_known = cap * 7 // 8 if by_model else max(1, cap - 1)
        self._for_new = cap * 3 // 4 if by_model else self._for_known
        self._taken: set[LabelSet] = set()
        self._known: Tally[str] = Tally()
        self.by_priority: set[str] = set()
        """Models that have their own series only because of their priority."""

    def place(self, values: LabelSet, has_priority: bool = False) -> LabelSet:
        """The label set under which these values are counted: their own, or a shared one."""
        if values in self._taken or not values:
            return values
        model = values[self._overflow_places[0]]
        known = self._known[model] > 0
        if len(self._taken) < (self._for_known if known or has_priority else self._for_new):
            if not known and len(self._taken) >= self._for_new:
                self.by_priority.add(model)
            return self._take(values)
        shared = tuple(OTHER if at in self._overflow_places else value for at, value in enumerate(values))
        if shared in self._taken or len(self._taken) < self._cap - 1:
            return self._take(shared)
        return self._take((OTHER,) * len(values))

    def free(self, values: LabelSet) -> None:
        """Gives the place of this label set to others."""
        model = values[self._overflow_places[0]]
        self._taken.discard(values)
        self._known[model] -= 1
        if not self._known[model]:
            del self._known[model]
            self.by_priority.discard(model)

    def _take(self, values: LabelSet) -> LabelSet:
        if values not in self._taken:
            self._taken.add(values)
            self._known[values[self._overflow_places[0]]] += 1
        return values


class Family(Generic[Child]):
    """One declared metric. It returns the series of label values and caches them."""

    def __init__(self, metric: Child, slots: Slots) -> None:
        self._metric: Child = metric
        self._slots = slots
        self._children: dict[LabelSet, Child] = {}
        self._lock = threading.Lock()

    def labels(self, *values: str, has_priority: bool = False) -> Child:
        """The series of these label values, in the catalogue's order. With priority it may use the places kept free."""
        child = self._children.get(values)
        return child if child is not None else self._admit(values, has_priority)

    def remove(self, unwanted: Callable[[LabelSet], bool]) -> None:
        """Removes the series whose label values are unwanted. Their places become free; series with `_other` stay."""
        with self._lock:
            for values in [values for values in self._children if OTHER not in values and unwanted(values)]:
                del self._children[values]
                self._slots.free(values)
                self._metric.remove(*values)

    def is_by_priority(self, model: str) -> bool:
        """Whether the model has its own series only because of its priority."""
        return model in self._slots.by_priority

    def _admit(self, values: LabelSet, has_priority: bool) -> Child:
        with self._lock:
            placed = self._slots.place(values, has_priority)
            if placed not in self._children:
                self._children[placed] = self._metric.labels(*placed) if placed else self._metric
            return self._children[placed]


class _StateCollector(Collector):
    def __init__(self, service: str, declared: dict[str, Metric], read: Callable[[], Iterable[Reading]]) -> None:
        self._service = service
        self._declared = declared
        self._read = read

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The names without values, so that registering does not read the state."""
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
