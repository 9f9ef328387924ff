"""Mutated HTTP/2 to the gateway's gRPC port. A good call must be answered in between."""

import random
import socket
import struct
from contextlib import suppress

import grpc
import numpy as np

from tests.bench.rest_material import MODEL
from tests.fuzz.mutations import changed
from tests.fuzz.target import Sent
from tests.gateway.harness import GatewayHarness, infer_request
from tests.http2_frames import (
    CALL,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    RST_STREAM,
    frame,
)

CONNECT_SECONDS = 5.0
READ_SECONDS = 0.02
"""How long a connection is read from. What the server keeps open it may keep."""
CHECK_EACH = 20
KINDS = (DATA, HEADERS, 2, RST_STREAM, 4, 5, 6, 7, 8, CONTINUATION, 200)


class GrpcFrames:
    """Each request has a connection of its own."""

    name = "gRPC frames"

    def __init__(self, gateway: GatewayHarness) -> None:
        self._gateway = gateway
        host, _, port = gateway.address.rpartition(":")
        self._address = host, int(port)
        self._good = infer_request(np.ones((1, 30)), model=MODEL)
        self._count = 0

    def send(self, chance: random.Random) -> Sent:
        """Sends one connection's bytes."""
        sent = self._bytes(chance)
        answered = b""
        try:
            with socket.create_connection(self._address, CONNECT_SECONDS) as connection:
                connection.settimeout(READ_SECONDS)
                with suppress(OSError):  # the server may end the connection at any byte
                    connection.sendall(sent)
                    answered = connection.recv(2**16)
        except OSError as error:
            return Sent(sent, ["no connection"], f"the port takes no connection: {error}")
        self._count += 1
        return Sent(sent, ["answered" if answered else "ended or silent"], self._problem())

    def _problem(self) -> str:
        if self._count % CHECK_EACH:
            return ""
        try:
            self._gateway.infer(self._good)
        except grpc.RpcError as error:
            return f"a good call was not answered: {error}"
        return ""

    def _bytes(self, chance: random.Random) -> bytes:
        message = self._good.SerializeToString()
        if chance.random() < 0.5:
            message = changed(message, chance)
        size = len(message) if chance.random() < 0.8 else chance.choice((0, 1, 2**31, 2**32 - 1))
        body = struct.pack(">BI", chance.choice((0, 0, 0, 1, 255)), size) + message
        frames = [frame(HEADERS, END_HEADERS, 1, CALL), frame(DATA, END_STREAM, 1, body)]
        for _ in range(chance.randrange(4)):
            frames.insert(chance.randrange(len(frames) + 1), _frame(chance))
        whole = PREFACE + b"".join(frames)
        return changed(whole, chance) if chance.random() < 0.5 else whole


def _frame(chance: random.Random) -> bytes:
    stream = chance.choice((0, 1, 2, 3, 2**31 - 1, 2**32 - 1))
    payload = chance.choice((b"", CANCEL, CALL, chance.randbytes(chance.randrange(40))))
    return frame(chance.choice(KINDS), chance.randrange(256), stream, payload)
