"""Makes spans with OpenTelemetry's SDK and sends them over OTLP/gRPC. Only this file uses the library."""

import logging
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from headgate.runtime.observability.span import Attributes, Kind
from headgate.runtime.observability.trace_context import TraceContext

MAX_QUEUE = 2_048
"""The most spans that wait for the collector. Further ones are lost."""
BATCH_SPANS = 256
SEND_EVERY_MS = 1_000
EXPORT_SECONDS = 5

_KINDS = {
    Kind.SERVER: SpanKind.SERVER,
    Kind.CONSUMER: SpanKind.CONSUMER,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.INTERNAL: SpanKind.INTERNAL,
}


class OtelSpan:
    """Implements span.Span."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        found = span.get_span_context()
        self.context = TraceContext(f"{found.trace_id:032x}", f"{found.span_id:016x}", int(found.trace_flags))

    def end(self, attributes: Attributes, error: str) -> None:
        self._span.set_attributes(_named(attributes))
        if error:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()


class OtelExporter:
    """Implements tracing.Exporter."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("headgate")

    def begin(self, name: str, kind: Kind, parent: TraceContext | None, attributes: Attributes) -> OtelSpan:
        context = trace.set_span_in_context(_remote(parent)) if parent is not None else None
        # An empty context: another span that is current in this thread must not become the parent.
        context = context if context is not None else trace.set_span_in_context(trace.INVALID_SPAN)
        return OtelSpan(self._tracer.start_span(name, context, _KINDS[kind], _named(attributes)))

    def close(self, grace_seconds: float) -> None:
        self._provider.force_flush(int(grace_seconds * 1000))
        self._provider.shutdown()


def exporter(endpoint: str, service: str, instance: str) -> OtelExporter:
    """An exporter for the spans of this service. It sends them to the endpoint in batches."""
    # A collector that does not answer does not harm the service, and the library would log it every second.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    resource = Resource.create(
        {"service.name": service, "service.namespace": "headgate", "service.instance.id": instance}
    )
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON), resource=resource, shutdown_on_exit=False)
    sender = OTLPSpanExporter(endpoint, insecure=urlsplit(endpoint).scheme == "http", timeout=EXPORT_SECONDS)
    provider.add_span_processor(
        BatchSpanProcessor(
            sender, max_queue_size=MAX_QUEUE, schedule_delay_millis=SEND_EVERY_MS, max_export_batch_size=BATCH_SPANS
        )
    )
    return OtelExporter(provider)


def _remote(parent: TraceContext) -> trace.Span:
    context = SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=TraceFlags(parent.flags)
    )
    return trace.NonRecordingSpan(context)


def _named(attributes: Attributes) -> dict[str, str | int]:
    return {f"headgate.{name}": value for name, value in attributes.items()}
