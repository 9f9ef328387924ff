"""Mutated requests to the REST server's parser, decoders and models."""

import asyncio
import random
import re

import uvloop

from services.gateway.rest.connection import Connection
from services.gateway.rest.handler import Handler
from services.gateway.rest.server import Connections
from tests.bench.rest_material import binary_request, json_request
from tests.fuzz.mutations import mutated
from tests.fuzz.target import Sent
from tests.gateway.harness import GatewayHarness

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
INTERNAL = "500"
ANSWER_SECONDS = 5.0


class RestRequests:
    """Each request has a connection of its own."""

    name = "REST"

    def __init__(self, gateway: GatewayHarness, loop: uvloop.Loop) -> None:
        self._host = Connections(Handler(gateway.inference, gateway.metrics))
        self._loop = loop
        self._seeds = [make(rows) for make in (json_request, binary_request) for rows in (1, 3)]

    def send(self, chance: random.Random) -> Sent:
        """Sends one request."""
        sent, transport = mutated(chance.choice(self._seeds), chance), _Transport()
        try:
            self._loop.run_until_complete(self._exchange(sent, transport))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a fault
            return Sent(sent, [type(error).__name__], f"{type(error).__name__}: {error}")
        found = [status.decode() for status in STATUS.findall(transport.sent)]
        return Sent(sent, found, "an internal error" if INTERNAL in found else "")

    async def _exchange(self, sent: bytes, transport: "_Transport") -> None:
        """Has the connection answer these bytes. Also when a slow version answers."""
        connection = Connection(self._host, self._loop)
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.data_received(sent)
        async with asyncio.timeout(ANSWER_SECONDS):
            while connection._later:
                await asyncio.sleep(0.001)
        connection.connection_lost(None)


class _Transport:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def can_write_eof(self) -> bool:
        return True

    def ignore(self) -> None:
        """The answers alone are looked at."""

    write_eof = close = abort = pause_reading = resume_reading = ignore
