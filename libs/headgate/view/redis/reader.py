"""Reads the view. It needs only Redis, so other processes can use it too."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from headgate.domain.credentials import without_credentials
from headgate.runtime.redis_client import READ_SECONDS, RedisUnavailable, connect, redis_errors
from headgate.view.fields import Kind, Resource
from headgate.view.folded import Answer
from headgate.view.query import Key, Query
from headgate.view.redis import layout, scripts
from headgate.view.redis.errors import ViewDamaged

MAX_SCANNED = 5_000
"""The most rows that one step scans inside Redis, which serves no other client meanwhile."""
MAX_STEPS = 8
FIND_SECONDS = 0.5
"""The most steps and the most time for one page. A page may end early, and the next one continues there."""
FILTERED_ROWS = 500
"""Rows fetched in one step when the indexes answer only a part of the filter."""
POLL_SECONDS = 1.0


class Reading(NamedTuple):
    """A page, and for each partition the last accepted offset that the page reflects."""

    answer: Answer
    positions: Mapping[int, int]


class Status(NamedTuple):
    """The view's generation, positions and heads."""

    generation: str
    positions: Mapping[int, int]
    heads: Mapping[str, tuple[int, bytes]]


class RedisReader:
    """Reads pages and rows. Thread-safe. Each answer shows the view at its positions, which may be behind the log."""

    def __init__(self, url: str, timeout_seconds: float = READ_SECONDS) -> None:
        self._url = url
        self._client = connect(url, timeout_seconds, retries=1)
        self._find = self._client.register_script(scripts.FIND)
        self._get = self._client.register_script(scripts.GET)
        self._state = self._client.register_script(scripts.STATE)

    def find(self, query: Query) -> Reading:
        """The page for the query. Raises RedisUnavailable and ViewDamaged."""
        found: list[tuple[Key, Resource]] = []
        after, positions, end = query.after, None, time.monotonic() + FIND_SECONDS
        for step in range(MAX_STEPS):
            if step and time.monotonic() > end:
                break
            rows, after, step_positions, ended = self._step(query, after, query.size + 1 - len(found))
            positions = positions or step_positions
            found += [(key, resource) for key, resource in rows if query.matches(resource)]
            if len(found) > query.size:
                page = found[: query.size]
                return Reading(Answer([resource for _, resource in page], page[-1][0]), positions)
            if ended:
                return Reading(Answer([resource for _, resource in found], None), positions)
        return Reading(Answer([resource for _, resource in found], after), positions or {})

    def get(self, kind: Kind, ids: Sequence[str]) -> tuple[list[Resource | None], Mapping[int, int]]:
        """Resources by id, such as `fraud/0000000003`; None for one that does not exist. Raises RedisUnavailable."""
        with redis_errors(self._url):
            reply = self._get([layout.CURRENT], [layout.ROOT, layout.SCHEMA, kind.value, *ids])
        self._check(reply)
        with self._intact():
            return [layout.parsed(kind, row) if row is not None else None for row in reply[2]], _positions(reply[1])

    def status(self) -> Status:
        """The status of the view. Its generation is empty when there is no view.

        Raises RedisUnavailable and ViewDamaged.
        """
        with redis_errors(self._url):
            generation, positions, heads = self._state([layout.CURRENT], [layout.ROOT])
        with self._intact(generation.decode(errors="replace")):
            known = {stream.decode(): layout.head_of(head.decode()) for stream, head in _pairs(heads)}
            return Status(generation.decode(), _positions(positions), known)

    def changes(self) -> Iterator[list[tuple[Kind, str]]]:
        """Yields the resources that each write changes, from now on.

        It yields an empty list at the start: what is read after that misses no change. It also yields one when a new
        generation replaces the old one, and every second without changes.

        Raises RedisUnavailable.
        """
        with redis_errors(self._url), self._client.pubsub() as listener:
            listener.subscribe(layout.CHANGES)
            while True:
                message = listener.get_message(timeout=POLL_SECONDS)
                yield _changed(message["data"]) if message and message["type"] == "message" else []

    def close(self) -> None:
        self._client.close()

    def _step(self, query: Query, after: Key | None, limit: int) -> tuple[list[Any], Key, Mapping[int, int], bool]:
        kind, terms = query.kind, [layout.term_key(query.kind, term) for term in query.terms()]
        indexed = len(query.filter.comparisons) == len(terms) - bool(query.model)
        order = layout.order_key(kind, query.order.path)
        descending = "1" if query.order.descending else ""
        value, id_ = (repr(after.value), after.id) if after else ("", "")
        most = limit if indexed else max(limit, FILTERED_ROWS)
        arguments = [layout.ROOT, layout.SCHEMA, kind.value, order, descending, value, id_, most, MAX_SCANNED]
        present = [layout.order_key(kind, path) for path in query.present()]
        with redis_errors(self._url):
            reply = self._find([layout.CURRENT], [*arguments, len(terms), *terms, *present])
        self._check(reply)
        _, positions, ids, scores, rows, last_id, last_score, ended = reply
        if None in rows:
            raise ViewDamaged(f"the view at {without_credentials(self._url)} lacks a row that its index names")
        with self._intact():
            keys = [Key(float(score), id_.decode()) for id_, score in zip(ids, scores, strict=True)]
            found = [(key, layout.parsed(kind, row)) for key, row in zip(keys, rows, strict=True)]
            return found, Key(float(last_score or 0), last_id.decode()), _positions(positions), bool(ended)

    @contextmanager
    def _intact(self, generation: str = "") -> Iterator[None]:
        """Raises ViewDamaged when the block reads something that no registry has written."""
        try:
            yield
        except (ValueError, DecodeError) as error:
            raise ViewDamaged(
                f"the view at {without_credentials(self._url)} cannot be read: {error}", generation
            ) from error

    def _check(self, reply: Sequence[Any]) -> None:
        if len(reply) > 1:
            return
        if not reply[0]:
            raise RedisUnavailable(f"there is no view at {without_credentials(self._url)} yet")
        schema = layout.schema_of(reply[0].decode())
        raise RedisUnavailable(f"the view at {without_credentials(self._url)} has schema {schema}, not {layout.SCHEMA}")


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _positions(flat: Sequence[bytes]) -> Mapping[int, int]:
    return {int(partition): int(offset) for partition, offset in _pairs(flat)}


def _changed(message: str | bytes) -> list[tuple[Kind, str]]:
    """The resources that a message names; none when it is not from a view, because anybody may write to a channel."""
    try:
        return [(Kind(kind), str(id_)) for kind, id_ in json.loads(message)]
    except (ValueError, TypeError, RecursionError):
        return []
