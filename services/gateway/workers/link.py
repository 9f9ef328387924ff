"""The way from a worker, one of several processes of a gateway, to its parent."""

import socket
import threading
from collections.abc import Callable
from typing import Any

from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.workers.channel import ENDED, OPENED, PAGE, STATUS, Channel


class ParentLink:
    """Tells the parent what this worker serves, and answers its questions for metrics from a thread of its own."""

    def __init__(self, descriptor: int) -> None:
        self._channel = Channel(socket.socket(fileno=descriptor))

    def start(self, page: Callable[[], bytes]) -> None:
        """Answers with `page` from now on."""
        threading.Thread(target=self._answer, args=(page,), name="parent-link", daemon=True).start()

    def opened(self) -> None:
        """Says that the ports of this worker are open."""
        self._channel.send(OPENED)

    def serves(self, status: telemetry.GatewayStatus, ended: list[str]) -> None:
        """Says what this worker serves, or which of its loops has ended: then the parent starts it again."""
        if ended:
            self._channel.send(ENDED, ", ".join(ended).encode())
        else:
            self._channel.send(STATUS, status.SerializeToString())

    def _answer(self, page: Callable[[], bytes]) -> None:
        while (asked := self._channel.receive()) is not None:
            if asked.kind == PAGE:
                self._channel.send(PAGE, page())


class WorkerTelemetry:
    """Writes a worker's evidence to the log, in the gateway's name, and gives its status to the parent.

    Each worker's counters grow from 0 under a boot id of its own, so readers add the workers up, and count none twice
    after a restart.
    """

    def __init__(self, writer: TelemetryWriter, link: ParentLink, ended: Callable[[], list[str]]) -> None:
        self._writer = writer
        self._link = link
        self._ended = ended

    def send(self, key: str, **measurement: Any) -> object:
        """Sends one measurement. Raises LogError when it is for the log and the log does not take it."""
        if (status := measurement.get("gateway_status")) is None:
            return self._writer.send(key, **measurement)
        self._link.serves(status, self._ended())
        return None
