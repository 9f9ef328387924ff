"""gRPC's own bytes: messages in parts, lengths, compression, deadlines, statuses."""

import gzip
import zlib

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.inference_parameters import MAX_MESSAGE_BYTES
from headgate.runtime.errors import RpcRefused
from services.gateway.asgi.wire import (
    MAX_BODIES_BYTES,
    MessageReader,
    framed,
    metadata_of,
    status_headers,
    timeout_seconds,
)


class Reserved:
    def __init__(self):
        self.bytes = 0

    def __call__(self, change):
        self.bytes += change
        return self.bytes <= MAX_BODIES_BYTES


def reader(encoding=b"identity"):
    return MessageReader(encoding, Reserved())


def prefix(size, flag=0):
    return bytes([flag]) + size.to_bytes(4, "big")


@given(st.lists(st.binary(max_size=300), max_size=5), st.data())
def test_messages_are_the_same_in_whatever_parts_they_come(messages, data):
    sent = b"".join(map(framed, messages))
    reserve = Reserved()
    reading, found = MessageReader(b"identity", reserve), []
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        reading.feed(sent[:size])
        sent = sent[size:]
        while (message := reading.next()) is not None:
            found.append(message)
    assert found == messages
    assert (reading.buffered_bytes, reserve.bytes) == (0, 0)


@pytest.mark.parametrize("size", [MAX_MESSAGE_BYTES + 1, 2**32 - 1])
def test_a_message_that_will_be_too_large_is_refused_before_it_comes(size):
    reading = reader()
    reading.feed(prefix(size))
    with pytest.raises(RpcRefused, match=f"the request has {size} bytes") as refused:
        reading.next()
    assert refused.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_too_many_large_messages_at_once_are_refused_and_a_given_up_one_makes_room():
    reserve = Reserved()
    waiting = [MessageReader(b"identity", reserve) for _ in range(16)]
    for reading in waiting:
        reading.feed(prefix(MAX_MESSAGE_BYTES - 5))
        assert reading.next() is None
    late = MessageReader(b"identity", reserve)
    late.feed(prefix(1000))
    with pytest.raises(RpcRefused, match="too many large messages"):
        late.next()
    late.release()
    waiting[0].release()
    again = MessageReader(b"identity", reserve)
    again.feed(prefix(1000))
    assert again.next() is None


@pytest.mark.parametrize(("encoding", "compress"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_compressed_messages_are_opened_up_to_the_limit(encoding, compress):
    reading = reader(encoding)
    for content in (b"a" * 1000, b""):
        packed = compress(content)
        reading.feed(prefix(len(packed), flag=1) + packed)
        assert reading.next() == content
    bomb = compress(b"\0" * (MAX_MESSAGE_BYTES + 1))
    reading.feed(prefix(len(bomb), flag=1) + bomb)
    with pytest.raises(RpcRefused, match="more when it is decompressed"):
        reading.next()
    half = compress(b"a" * 1000)[:-6]
    reading = reader(encoding)
    reading.feed(prefix(len(half), flag=1) + half)
    with pytest.raises(RpcRefused, match="not complete"):
        reading.next()


@pytest.mark.parametrize(("encoding", "flag"), [(b"identity", 1), (b"snappy", 1), (b"gzip", 2)])
def test_an_unknown_compression_is_refused(encoding, flag):
    reading = reader(encoding)
    reading.feed(prefix(1, flag) + b"a")
    with pytest.raises(RpcRefused, match="expected gzip or deflate"):
        reading.next()


@pytest.mark.parametrize(("text", "seconds"), [(b"1S", 1.0), (b"20M", 1200.0), (b"5m", 0.005), (b"99999999H", 3.6e11)])
def test_deadlines_are_read(text, seconds):
    assert timeout_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", [b"", b"1", b"S", b"123456789S", b"-1S", b"1.5S", b"1s", b"1S\n"])
def test_a_deadline_of_another_form_is_refused(text):
    with pytest.raises(RpcRefused, match="grpc-timeout"):
        timeout_seconds(text)


def test_a_status_is_escaped_and_its_details_are_bytes():
    headers = dict(status_headers(5, "nobódy 100%\n", [("grpc-status-details-bin", b"\xff\x00\x01")]))
    assert headers == {
        b"grpc-status": b"5",
        b"grpc-message": b"nob%C3%B3dy 100%25%0A",
        b"grpc-status-details-bin": b"/wAB",
    }


def test_metadata_with_bin_names_are_bytes():
    headers = [(b"x-routing-key", b"k"), (b"x-bin", b"/wAB"), (b"y-bin", b"!")]
    assert metadata_of(headers) == (("x-routing-key", "k"), ("x-bin", b"\xff\x00\x01"), ("y-bin", b""))
