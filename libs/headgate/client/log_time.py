"""The log's time, as a registry knows it. The times in resources are of this time; a caller's own clock may differ."""

from collections.abc import Callable

import grpc

from headgate.runtime.clock import now_ms
from headgate.runtime.log_clock import LogClock
from headgate.v1 import registry_service_pb2 as registry_service

ASK_SECONDS = 2.0
Ask = Callable[..., registry_service.LogTime]


class LogTime:
    """Asks the registry once, with its method GetLogTime, and counts on with the own monotonic clock."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._clock = LogClock()
        self._failed = False

    def now_ms(self) -> int:
        """The log's time. Raises grpc.RpcError when the registry does not know it."""
        if not self._clock.is_known():
            sent_at = self._clock.monotonic()
            found = self._ask(registry_service.GetLogTimeRequest(), timeout=ASK_SECONDS)
            self._clock.observe(found.time_ms, sent_at, self._clock.monotonic())
        return self._clock.now_ms()

    def shown_ms(self) -> int:
        """The log's time for what is only shown; the own clock's once the registry has not answered."""
        if self._failed:
            return now_ms()
        try:
            return self.now_ms()
        except grpc.RpcError:
            self._failed = True
            return now_ms()
