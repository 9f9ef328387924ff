"""Reports on telemetry what this gateway serves and what it has counted.

It reports every second, and at once when the status changes.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from headgate.domain.names import environment_stream, model_stream
from headgate.log.port import LogError
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.evidence import EvidenceCounters

logger = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
LAST_REPORT_SECONDS = 5.0


class Telemetry(Protocol):
    """Sends one measurement, named as its field in TelemetryRecord. Raises LogError when the log does not take it."""

    def send(self, key: str, **measurement: Any) -> object: ...


class Reporter:
    """Sends the reports from a thread of its own.

    `routes` gives what the gateway serves; None for a gateway that answers nobody now, which then reports no status. A
    report that the log does not take is dropped. The next one contains its totals.
    """

    def __init__(
        self,
        sink: Telemetry,
        routes: Callable[[], Iterable[telemetry.RouteStatus] | None],
        evidence: EvidenceCounters,
        environment: str,
        address: str,
        rest_address: str,
    ) -> None:
        self._sink = sink
        self._routes = routes
        self._evidence = evidence
        self._environment = environment
        self._address, self._rest_address = address, rest_address
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Reports at once."""
        self._wake.set()

    def leave(self) -> None:
        """Reports that this gateway is no longer live. After this it reports only evidence."""
        self._closed = True
        self._wake.set()
        self._thread.join(LAST_REPORT_SECONDS)
        self._send(leaving=True)

    def send_last_evidence(self) -> None:
        """Reports what was counted while the last requests ended."""
        self._try(self._send_evidence)

    def _run(self) -> None:
        while not self._closed:
            self._send(leaving=False)
            self._wake.wait(REPORT_SECONDS)
            self._wake.clear()

    def _send(self, leaving: bool) -> None:
        self._try(lambda: self._send_status(leaving))
        self._try(self._send_evidence)

    def _try(self, send: Callable[[], None]) -> None:
        try:
            send()
        except LogError as error:
            logger.warning("telemetry not sent, the next report will contain it: %s", error)

    def _send_status(self, leaving: bool) -> None:
        routes = self._routes()
        if routes is None and not leaving:
            return
        status = telemetry.GatewayStatus(
            environment=self._environment,
            address=self._address,
            routes=routes,
            leaving=leaving,
            rest_address=self._rest_address,
        )
        self._sink.send(environment_stream(self._environment), gateway_status=status)

    def _send_evidence(self) -> None:
        for epoch in self._evidence.unreported():
            requests = epoch.requests
            self._sink.send(model_stream(epoch.route.model), evidence=epoch.evidence(self._environment))
            self._evidence.mark_reported(epoch, requests)
