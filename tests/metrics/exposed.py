"""Reads the metrics that a service exposes."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from ssl import SSLContext

from prometheus_client.parser import text_string_to_metric_families

from headgate.runtime.observability.metrics import Metrics
from tests import waiting
from tests.waiting import PATIENCE_SECONDS

POLL_SECONDS = 0.1
Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Exposition:
    """The values by name and labels, and the names of all metrics, also of those without a series."""

    values: dict[tuple[str, Labels], float]
    names: frozenset[str]

    def value(self, name: str, **labels: str) -> float | None:
        return self.values.get((name, frozenset(labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series with these labels."""
        required = labels.items()
        return sum(value for (found, having), value in self.values.items() if found == name and required <= having)

    def series_by_name(self) -> Counter[str]:
        return Counter(name for name, _ in self.values)


def get(port: int, path: str, context: SSLContext | None = None) -> tuple[int, str]:
    """Status and body, with `context` over TLS. Raises OSError when the server does not answer."""
    if context is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    else:
        connection = HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS, context=context)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def text_of(metrics: Metrics, accept: str = "") -> str:
    """The text of a scrape of these metrics, without a server."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "HTTP_ACCEPT": accept}
    return b"".join(metrics.application()(environ, lambda *_: lambda _: None)).decode()


def exposition(port: int) -> Exposition:
    status, text = get(port, "/metrics")
    assert status == 200
    return parsed(text)


def parsed(text: str) -> Exposition:
    values, names = {}, set()
    for family in text_string_to_metric_families(text):
        names.add(family.name + ("_total" if family.type == "counter" else ""))
        for sample in family.samples:
            values[sample.name, frozenset(sample.labels.items())] = sample.value
    return Exposition(values, frozenset(names))


until = partial(waiting.until, pause_seconds=POLL_SECONDS)
