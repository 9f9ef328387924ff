"""Frames of HTTP/2 as an attacker writes them, without a library that would keep the rules."""

import socket
import struct
from contextlib import contextmanager, suppress

from tests.waiting import PATIENCE_SECONDS

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS = 1, 4
CANCEL = struct.pack(">I", 8)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header that enters no table."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"


def headers_of(method):
    """The header block of a call of `method`, text or bytes."""
    fields = (
        (b":path", method if isinstance(method, bytes) else method.encode()),
        (b":authority", b"a"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    )
    return b"\x83\x86" + b"".join(literal(name, value) for name, value in fields)


CALL = headers_of(MODEL_INFER)


def rapid_resets(count=10_000, method=MODEL_INFER):
    """Calls that are cancelled at once."""
    call = headers_of(method)
    return [
        frame(HEADERS, END_HEADERS, number, call) + frame(RST_STREAM, 0, number, CANCEL)
        for number in range(1, 2 * count, 2)
    ]


def endless_headers(count=2_000):
    """One call whose headers never end."""
    more = frame(CONTINUATION, 0, 1, literal(b"x", b"y" * 100) * 20)
    return [frame(HEADERS, 0, 1, CALL), *[more] * count]


def header_bomb():
    """One header of 3,900 bytes in the table, and 12,000 references to it of one byte each: 47 MB."""
    length = bytes([0x7F, (3_900 - 127) % 128 | 128, (3_900 - 127) // 128])
    entry = b"\x40\x01x" + length + b"v" * 3_900
    return [frame(HEADERS, 0, 1, CALL + entry) + frame(CONTINUATION, END_HEADERS, 1, b"\xbe" * 12_000)]


@contextmanager
def attacked(port, frames):
    """A server that has got these frames, or as many as it took. The connection stays open until the end."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as attacker:
        with suppress(OSError):  # the server ended the connection
            attacker.sendall(PREFACE)
            for each in frames:
                attacker.sendall(each)
        yield attacker


def call_of_no_text():
    """One call whose path is not UTF-8."""
    return [frame(HEADERS, END_HEADERS | END_STREAM, 1, headers_of(b"/inference.GRPCInferenceService/\xb7"))]


def await_answer(attacker, stream=1):
    """Reads until the server says something about the stream, or ends the connection."""
    with suppress(OSError), attacker.makefile("rb") as frames:
        while head := frames.read(9):
            frames.read(int.from_bytes(head[:3], "big"))
            if int.from_bytes(head[5:], "big") == stream or head[3] == GOAWAY:
                return
