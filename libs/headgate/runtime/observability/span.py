"""What a span is, and what makes one: the port behind which OpenTelemetry stands."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from headgate.runtime.observability.trace_context import TraceContext

Attributes = Mapping[str, str | int]


class Kind(StrEnum):
    """The kind of a span in OpenTelemetry: which side of a call or of a message it is."""

    SERVER = "server"
    CONSUMER = "consumer"
    PRODUCER = "producer"
    INTERNAL = "internal"


class Span(Protocol):
    """A span that has begun and not yet ended."""

    @property
    def context(self) -> TraceContext: ...

    def end(self, attributes: Attributes, error: str) -> None:
        """Ends the span. `error` is empty unless the work failed."""
        ...


class Exporter(Protocol):
    """Makes spans and sends them in its own thread. When the collector does not answer, only spans are lost."""

    def begin(self, name: str, kind: Kind, parent: TraceContext | None, attributes: Attributes) -> Span: ...

    def close(self, grace_seconds: float) -> None: ...
