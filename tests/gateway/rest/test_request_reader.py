"""Which bytes are a request, whatever way they arrive, and which ones are refused."""

import random

import pytest

from services.gateway.rest.http_messages import HttpRefused
from services.gateway.rest.known_heads import MAX_HEAD_BYTES, MAX_KNOWN, KnownHeads
from services.gateway.rest.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADERS
from services.gateway.rest.request_reader import RequestReader

GET = b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = b"POST /v2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Reserved:
    """Counts the bytes that unfinished bodies hold."""

    def __init__(self, limit=10**9):
        self.bytes, self.limit = 0, limit

    def __call__(self, change):
        self.bytes += change
        return self.bytes <= self.limit


def read(*parts, reserve=None):
    reader = RequestReader(reserve or Reserved())
    for part in parts:
        reader.feed(part)
    return reader


def bodies(reader):
    return [request.body for request in reader.ready]


def refusal(*parts, reserve=None):
    with pytest.raises(HttpRefused) as caught:
        read(*parts, reserve=reserve)
    return caught.value.status, caught.value.rule


def test_a_request_may_arrive_byte_by_byte():
    reader = read(*(bytes([byte]) for byte in POST + GET))
    assert [(request.method, request.body) for request in reader.ready] == [(b"POST", b"abc"), (b"GET", b"")]
    assert not reader.is_inside_request


def test_pipelined_requests_come_in_their_order():
    assert bodies(read(POST + POST.replace(b"abc", b"def") + GET)) == [b"abc", b"def", b""]


def test_a_chunked_body_is_put_together_and_its_trailers_are_dropped():
    reader = read(CHUNKED + b"3;note=1\r\nabc\r\n", b"2\r\nde\r\n0\r\nHost: b\r\n\r\n")
    assert bodies(reader) == [b"abcde"]
    assert reader.ready[0].headers[b"host"] == b"a"


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [(b"1.1", b"", True), (b"1.1", b"close", False), (b"1.0", b"", False), (b"1.0", b"keep-alive", True)],
)
def test_the_caller_says_whether_the_connection_is_kept(version, connection, kept):
    head = b"GET /v2 HTTP/%b\r\nHost: a\r\n" % version
    reader = read(head + (b"Connection: %b\r\n\r\n" % connection if connection else b"\r\n"))
    assert reader.ready[0].keep_alive is kept


def test_an_offer_of_http2_is_ignored_and_the_request_with_its_body_is_read():
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    offering = POST.replace(b"Host: a\r\n", b"Host: a\r\n" + offer)
    assert bodies(read(offering + offering + GET)) == [b"abc", b"abc", b""]
    assert bodies(read(offering[:-2], offering[-2:])) == [b"abc"]


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (POST.replace(b"Host: a", b"Host: a\r\nTransfer-Encoding: chunked"), 400, "Transfer-Encoding"),
        (CHUNKED.replace(b"Host: a", b"Host: a\r\nContent-Length: 3"), 400, "Content-Length"),
        (POST.replace(b"Host: a", b"Host: a\r\nContent-Length: 3"), 400, "Duplicate Content-Length"),
        (POST.replace(b": 3", b": 3, 3"), 400, "Content-Length"),
        (POST.replace(b": 3", b": -3"), 400, "Content-Length"),
        (POST.replace(b": 3", b": +3"), 400, "Content-Length"),
        (POST.replace(b": 3", b": 0x3"), 400, "Content-Length"),
        (POST.replace(b": 3", b": 99999999999999999999999"), 400, "Content-Length"),
        (CHUNKED.replace(b"chunked", b"gzip"), 400, "Transfer-Encoding"),
        (CHUNKED.replace(b"chunked", b"chunked, gzip"), 400, "Transfer-Encoding"),
        (CHUNKED.replace(b"chunked", b"xchunked"), 400, "Transfer-Encoding"),
        (CHUNKED.replace(b"1.1", b"1.0"), 400, "HTTP/1.0 knows no Transfer-Encoding"),
        (CHUNKED + b"3\nabc\n0\n\n", 400, "CR"),
        (CHUNKED + b"-3\r\nabc\r\n", 400, "chunk size"),
        (CHUNKED + b"fffffffffffffffffff\r\nabc", 400, "Chunk size overflow"),
        (GET.replace(b"\r\n", b"\n"), 400, "CRLF"),
        (GET.replace(b": a\r\n", b": a\nX: b\r\n"), 400, "CR"),
        (GET.replace(b"Host", b"Host "), 400, "header"),
        (GET.replace(b": a", b": a\x00b"), 400, "header"),
        (GET.replace(b": a\r\n", b": a\r\n b\r\n"), 400, "header"),
        (GET.replace(b"Host: a", b"Host: a\r\nHost: b"), 400, "more than one Host"),
        (GET.replace(b"Host: a\r\n", b""), 400, "no Host header"),
        (b"GET /v2\r\n\r\n", 505, "HTTP/0.9"),
        (GET.replace(b"1.1", b"3.0"), 400, "HTTP version"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405, "CONNECT"),
        (b"\x00\x01\x02", 400, "no HTTP/1.1 request"),
        (b"\x16\x03\x01\x02\x00\x01", 400, "TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "gRPC has a port of its own"),
        (POST.replace(b"Host: a", b"Host: a\r\nExpect: miracles"), 417, "100-continue"),
    ],
)
def test_what_could_be_read_in_two_ways_or_is_no_request_is_refused(sent, status, words):
    got, rule = refusal(sent)
    assert got == status
    assert words in rule


