"""Spans, exported when HEADGATE_TRACES names an OTLP endpoint. Otherwise the ids of a trace are passed on unchanged.

OpenTelemetry is an optional extra: only tracing_otel.py imports it, and only when an endpoint is set.
"""

import importlib
import threading

from headgate.domain.address import MAX_PORT, is_web_address
from headgate.domain.credentials import without_credentials
from headgate.runtime.observability.span import Attributes, Exporter, Kind, Span
from headgate.runtime.observability.trace_context import TraceContext
from headgate.runtime.settings import SettingsError

VARIABLE = "HEADGATE_TRACES"


class _NoSpan:
    """Replaces a span when none are exported: it passes on the context of its parent."""

    def __init__(self, context: TraceContext | None) -> None:
        self.context = context

    def end(self, attributes: Attributes, error: str) -> None:
        pass


_exporter: Exporter | None = None


def start(endpoint: str, service: str, instance: str) -> None:
    """Exports spans from now on. With an empty endpoint it does nothing. Raises SettingsError."""
    global _exporter
    if not endpoint:
        return
    try:
        require_endpoint(endpoint)
    except ValueError as error:
        raise SettingsError([f"{VARIABLE}={without_credentials(endpoint)!r}: {error}"]) from error
    try:
        adapter = importlib.import_module("headgate.runtime.observability.tracing_otel")
    except ImportError as error:
        problem = f"{VARIABLE} is set, but {error.name} is not installed: pip install 'headgate[tracing]'"
        raise SettingsError([problem]) from error
    _exporter = adapter.exporter(endpoint, service, instance)


def require_endpoint(url: str) -> None:
    """Raises ValueError for a URL to which no spans can be sent."""
    if not is_web_address(url):
        raise ValueError(f"expected an OTLP gRPC endpoint such as http://otel:4317, with a port from 1 to {MAX_PORT}")


def stop(grace_seconds: float) -> None:
    """Sends the waiting spans within the grace, and exports no more."""
    global _exporter
    old, _exporter = _exporter, None
    if old is not None:
        closing = threading.Thread(target=old.close, args=(grace_seconds,), name="last-spans", daemon=True)
        closing.start()
        closing.join(grace_seconds)


def begin(name: str, kind: Kind, parent: TraceContext | None, attributes: Attributes) -> Span | _NoSpan:
    """Begins a span, which the caller ends. Its context is None when there is neither a parent nor an exporter."""
    return _exporter.begin(name, kind, parent, attributes) if _exporter is not None else _NoSpan(parent)
