"""Random changes of a request: of its bytes, of its lengths, and of values that often break a parser."""

import random

WORDS = (
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\x00",
    b"\xff\xfe",
    b"NaN",
    b"1e999",
    b"-1",
    b"18446744073709551616",
    b"null",
    b"true",
    b"[" * 2_000,
    b'{"a":' * 500,
    b'"\\ud800"',
    b'"shape"',
    b'"BYTES"',
    b'"FP16"',
    b"%2e%2e/",
)
MAX_CHANGES = 4


def mutated(request: bytes, chance: random.Random) -> bytes:
    """The request with a few changes. Half of the time its Content-Length fits the body that results."""
    head, _, body = request.partition(b"\r\n\r\n")
    if chance.random() < 0.5:
        body = changed(body, chance)
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
        return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])
    return changed(request, chance)


def changed(data: bytes, chance: random.Random) -> bytes:
    """The bytes with a few changes."""
    bytes_then = bytearray(data)
    for _ in range(chance.randrange(1, MAX_CHANGES + 1)):
        start = chance.randrange(len(bytes_then) + 1)
        end = start + chance.choice((0, 0, 1, 2, 8, 100))
        bytes_then[start:end] = chance.choice((b"", chance.randbytes(chance.randrange(4)), chance.choice(WORDS)))
    return bytes(bytes_then)
