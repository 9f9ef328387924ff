"""Pages that stay open get their new HTML when the state has changed.

Viewers who are shown the same share one channel, so a page is made once for all of them. A viewer who does not read
gets the newest HTML once it reads again, and nothing is kept for it but that.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

MAX_VIEWERS = 2_000
"""Further pages stay as they are until they are loaded again."""
MAX_OF_ONE = MAX_VIEWERS // 2
"""Pages of one caller, where callers prove who they are, so that none takes those of all others."""
LEAST_SECONDS = 0.5
"""Between two versions of one page, so that a busy log costs no more than two renderings a second."""
SEND_SECONDS = 30.0
"""A viewer who takes nothing for so long is gone."""
RETRY_MS = 2_000
"""When a browser that lost its connection tries again."""

logger = logging.getLogger(__name__)

Make = Callable[[], str]
Ended = Callable[[], str]
"""The last HTML for a viewer who may see the page no more; empty while it may."""


@dataclass(frozen=True, slots=True)
class Followed:
    """One page as one viewer follows it. Those with the same key are shown the same."""

    key: Hashable
    make: Make
    most_seconds: float
    """After this time the page is made again without a change of the state, because ages and evidence move."""
    ended: Ended = str
    caller: str = ""
    """Who follows it; empty where callers need not prove who they are."""


class _Channel:
    """One page for all who are shown the same."""

    def __init__(self, make: Make, most_seconds: float) -> None:
        self.make, self.most_seconds = make, most_seconds
        self.changed = asyncio.Event()
        self.viewers = 0
        self.version = 0
        self.html = ""
        self.digest = b""
        self.task: asyncio.Task[None] | None = None
        self.published = asyncio.Condition()


class Live:
    """Used on one event loop, but for `touch`, which may be called on any thread."""

    def __init__(self) -> None:
        self._channels: dict[Hashable, _Channel] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._is_touched = False
        self.viewers = 0
        self._of_caller: Counter[str] = Counter()

    def touch(self) -> None:
        """The state has changed. The channels look, once for any number of changes."""
        if self._loop is not None and not self._is_touched and not self._is_closed:
            self._is_touched = True
            self._soon(self._loop)

    def close(self) -> None:
        """Ends all streams."""
        self._is_closed = True
        if self._loop is not None:
            self._soon(self._loop)

    def _soon(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop has ended, and the thread that folds the log goes on
            loop.call_soon_threadsafe(self._wake)

    def is_full(self, caller: str) -> bool:
        """Whether this caller may open no further page. Empty for one that need not prove who it is."""
        of_one = self._of_caller[caller] if caller else 0
        return of_one >= MAX_OF_ONE or self.viewers >= MAX_VIEWERS or self._is_closed

    def stream(self, followed: Followed) -> "LiveResponse":
        """The answer that follows this page."""
        self._loop = asyncio.get_running_loop()
        return LiveResponse(self, followed)

    def join(self, followed: Followed) -> _Channel:
        """The channel of the page, with one more viewer."""
        channel = self._channels.get(followed.key)
        if channel is None:
            channel = self._channels[followed.key] = _Channel(followed.make, followed.most_seconds)
            channel.task = asyncio.create_task(self._follow(channel))
        channel.viewers += 1
        self.viewers += 1
        self._of_caller[followed.caller] += 1
        return channel

    def leave(self, followed: Followed, channel: _Channel) -> None:
        """The last one who leaves ends the channel."""
        channel.viewers -= 1
        self.viewers -= 1
        self._of_caller[followed.caller] -= 1
        if not self._of_caller[followed.caller]:
            del self._of_caller[followed.caller]
        if not channel.viewers:
            self._channels.pop(followed.key, None)
            if channel.task is not None:
                channel.task.cancel()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def _wake(self) -> None:
        self._is_touched = False
        for channel in self._channels.values():
            channel.changed.set()

    async def _follow(self, channel: _Channel) -> None:
        while not self._is_closed:
            channel.changed.clear()
            try:
                html = await run_in_threadpool(channel.make)
            except Exception:  # one page that fails must not end the stream of it
                logger.warning("a live page failed; it is made again with the next change", exc_info=True)
            else:
                await _publish(channel, html)
            await asyncio.sleep(LEAST_SECONDS)
            try:
                await asyncio.wait_for(channel.changed.wait(), channel.most_seconds)
            except TimeoutError:
                continue
        async with channel.published:
            channel.published.notify_all()


async def _publish(channel: _Channel, html: str) -> None:
    digest = sha256(html.encode()).digest()
    async with channel.published:
        if digest != channel.digest:
            channel.digest, channel.html = digest, html
            channel.version += 1
        channel.published.notify_all()


class LiveResponse:
    """An ASGI answer of server-sent events: `page` with new HTML, or a comment that shows that all is well."""

    def __init__(self, live: Live, followed: Followed) -> None:
        self._live, self._followed = live, followed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        channel = self._live.join(self._followed)
        gone = asyncio.create_task(_until_gone(receive))
        sending = asyncio.create_task(self._send(channel, send))
        try:
            await asyncio.wait((gone, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (gone, sending):
                task.cancel()
            await asyncio.gather(gone, sending, return_exceptions=True)
            self._live.leave(self._followed, channel)

    async def _send(self, channel: _Channel, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _within(send, f"retry: {RETRY_MS}\n\n")
        shown = 0
        while not self._live.is_closed:
            async with channel.published:
                if channel.version == shown:
                    await channel.published.wait()
                version, html = channel.version, channel.html
            # Each viewer is asked for itself, because a sign-in that has ended must end its own stream alone.
            if ended := await run_in_threadpool(self._followed.ended):
                await _within(send, _event(ended))
                break
            channel.make = self._followed.make  # of somebody who may see the page at this moment
            await _within(send, _event(html) if version != shown else ": well\n\n")
            shown = version
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _event(html: str) -> str:
    return "event: page\n" + "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"


async def _within(send: Send, text: str) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
