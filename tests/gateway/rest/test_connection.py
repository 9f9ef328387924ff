"""The order and the end of a connection's answers, with a transport and a clock that the test holds."""

import re
import socket

import pytest

from services.gateway.rest.connection import CONTINUE, Connection
from services.gateway.rest.http_messages import HttpAnswer
from services.gateway.rest.known_heads import KnownHeads
from services.gateway.rest.limits import (
    HEADER_SECONDS,
    IDLE_DRAIN_SECONDS,
    IDLE_SECONDS,
    LINGER_SECONDS,
    MAX_ANSWERS_PER_TURN,
    REQUEST_SECONDS,
    WRITE_SECONDS,
)

GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"


class Transport:
    def __init__(self):
        self.sent = b""
        self.ended = ""
        self.reads = True
        self.caller, self._socket = socket.socketpair()

    def get_extra_info(self, name):
        return {"socket": self._socket}[name]

    def close_sockets(self):
        self.caller.close()
        self._socket.close()

    def write(self, data):
        self.sent += data

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.ended = "half"

    def close(self):
        self.ended = "closed"

    def abort(self):
        self.ended = "aborted"

    def pause_reading(self):
        self.reads = False

    def resume_reading(self):
        self.reads = True


class Loop:
    def __init__(self):
        self.now, self.soon = 0.0, []

    def time(self):
        return self.now

    def call_soon(self, work):
        self.soon.append(work)


class Later:
    def __init__(self):
        self.given_up = False

    def on_done(self, done):
        self.done = done

    def give_up(self):
        self.given_up = True


class Host:
    """Answers each request with its target. /slow is answered when the test says so."""

    date = b"Date: today\r\n"

    def __init__(self):
        self.is_draining, self.allowed, self.later, self.refusals, self.gone = False, True, [], [], 0
        self.heads = KnownHeads()

    def handle(self, request):
        if request.target != b"/slow":
            return HttpAnswer(200, request.target)
        self.later.append(Later())
        return self.later[-1]

    def reserve(self, change):
        return True

    def refused(self, refusal):
        self.refusals.append(refusal.status)

    def opened(self, connection):
        return self.allowed

    def closed(self, connection):
        self.gone += 1


class Stand:
    def __init__(self, allowed=True):
        self.host, self.loop, self.transport = Host(), Loop(), Transport()
        self.host.allowed = allowed
        self.connection = Connection(self.host, self.loop)
        self.connection.connection_made(self.transport)

    def send(self, data):
        self.connection.data_received(data)

    def after(self, seconds):
        self.loop.now += seconds
        self.connection.sweep(self.loop.now)
        return self.transport.ended

    def contents(self):
        return [part.partition(b"\r\n\r\n")[2] for part in re.split(rb"HTTP/1.1 \d", self.transport.sent)[1:]]


@pytest.fixture
def stand():
    stand = Stand()
    yield stand
    stand.transport.close_sockets()


def test_pipelined_answers_come_in_order_also_behind_a_slow_one(stand):
    stand.send(GET % b"1" + POST + GET % b"2")
    assert stand.contents() == [b"/1"]
    assert not stand.transport.reads
    stand.host.later[0].done(HttpAnswer(200, b"slow"))
    assert stand.contents() == [b"/1", b"slow", b"/2"]
    assert stand.transport.reads


def test_a_connection_with_many_requests_lets_others_have_their_turn(stand):
    stand.send(GET % b"x" * (MAX_ANSWERS_PER_TURN + 1))
    assert len(stand.contents()) == MAX_ANSWERS_PER_TURN
    stand.loop.soon.pop()()
    assert len(stand.contents()) == MAX_ANSWERS_PER_TURN + 1


def test_a_caller_that_reads_nothing_gets_no_more_answers_until_it_reads(stand):
    stand.connection.pause_writing()
    stand.send(GET % b"1")
    assert stand.contents() == []
    assert not stand.transport.reads
    stand.connection.resume_writing()
    assert stand.contents() == [b"/1"]


def test_a_caller_that_asks_first_is_told_to_go_on(stand):
    stand.send(POST.replace(b"Host: a", b"Host: a\r\nExpect: 100-continue")[:-3])
    assert stand.transport.sent == CONTINUE


