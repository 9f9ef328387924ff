"""Token buckets for each caller and gRPC service. A caller that sends too much learns when it may try again."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.errors import grpc_status_of
from headgate.runtime.rpc.headers import ACTOR
from headgate.runtime.rpc.wrap import Behaviour, wrapped

MAX_BUCKETS = 10_000
"""The most buckets in one process. A new bucket replaces the one that was unused longest."""
MAX_CALLER = 128
OURS = "/headgate."
"""Health and reflection are never limited."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `burst` calls at once, and `per_second` on average."""

    per_second: float
    burst: int


class Buckets(Protocol):
    """Keeps the tokens of all buckets."""

    def take(self, bucket: str) -> float:
        """Takes a token. Returns 0 when it was taken, else the seconds until there is one."""
        ...


def take(arrival: float, now: float, rate: Rate) -> tuple[float, float]:
    """The bucket's theoretical arrival time after a call (GCRA), and the seconds to wait. A wait takes no token."""
    interval = 1 / rate.per_second
    after = max(arrival, now) + interval
    wait = after - rate.burst * interval - now
    return (arrival, wait) if wait > 1e-9 else (after, 0.0)


class LocalBuckets:
    """Buckets in this process's memory. Thread-safe."""

    def __init__(self, rate: Rate, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._arrivals: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, bucket: str) -> float:
        with self._lock:
            arrival, wait = take(self._arrivals.pop(bucket, -math.inf), self._now(), self._rate)
            self._arrivals[bucket] = arrival
            if len(self._arrivals) > MAX_BUCKETS:
                self._arrivals.popitem(last=False)
            return wait


class RateLimit(grpc.ServerInterceptor):
    """Refuses a call with RESOURCE_EXHAUSTED and google.rpc.RetryInfo when the caller's bucket is empty."""

    def __init__(
        self, buckets: Buckets, on_limited: Callable[[str], None] = lambda service: None, by_actor: bool = True
    ) -> None:
        """Without `by_actor` a caller is its address alone: what it says of its name counts nowhere."""
        self._buckets, self._by_actor = buckets, by_actor
        self._on_limited = on_limited

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(OURS):
            return handler
        service = handler_call_details.method.split("/")[1].rpartition(".")[2]
        metadata = dict(handler_call_details.invocation_metadata or ())

        def unary(behaviour: Behaviour) -> Behaviour:
            def call(request: Any, context: grpc.ServicerContext) -> Any:
                self._admit(service, metadata, context)
                return behaviour(request, context)

            return call

        def stream(behaviour: Behaviour) -> Behaviour:
            def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
                self._admit(service, metadata, context)
                yield from behaviour(request, context)

            return call

        return wrapped(handler, unary, stream)

    def _admit(self, service: str, metadata: Mapping[str, str | bytes], context: grpc.ServicerContext) -> None:
        caller = caller_of(metadata if self._by_actor else {}, context.peer())
        wait = self._buckets.take(f"{service}:{caller}")
        if wait > 0:
            self._on_limited(service)
            rule = f"too many calls to {service} from this caller: try again in {math.ceil(wait * 1000)} ms"
            refused = RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "rate-limited", rule, retry_after_seconds=wait)
            context.abort_with_status(grpc_status_of(refused))


def caller_of(metadata: Mapping[str, str | bytes], peer: str) -> str:
    """The caller's name from the header x-actor, else its address without the port."""
    actor = metadata.get(ACTOR, "")
    if isinstance(actor, str) and actor:
        return f"actor:{actor[:MAX_CALLER]}"
    return peer.rpartition(":")[0] or peer
