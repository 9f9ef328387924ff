"""A small OTLP collector: it takes spans over gRPC and keeps them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as rpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc_grpc


@dataclass(frozen=True)
class Span:
    """The parts of a span that tests check. Ids are hexadecimal; `parent` is empty at the root."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]


class Collector(rpc_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.endpoint = ""
        self._spans: list[Span] = []
        self._lock = threading.Lock()

    def spans(self) -> list[Span]:
        with self._lock:
            return list(self._spans)

    def Export(self, request: Any, context: Any) -> Any:
        with self._lock:
            for of_resource in request.resource_spans:
                service = next(a.value.string_value for a in of_resource.resource.attributes if a.key == "service.name")
                for of_scope in of_resource.scope_spans:
                    self._spans.extend(_span(service, span) for span in of_scope.spans)
        return rpc.ExportTraceServiceResponse()


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    rpc_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()


def _span(service: str, span: Any) -> Span:
    attributes = {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in span.attributes
    }
    return Span(service, span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), attributes)
