"""Says on telemetry what this gateway serves and what it counted: every second, and at once when that changes."""

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from headgate.domain.names import environment_stream, model_stream
from headgate.log.port import LogError
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.evidence import EvidenceBook
from services.gateway.follower import Follower

logger = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
LAST_REPORT_SECONDS = 5.0


class Telemetry(Protocol):
    """Takes one measurement by its name in TelemetryRecord. Raises LogError when the log does not take it."""

    def send(self, key: str, **measurement: Any) -> object: ...


class Reporter:
    """A report that the log does not take is not kept: the next one holds the same totals and more."""

    def __init__(self, sink: Telemetry, follower: Follower, book: EvidenceBook, environment: str, address: str) -> None:
        self._sink = sink
        self._follower = follower
        self._book = book
        self._environment = environment
        self._address = address
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Has the status told at once."""
        self._wake.set()

    def leave(self) -> None:
        """Says that this gateway no longer counts as live; nothing but evidence follows."""
        self._closed = True
        self._wake.set()
        self._thread.join(LAST_REPORT_SECONDS)
        self._send(leaving=True)

    def send_last_evidence(self) -> None:
        """What was counted while the last requests were finishing."""
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
            logger.warning("telemetry not sent: %s", error)

    def _send_status(self, leaving: bool) -> None:
        status = telemetry.GatewayStatus(
            environment=self._environment,
            address=self._address,
            routes=self._follower.table.statuses(),
            leaving=leaving,
        )
        self._sink.send(environment_stream(self._environment), gateway_status=status)

    def _send_evidence(self) -> None:
        for epoch in self._book.unreported():
            requests = epoch.requests
            self._sink.send(model_stream(epoch.route.model), evidence=epoch.evidence(self._environment))
            self._book.mark_reported(epoch, requests)
