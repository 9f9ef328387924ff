"""Reads the accepted records of streams, page by page or as a watch."""

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import grpc

from headgate.domain.names import split_stream
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.records import Found, Place, records_at
from headgate.log.envelope import digest
from headgate.log.port import PARTITIONS, EventLog, LogError, Record
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.access_check import readable_in
from headgate.runtime.rpc.names import bad_field
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.view.query import page_rows
from services.registry.requests import no_facts, not_found, within_page_bytes
from services.registry.watches import WAIT_SECONDS, Watches

STREAM_FORM = "models/{model}, environments/{environment} or access/default"
FROM_THE_BEGINNING = -1
"""The offset after which a partition is read as a whole."""
MAX_BACKLOG = 10_000
MAX_BACKLOG_BYTES = 16 * 1024 * 1024
"""Records and bytes by which a slow watcher may fall behind. Then its watch ends; it may resume from its last position.
"""


class _Backlog:
    """The records that a watcher has not been sent yet. One thread puts, under the fold's lock; another one takes."""

    def __init__(self) -> None:
        self.overrun = False
        self._waiting: queue.SimpleQueue[tuple[Record, facts.LifecycleRecord]] = queue.SimpleQueue()
        self._put_bytes = self._taken_bytes = 0

    def put(self, record: Record, lifecycle: facts.LifecycleRecord) -> None:
        """Keeps the record, or sets `overrun` when a limit is reached. All watchers share the record's memory."""
        size_bytes = len(record.value or b"")
        left_bytes = MAX_BACKLOG_BYTES - (self._put_bytes - self._taken_bytes)
        if self.overrun or self._waiting.qsize() >= MAX_BACKLOG or size_bytes > left_bytes:
            self.overrun = True
            return
        self._put_bytes += size_bytes
        self._waiting.put((record, lifecycle))

    def take(self, timeout_seconds: float) -> registry_service.HistoryRecord:
        """The next record. Raises queue.Empty."""
        record, lifecycle = self._waiting.get(timeout=timeout_seconds)
        self._taken_bytes += len(record.value or b"")
        return history_record(Found((record.partition, record.offset), record.value or b"", lifecycle))


class History:
    """Answers ListHistory and WatchHistory. Never shows void records."""

    def __init__(self, log: EventLog, fold: LifecycleFold, watches: Watches) -> None:
        self._log = log
        self._fold = fold
        self._watches = watches

    def page(
        self, request: registry_service.ListHistoryRequest, last: int | None = None
    ) -> registry_service.ListHistoryResponse:
        """One page of a stream's records, after a sequence, up to the sequence `last`. Raises RpcRefused."""
        with self._fold.lock:
            if not request.stream:
                raise bad_field("stream", "", STREAM_FORM)
            stream = self._fold.streams.get(request.stream)
            if stream is None:
                raise _no_stream(request.stream)
            start = max(request.after_sequence, 0)
            size = page_rows(request.page_size)
            head = stream.sequence if last is None else last
            places = [(stream.partition, offset) for offset in stream.offsets[start : min(start + size, head)]]
            more = start + size < head
        records = list(within_page_bytes(self._records(places)))
        more = more or len(records) < len(places)
        return registry_service.ListHistoryResponse(
            records=records, next_after_sequence=start + len(records) if more else 0
        )

    def watch(
        self, request: registry_service.WatchHistoryRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service.WatchHistoryResponse]:
        """Sends the accepted records after the given positions, then each new one.

        Raises RpcRefused for a stream or a position that cannot be, when the watcher is too slow,
        and when all watches are taken.
        """
        backlog = _Backlog()
        may_read = readable_in(context)

        def listen(record: Record, lifecycle: facts.LifecycleRecord) -> None:
            if request.stream in ("", lifecycle.stream) and may_read(lifecycle.stream):
                backlog.put(record, lifecycle)

        with self._watches.slot(context):
            with self._fold.lock:
                self._check(request)
                past = [] if request.from_now and not request.after else self._past(request, may_read)
                self._fold.on_accepted(listen)
            try:
                for record in self._records(past):
                    if may_read(record.record.stream):
                        yield registry_service.WatchHistoryResponse(record=record)
                while self._watches.is_open(context) and not backlog.overrun:
                    with suppress(queue.Empty):
                        record = backlog.take(WAIT_SECONDS)
                        # The grant may have ended since the record came.
                        if may_read(record.record.stream):
                            yield registry_service.WatchHistoryResponse(record=record)
                if backlog.overrun:
                    rule = (
                        f"the watcher fell {MAX_BACKLOG} records or {MAX_BACKLOG_BYTES} bytes behind;"
                        " watch again after the last position"
                    )
                    raise RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "watch-overrun", rule)
            finally:
                self._fold.remove_listener(listen)

    def _check(self, request: registry_service.WatchHistoryRequest) -> None:
        # A watch may begin before its stream: a watcher of a new model misses none of its facts.
        if request.stream and split_stream(request.stream) == ("", ""):
            raise bad_field("stream", request.stream, STREAM_FORM)
        for position in request.after:
            if not 0 <= position.partition < PARTITIONS:
                raise bad_field("after", f"partition {position.partition}", f"partitions from 0 to {PARTITIONS - 1}")
            if position.offset < FROM_THE_BEGINNING:
                raise bad_field("after", f"offset {position.offset}", f"offsets from {FROM_THE_BEGINNING} on")

    def _past(self, request: registry_service.WatchHistoryRequest, may_read: Callable[[str], bool]) -> list[Place]:
        after = {position.partition: position.offset for position in request.after}
        streams = [stream for stream in self._fold.streams.values() if may_read(stream.name)]
        return sorted(
            (stream.partition, offset)
            for stream in streams
            if not request.stream or stream.name == request.stream
            for offset in stream.offsets
            if offset > after.get(stream.partition, FROM_THE_BEGINNING)
            and (stream.partition in after or not request.from_now)
        )

    def _records(self, places: Sequence[Place]) -> Iterator[registry_service.HistoryRecord]:
        """The records at these places, which must be in order. Raises RpcRefused."""
        try:
            for found in records_at(self._log, places):
                yield history_record(found)
        except LogError as error:
            raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "log-unavailable", str(error)) from None


def history_record(found: Found) -> registry_service.HistoryRecord:
    """A record as a caller sees it."""
    partition, offset = found.place
    return registry_service.HistoryRecord(
        position=registry_service.HistoryPosition(partition=partition, offset=offset),
        digest=digest(found.value),
        record=found.record,
    )


def history_positions(positions: Mapping[int, int]) -> list[registry_service.HistoryPosition]:
    """Offsets by partition as messages. A watch can be resumed after them."""
    return [
        registry_service.HistoryPosition(partition=partition, offset=positions[partition])
        for partition in sorted(positions)
    ]


def _no_stream(name: str) -> RpcRefused:
    kind, short = split_stream(name)
    return no_facts(short, "stream") if kind == "environments" else not_found(name, "stream")
