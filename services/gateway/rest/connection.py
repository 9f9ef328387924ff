"""One connection: its requests are answered in their order, and a caller that is slow delays only itself."""

import asyncio
import select
from collections.abc import Callable
from typing import Protocol, cast

from services.gateway.rest.http_messages import HttpAnswer, HttpRefused, HttpRequest, head_of, unread_answer
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
from services.gateway.rest.peer import Peer
from services.gateway.rest.request_reader import RequestReader

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
JOINED_BYTES = 64 * 1024
"""A larger answer is not copied to stand behind its head."""


class LaterAnswer(Protocol):
    """An answer that is not known yet."""

    def on_done(self, done: Callable[[HttpAnswer], None]) -> None:
        """Calls `done` with the answer, on the event loop. At once or later."""

    def give_up(self) -> None:
        """The caller waits no longer."""


class Host(Protocol):
    """What a connection needs of its server."""

    date: bytes
    is_draining: bool
    heads: KnownHeads

    def handle(self, request: HttpRequest) -> HttpAnswer | LaterAnswer:
        """The answer. Raises nothing."""

    def reserve(self, change_bytes: int) -> bool:
        """Whether so many more bytes of unfinished bodies may stay in memory."""

    def refused(self, refusal: HttpRefused) -> None:
        """Counts what was no request."""

    def opened(self, connection: "Connection") -> bool:
        """Whether the connection may stay."""

    def closed(self, connection: "Connection") -> None:
        """The connection has ended."""


class Connection(asyncio.Protocol):
    """Runs on the event loop of its server."""

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self._host, self._loop = host, loop
        self._reader = RequestReader(host.reserve, host.heads)
        self._answering: HttpRequest | None = None
        self._later: LaterAnswer | None = None
        self._refusal: HttpRefused | None = None
        self._is_write_paused = self._is_read_paused = self._is_closing = self._has_turn = False
        self._since = loop.time()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being received or answered."""
        return not (self._later or self._reader.is_inside_request or self._reader.ready or self._refusal)

    def close_idle(self, now: float) -> None:
        """Ends a connection of a stopping server that nothing happens on. A caller that was active keeps it a moment.

        Its next answer then says that the connection ends, so no request of it meets a connection that is gone.
        """
        if self.is_idle and now - self._since > IDLE_DRAIN_SECONDS:
            self._close_unused()

    def close(self) -> None:
        """Ends the connection once its answers are sent."""
        self._is_closing = True
        self._transport.close()

    def abort(self) -> None:
        """Ends the connection now."""
        self._is_closing = True
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Ends the connection when its caller exceeds a limit of time."""
        seconds, reader = now - self._since, self._reader
        if self._is_closing or self._is_write_paused:
            if seconds > (LINGER_SECONDS if self._is_closing else WRITE_SECONDS):
                self.abort()
        elif self._later or reader.ready:
            return
        elif reader.is_inside_request:
            self._sweep_request(seconds)
        elif seconds > IDLE_SECONDS:
            self._close_unused()

    def _close_unused(self) -> None:
        """Ends an idle connection, unless bytes wait in its socket that the event loop has not read yet."""
        waiting = select.poll()
        waiting.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        if not waiting.poll(0):
            self.close()

    def _sweep_request(self, seconds: float) -> None:
        limit_seconds, part = HEADER_SECONDS, "the header of the request"
        if self._reader.is_inside_body:
            limit_seconds, part = REQUEST_SECONDS, "the request"
        if seconds > limit_seconds:
            self._refuse(HttpRefused(408, f"{part} did not come within {limit_seconds:g} s"))

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._reader.peer = Peer(transport)
        if not self._host.opened(self):
            self._refuse(HttpRefused(503, "this gateway has too many connections; try again later"))

    def connection_lost(self, error: Exception | None) -> None:
        self._is_closing = True
        self._reader.release()
        self._reader.ready.clear()
        if self._later:
            self._later.give_up()
        self._host.closed(self)

    def eof_received(self) -> bool:
        return False  # the caller has gone: the transport closes

    def data_received(self, data: bytes) -> None:
        if self._is_closing or self._refusal:
            return
        reader = self._reader
        was_inside = reader.is_inside_request
        try:
            reader.feed(data)
        except HttpRefused as refusal:
            self._refusal = refusal
        if reader.wants_continue and self._later is None and not reader.ready:
            reader.wants_continue = False
            self._transport.write(CONTINUE)
        if reader.is_inside_request and not was_inside:
            self._since = self._loop.time()
        self._answer_ready()

    def pause_writing(self) -> None:
        self._is_write_paused = True
        self._since = self._loop.time()

    def resume_writing(self) -> None:
        self._is_write_paused = False
        self._since = self._loop.time()
        self._answer_ready()

    def _answer_ready(self) -> None:
        """Answers what has come, until one answer takes longer or the caller has to read first."""
        ready = self._reader.ready
        answered = 0
        while ready and not (self._later or self._is_write_paused or self._is_closing):
            if answered == MAX_ANSWERS_PER_TURN:
                self._take_turn()
                break
            answered += 1
            self._answering = request = ready.popleft()
            outcome = self._host.handle(request)
            if isinstance(outcome, HttpAnswer):
                self._send(outcome, request)
            else:
                self._later = outcome
                outcome.on_done(self._finish)
        if self._refusal and not (ready or self._later or self._is_closing):
            self._refuse(self._refusal)
        self._read_on(not ready)

    def _take_turn(self) -> None:
        if not self._has_turn:
            self._has_turn = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._has_turn = False
        self._answer_ready()

    def _finish(self, answer: HttpAnswer) -> None:
        request, self._later = self._answering, None
        if request is None or self._is_closing:
            return
        self._send(answer, request)
        self._answer_ready()

    def _send(self, answer: HttpAnswer, request: HttpRequest) -> None:
        host = self._host
        waits = self._reader.ready or self._reader.is_inside_request
        close = not request.keep_alive or (host.is_draining and not waits)
        head = head_of(answer, host.date, close, keep_http10=request.is_http10)
        content = b"" if request.method == b"HEAD" else answer.content
        if len(content) <= JOINED_BYTES:
            self._transport.write(head + content)
        else:
            self._transport.write(head)
            self._transport.write(content)
        self._since = self._loop.time()
        if close:
            self.close()

    def _refuse(self, refusal: HttpRefused) -> None:
        self._refusal = refusal
        self._host.refused(refusal)
        answer = unread_answer(refusal)
        self._transport.write(head_of(answer, self._host.date, close=True) + answer.content)
        # Closing now would reset the connection under a caller that still sends, and it would never read this answer.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:  # TLS knows no half of a connection; its end waits for the caller's by itself
            self._transport.close()
        self._is_closing = True
        self._since = self._loop.time()

    def _read_on(self, wanted: bool) -> None:
        """Takes no more bytes of a caller while requests of it wait."""
        if self._is_closing or wanted is not self._is_read_paused:
            return
        self._is_read_paused = not wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