def test_a_bad_request_is_answered_behind_the_good_ones_and_ends_the_connection(stand):
    stand.send(GET % b"1" + b"nonsense\r\n\r\n")
    first, second = stand.contents()
    assert first == b"/1"
    assert b'"error"' in second
    assert (stand.host.refusals, stand.transport.ended) == ([400], "half")
    stand.send(GET % b"2")
    assert len(stand.contents()) == 2
    assert stand.after(LINGER_SECONDS + 1) == "aborted"


def test_a_bad_request_behind_a_slow_one_waits_for_its_answer(stand):
    stand.send(POST + b"nonsense\r\n\r\n")
    assert stand.contents() == []
    stand.host.later[0].done(HttpAnswer(200, b"slow"))
    assert stand.contents()[0] == b"slow"
    assert stand.transport.ended == "half"


def test_an_answer_while_draining_ends_the_connection(stand):
    stand.host.is_draining = True
    stand.send(GET % b"1")
    assert b"Connection: close" in stand.transport.sent
    assert stand.transport.ended == "closed"


def test_while_draining_the_last_of_several_requests_ends_the_connection(stand):
    stand.host.is_draining = True
    stand.send(GET % b"1" + GET % b"2" + (GET % b"3")[:9])
    assert stand.contents() == [b"/1", b"/2"]
    assert b"Connection: close" not in stand.transport.sent
    stand.send((GET % b"3")[9:])
    assert stand.contents() == [b"/1", b"/2", b"/3"]
    assert stand.transport.ended == "closed"


def test_a_stopping_server_lets_a_caller_that_was_active_send_once_more(stand):
    stand.send(GET % b"1")
    stand.connection.close_idle(stand.loop.now + IDLE_DRAIN_SECONDS)
    assert stand.transport.ended == ""
    stand.connection.close_idle(stand.loop.now + IDLE_DRAIN_SECONDS + 0.1)
    assert stand.transport.ended == "closed"


def test_an_idle_connection_does_not_end_while_a_request_waits_in_its_socket(stand):
    stand.transport.caller.send(GET % b"1")
    assert stand.after(IDLE_SECONDS + 1) == ""
    stand.connection.close_idle(stand.loop.now)
    assert stand.transport.ended == ""


def test_a_caller_that_goes_away_gives_up_its_request(stand):
    stand.send(POST)
    stand.connection.connection_lost(None)
    assert stand.host.later[0].given_up
    assert stand.host.gone == 1
    stand.host.later[0].done(HttpAnswer(200))
    assert stand.transport.sent == b""


def test_one_connection_too_many_is_told_so():
    stand = Stand(allowed=False)
    assert stand.transport.sent.startswith(b"HTTP/1.1 503 ")
    assert b"Connection: close" in stand.transport.sent
    assert b"Retry-After: 1\r\n" in stand.transport.sent
    assert b'"code":"too-many-connections"' in stand.transport.sent
    stand.transport.close_sockets()


@pytest.mark.parametrize(
    ("sent", "seconds", "ended"),
    [
        (b"", IDLE_SECONDS, "closed"),
        (b"GET /", HEADER_SECONDS, "half"),
        (POST[:-1], REQUEST_SECONDS, "half"),
    ],
)
def test_a_connection_that_brings_nothing_ends_at_its_limit(stand, sent, seconds, ended):
    if sent:
        stand.send(sent)
    assert stand.after(seconds) == ""
    assert stand.after(1) == ended
    if sent:
        assert stand.transport.sent.startswith(b"HTTP/1.1 408 ")


def test_a_caller_that_takes_no_bytes_is_dropped_at_its_limit(stand):
    stand.connection.pause_writing()
    assert stand.after(WRITE_SECONDS) == ""
    assert stand.after(1) == "aborted"


def test_a_request_that_is_being_answered_has_no_limit_here(stand):
    stand.send(POST)
    assert stand.after(10 * IDLE_SECONDS) == ""


def test_head_gets_the_length_and_no_content(stand):
    stand.send((GET % b"1").replace(b"GET", b"HEAD"))
    assert b"Content-Length: 2" in stand.transport.sent
    assert stand.contents() == [b""]


def test_http_1_0_is_told_that_its_connection_stays(stand):
    stand.send(b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"Connection: keep-alive" in stand.transport.sent