def test_a_header_is_bounded_however_it_arrives():
    many = b"".join(b"X-%d: 1\r\n" % n for n in range(MAX_HEADERS + 1))
    long = b"X: " + b"a" * MAX_HEADER_BYTES + b"\r\n"
    for extra in (many, long):
        assert refusal(GET.replace(b"Host: a\r\n", b"Host: a\r\n" + extra))[0] == 431
    assert refusal(*[b"GET /" + b"a" * 1000] + [b"a" * 1000] * 20)[0] == 431
    assert refusal(b"GET /v2 HTTP/1.1\r\n", *[b"X: " + b"a" * 1000] + [b"a" * 1000] * 20)[0] == 431


def test_a_body_that_is_too_large_is_refused_by_its_length_before_it_comes():
    assert refusal(POST.replace(b": 3", b": %d" % (MAX_BODY_BYTES + 1))[:-3])[0] == 413


def test_a_chunked_body_is_bounded_while_it_comes():
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    assert refusal(CHUNKED, *[chunk] * (MAX_BODY_BYTES // 0x100000 + 1))[0] == 413


def test_chunks_that_are_nearly_all_framing_are_refused():
    assert "framing" in refusal(CHUNKED, *[b"1;" + b"x" * 2000 + b"\r\na\r\n"] * 20)[1]


def test_chunks_of_one_byte_are_read():
    assert bodies(read(CHUNKED, *[b"1\r\na\r\n"] * 5_000, b"0\r\n\r\n")) == [b"a" * 5_000]


def test_trailers_are_bounded():
    assert refusal(CHUNKED + b"0\r\n", *[b"X: " + b"a" * 1000 + b"\r\n"] * 20)[0] == 400


def test_all_unfinished_bodies_together_are_bounded_and_a_finished_one_is_given_back():
    reserved = Reserved(limit=5)
    read(POST, reserve=reserved)
    assert reserved.bytes == 0
    waiting = read(POST[:-1], reserve=reserved)
    assert reserved.bytes == 2
    assert refusal(POST[:-1].replace(b": 3", b": 9") + b"abc", reserve=reserved)[0] == 503
    waiting.release()


def test_a_caller_that_asks_first_is_known_until_its_body_comes():
    asking = POST.replace(b"Host: a", b"Host: a\r\nExpect: 100-continue")
    reader = read(asking[:-3])
    assert reader.wants_continue
    reader.feed(b"abc")
    assert not reader.wants_continue
    assert bodies(reader) == [b"abc"]


def test_mutated_requests_are_read_or_refused_and_hold_no_memory():
    chance = random.Random(7)
    seeds = [GET, POST, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", POST.replace(b"Host: a", b"Host: a\r\nUpgrade: h2c")]
    for _ in range(2_000):
        sent = bytearray(chance.choice(seeds) + chance.choice(seeds))
        for _ in range(chance.randrange(1, 4)):
            position = chance.randrange(len(sent))
            sent[position : position + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        cut = chance.randrange(len(sent))
        reserved = Reserved()
        reader = RequestReader(reserved)
        try:
            reader.feed(bytes(sent[:cut]))
            reader.feed(bytes(sent[cut:]))
        except HttpRefused as refused:
            assert refused.status in (400, 405, 413, 417, 505)  # noqa: PT017  # most mutations are refused, some are read
        reader.release()
        assert reserved.bytes == 0


@pytest.fixture
def heads():
    return KnownHeads()


def on_a_new_connection(heads, *parts):
    reader = RequestReader(Reserved(), heads)
    for part in parts:
        reader.feed(part)
    return reader


def test_a_request_whose_head_came_before_is_the_same_request_with_its_own_body(heads):
    (first,) = on_a_new_connection(heads, POST).ready
    reader = on_a_new_connection(heads, POST.replace(b"abc", b"xyz"))
    assert list(reader.ready) == [first._replace(body=b"xyz")]
    assert not reader.is_inside_request


def test_after_a_known_head_the_parts_of_other_requests_are_read(heads):
    on_a_new_connection(heads, POST)
    assert bodies(on_a_new_connection(heads, POST, POST[:9], POST[9:] + GET, POST + GET, GET)) == [
        *[b"abc", b"abc", b"", b"abc", b"", b""]
    ]


@pytest.mark.parametrize("sent", [POST[:-1], POST[:-3], POST + b"G"])
def test_a_known_head_with_less_or_more_than_its_body_is_read_as_if_it_was_new(heads, sent):
    on_a_new_connection(heads, POST)
    known, new = on_a_new_connection(heads, sent), on_a_new_connection(KnownHeads(), sent)
    assert (list(known.ready), known.is_inside_request) == (list(new.ready), new.is_inside_request)


def test_a_known_head_in_a_body_is_part_of_the_body(heads):
    on_a_new_connection(heads, GET)
    outer = b"POST /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(GET)
    assert bodies(on_a_new_connection(heads, outer, GET)) == [GET]


@pytest.mark.parametrize("header", [b"Connection: close", b"Expect: 100-continue", b"Transfer-Encoding: chunked"])
def test_a_head_that_says_more_than_how_long_its_body_is_is_read_each_time(heads, header):
    sent = b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + header + (b"\r\n\r\n0\r\n\r\n" if b"chunked" in header else b"\r\n\r\n")
    on_a_new_connection(heads, sent)
    assert heads.request(sent) is None


def test_the_number_of_known_heads_is_bounded_and_so_is_their_length(heads):
    for n in range(2 * MAX_KNOWN):
        on_a_new_connection(heads, b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n)
    last = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % (2 * MAX_KNOWN - 1)
    long = b"GET /long HTTP/1.1\r\nHost: %b\r\n\r\n" % (b"a" * MAX_HEAD_BYTES)
    on_a_new_connection(heads, long)
    first = b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\n"
    assert (heads.request(first), heads.request(long)) == (None, None)
    assert heads.request(last).target == b"/%d" % (2 * MAX_KNOWN - 1)


def test_a_known_head_with_a_token_is_the_same_request_and_its_token_is_kept_nowhere(heads):
    sent = b"GET /v2 HTTP/1.1\r\nHost: a\r\nAuthorization:  Bearer hgt_secret\r\nAccept: */*\r\n\r\n"
    (first,) = on_a_new_connection(heads, sent).ready
    assert heads.request(sent) == first
    assert first.headers[b"authorization"] == b"Bearer hgt_secret"
    assert heads.request(sent.replace(b"secret", b"tercse")) is None
    assert b"hgt_secret" not in repr(heads._known).encode()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v2?access_token=hgt_secret HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hgt_secret\r\nAuthorization: Bearer b\r\n\r\n",
    ],
)
def test_a_head_that_is_refused_for_its_token_is_read_each_time(heads, sent):
    on_a_new_connection(heads, sent)
    assert heads.request(sent) is None
    assert b"hgt_secret" not in repr(heads._known).encode()
