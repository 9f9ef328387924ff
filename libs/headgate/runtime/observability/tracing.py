"""Spans, exported when HEADGATE_TRACES names an OTLP endpoint. Without it the ids of a trace are handed on unchanged.

OpenTelemetry is imported by tracing_otel.py alone, and only once spans are asked for: it is an optional extra.
"""

import importlib
import threading
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlsplit

from headgate.runtime.observability.trace_context import TraceContext
from headgate.runtime.settings import SettingsError

VARIABLE = "HEADGATE_TRACES"
Attributes = Mapping[str, str | int]


class Kind(StrEnum):
    """Where a span stands between services."""

    SERVER = "server"
    CONSUMER = "consumer"
    PRODUCER = "producer"
    INTERNAL = "internal"


class Span(Protocol):
    """A span under way."""

    @property
    def context(self) -> TraceContext: ...

    def end(self, attributes: Attributes, error: str) -> None:
        """`error` is empty unless the work failed."""
        ...


class Exporter(Protocol):
    """Makes spans and sends them off from a thread of its own. A collector that is away costs spans, never work."""

    def begin(self, name: str, kind: Kind, parent: TraceContext | None, attributes: Attributes) -> Span: ...

    def close(self, grace_seconds: float) -> None: ...


class _Passing:
    """Stands in for a span when none are made: what came in goes on."""

    def __init__(self, context: TraceContext | None) -> None:
        self.context = context

    def end(self, attributes: Attributes, error: str) -> None:
        pass


_exporter: Exporter | None = None


def start(endpoint: str, service: str, instance: str) -> None:
    """Exports spans from now on; an empty endpoint changes nothing. Raises SettingsError."""
    global _exporter
    if not endpoint:
        return
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise SettingsError([f"{VARIABLE}={endpoint!r}: expected an OTLP gRPC endpoint such as http://otel:4317"])
    try:
        adapter = importlib.import_module("headgate.runtime.observability.tracing_otel")
    except ImportError as error:
        rule = f"{VARIABLE} is set, but {error.name} is not installed: pip install 'headgate[tracing]'"
        raise SettingsError([rule]) from error
    _exporter = adapter.exporter(endpoint, service, instance)


def stop(grace_seconds: float) -> None:
    """Sends what waits, within the grace."""
    global _exporter
    ended, _exporter = _exporter, None
    if ended is not None:
        closing = threading.Thread(target=ended.close, args=(grace_seconds,), name="last-spans", daemon=True)
        closing.start()
        closing.join(grace_seconds)


def begin(name: str, kind: Kind, parent: TraceContext | None, attributes: Attributes) -> Span | _Passing:
    """A span to be ended by the caller; its context is None when there is neither a parent nor an exporter."""
    return _exporter.begin(name, kind, parent, attributes) if _exporter is not None else _Passing(parent)
