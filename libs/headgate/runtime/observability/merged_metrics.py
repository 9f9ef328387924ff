"""One page of metrics for a service that runs as several processes.

Counters and histograms are added up, and go on from where they were when a process has ended. Of gauges the largest
value counts, unless ACROSS says otherwise. What each process counts of the same records is not added up either.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import make_wsgi_app
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from headgate.runtime.observability.metric_catalogue import metrics_of
from headgate.runtime.observability.metrics import Slots

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


class Across(Enum):
    """How one series of several processes becomes one."""

    LARGEST = "largest"
    LEAST = "least"
    SUM = "sum"


ACROSS = {
    "headgate_ready": Across.LEAST,
    "headgate_versions_loaded": Across.LEAST,
    "headgate_predictions_waiting": Across.SUM,
    "headgate_predictions_waiting_for_loads": Across.SUM,
    "headgate_edge_devices": Across.SUM,
    "headgate_edge_devices_refusing": Across.SUM,
    "headgate_version_memory_bytes": Across.SUM,
    "headgate_version_memory_limit_bytes": Across.SUM,
    "headgate_facts_total": Across.LARGEST,
    "headgate_fact_errors_total": Across.LARGEST,
    "headgate_void_records_total": Across.LARGEST,
    "process_virtual_memory_bytes": Across.SUM,
    "process_resident_memory_bytes": Across.SUM,
    "process_open_fds": Across.SUM,
    "process_max_fds": Across.LEAST,
    "process_start_time_seconds": Across.LEAST,
}
"""Where it is neither the sum of a counter or histogram nor the largest of a gauge."""
EDGE = "le"
COUNTED = ("counter", "histogram")

Series = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a sample and its labels."""


@dataclass(slots=True)
class _Merged:
    """One family of several pages."""

    kind: str
    help: str
    values: dict[Series, float] = field(default_factory=dict)


class MergedMetrics(Collector):
    """`pages` gives the pages of the processes that run, at each scrape. Thread-safe."""

    def __init__(self, service: str, pages: Callable[[], Iterable[str]]) -> None:
        self._service = service
        self._pages = pages
        self._ended: dict[str, _Merged] = {}
        self._lock = threading.Lock()

    def retire(self, take: Callable[[], str]) -> None:
        """Takes over the counts of a process that has ended, so that no counter goes back.

        `take` gives its last page. From then on `pages` must not give it: no scrape comes in between.
        """
        with self._lock:
            ended = _Page(self._service)
            ended.add_all(self._ended)
            ended.add(take())
            self._ended = {name: family for name, family in ended.families.items() if family.kind in COUNTED}

    def application(self) -> "WSGIApplication":
        """The WSGI application that answers every GET with all series, in the format that the Accept header names."""
        registry = CollectorRegistry()
        registry.register(self)
        application: WSGIApplication = make_wsgi_app(registry, disable_compression=True)
        return application

    def describe(self) -> Iterator[Family]:
        """Nothing, so that registering asks no process."""
        return iter(())

    def collect(self) -> Iterator[Family]:
        merged = _Page(self._service)
        with self._lock:
            for page in self._pages():
                merged.add(page)
            merged.add_all(self._ended)
        for name, each in merged.families.items():
            family = Family(name, each.help, each.kind)
            for (sample, labels), value in each.values.items():
                family.add_sample(sample, dict(labels), value)
            yield family


class _Page:
    """Adds pages up. No metric gets more label sets than the catalogue allows one process."""

    def __init__(self, service: str) -> None:
        self.families: dict[str, _Merged] = {}
        self._labels = {metric.name: metric.labels for metric in metrics_of(service)}
        self._slots = {metric.name: Slots(metric, service) for metric in metrics_of(service)}

    def add(self, page: str) -> None:
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                self._add(family.name, family.type, family.documentation, sample.name, sample.labels, sample.value)

    def add_all(self, families: dict[str, _Merged]) -> None:
        for name, family in families.items():
            for (sample, labels), value in family.values.items():
                self._add(name, family.kind, family.help, sample, dict(labels), value)

    def _add(self, name: str, kind: str, text: str, sample: str, labels: dict[str, str], value: float) -> None:
        family = self.families.setdefault(name, _Merged(kind, text))
        series = sample, tuple(self._placed(name, kind, labels).items())
        known = family.values.get(series)
        family.values[series] = value if known is None else self._one(name, kind, known, value)

    @staticmethod
    def _one(name: str, kind: str, known: float, value: float) -> float:
        usual = Across.SUM if kind in COUNTED else Across.LARGEST
        match ACROSS.get(_declared(name, kind), usual):
            case Across.SUM:
                return known + value
            case Across.LEAST:
                return min(known, value)
            case Across.LARGEST:
                return max(known, value, key=abs)  # a clock may be ahead or behind

    def _placed(self, name: str, kind: str, labels: dict[str, str]) -> dict[str, str]:
        """The labels, or those of the shared series when there are too many label sets."""
        declared = _declared(name, kind)
        if declared not in self._slots:
            return labels
        names = self._labels[declared]
        values = self._slots[declared].place(tuple(labels[each] for each in names))
        edge = {EDGE: labels[EDGE]} if EDGE in labels else {}
        return dict(zip(names, values, strict=True)) | edge


def _declared(name: str, kind: str) -> str:
    """The name in the catalogue. The parser leaves the ending of a counter out."""
    return f"{name}_total" if kind == "counter" else name
