"""Reads as of a moment: what the registry would have answered then, to a caller who may read it now."""

import heapq
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc

from headgate.access.visibility import Visibility
from headgate.domain.names import in_words, model_stream
from headgate.domain.refusal import INVALID, NOT_FOUND
from headgate.domain.state import EnvironmentState, ModelState
from headgate.domain.words import counted, time_text
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.moment import AtPositions, AtSequence, AtTime, Moment
from headgate.lifecycle.past import MAX_FACTS, FactsLimit, Past, Then
from headgate.log.port import PARTITIONS, EventLog, LogError
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.names import bad_field
from headgate.v1 import resources_pb2 as resources
from headgate.view.fields import Resource
from headgate.view.folded import Answer, find
from headgate.view.query import Key, Query
from services.registry.requests import copy_of

OF_ONE_STREAM = "a sequence names a moment of one model or environment; use time_ms, or read"
MAX_IN_PLACE = 200
"""The most versions of a model whose present state is searched in place, under the fold's lock. Others are copied."""
READ_WAIT_SECONDS = 1.0
"""How long a read waits for facts that another registry has answered with and this one has not folded yet."""


class AsOfReads:
    """Finds the moment of a request, and what was there then. Thread-safe."""

    def __init__(self, log: EventLog, fold: LifecycleFold, now_ms: Callable[[], int]) -> None:
        self.past = Past(log, fold)
        self._fold, self._now_ms = fold, now_ms

    def then(self, as_of: resources.AsOf, stream: str = "") -> Then:
        """The log at the moment of a request. `stream` is the one that the request is about; empty for several.

        Raises RpcRefused for a moment that has not come yet, or that is none.
        """
        return self.past.at(self._moment(as_of, stream))

    def model(self, as_of: resources.AsOf, name: str, field: str = "name") -> ModelState:
        """A model as it was then. Raises RpcRefused."""
        stream = model_stream(name)
        then = self.then(as_of, stream)
        with refused():
            state = then.model(name)
        if state is None:
            raise self.not_found(stream, then, stream, field)
        return state

    def environment(self, as_of: resources.AsOf, stream: str) -> EnvironmentState:
        """An environment as it was then. Raises RpcRefused."""
        then = self.then(as_of, stream)
        with refused():
            state = then.environment(stream.partition("/")[2])
        if state is None:
            raise self.not_found(stream, then, stream, "name")
        return state

    def head(self, as_of: resources.AsOf, stream: str) -> int:
        """The sequence of the stream's last fact then. Raises RpcRefused when it had none."""
        then = self.then(as_of, stream)
        sequence = then.sequence(stream)
        if not sequence:
            raise self.not_found(stream, then, stream, "stream")
        return sequence

    def not_found(self, what: str, then: Then, stream: str, field: str) -> RpcRefused:
        """The refusal for a resource that did not exist at that moment."""
        with self._fold.lock:
            known = self._fold.streams.get(stream)
            first_ms = known.times_ms[0] if known is not None and known.sequence else 0
        begun = f": the first fact of its stream is of {time_text(first_ms)} UTC" if first_ms else ""
        rule = f"{in_words(what)} did not exist at {in_moment_words(then.moment)}{begun}"
        return RpcRefused(grpc.StatusCode.NOT_FOUND, NOT_FOUND, rule, field)

    def find(self, query: Query, visibility: Visibility, then: Then) -> Answer:
        """The page of a list, of models that the caller may read now. The resources are copies. Raises RpcRefused."""
        with refused():
            names = [query.model] if query.model else then.names("models/")
            return _merged(query, (self._rows(query, then, name) for name in names if self._shows(visibility, name)))

    def _rows(self, query: Query, then: Then, model: str) -> Answer:
        """One model's part of the page. A small state that still holds is read in place: copies take memory."""
        stream = model_stream(model)
        with self._fold.lock:
            live = self._fold.models.get(model)
            holds = live is not None and self._fold.streams[stream].sequence == then.sequence(stream)
            if live is not None and holds and len(live.versions) <= MAX_IN_PLACE:
                return _copied(find({model: live}, query))
        state = then.model(model)
        return _copied(find({model: state} if state is not None else {}, query))

    def _shows(self, visibility: Visibility, model: str) -> bool:
        if visibility.is_whole:
            return True
        with self._fold.lock:
            live = self._fold.models.get(model)
            labels: Mapping[str, str] = dict(live.model.labels) if live is not None else {}
        return visibility.shows(model, labels)

    def _moment(self, as_of: resources.AsOf, stream: str) -> Moment:
        match as_of.WhichOneof("moment"):
            case "time_ms":
                return self._at_time(as_of.time_ms)
            case "sequence":
                return self._at_sequence(as_of.sequence, stream)
            case "read":
                return self._at_positions(dict(as_of.read.positions))
            case _:
                raise bad_field("as_of", "", "time_ms, sequence or read")

    def _at_time(self, time_ms: int) -> AtTime:
        if time_ms < 0:
            raise bad_field("as_of.time_ms", str(time_ms), "ms since 1970")
        now_ms = self._now_ms()
        if time_ms > now_ms:
            span = self.past.span()
            last = f", and its last fact is of {time_text(span[1])} UTC" if span else ", and it has no fact"
            rule = f"a time that has come: the log's time is {time_text(now_ms)} UTC ({now_ms}){last}"
            raise bad_field("as_of.time_ms", f"{time_text(time_ms)} UTC ({time_ms})", rule)
        return AtTime(time_ms)

    def _at_sequence(self, sequence: int, stream: str) -> AtSequence:
        if not stream:
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, INVALID, OF_ONE_STREAM, "as_of.sequence")
        with self._fold.lock:
            known = self._fold.streams.get(stream)
            head = known.sequence if known is not None else 0
        if not 0 <= sequence <= head:
            raise bad_field("as_of.sequence", str(sequence), f"at most {head}, the head of {in_words(stream)}")
        return AtSequence(sequence)

    def _at_positions(self, positions: Mapping[int, int]) -> AtPositions:
        for partition, offset in positions.items():
            if not 0 <= partition < PARTITIONS:
                raise bad_field("as_of.read", f"partition {partition}", f"partitions from 0 to {PARTITIONS - 1}")
            if not self._fold.wait_position(partition, offset, READ_WAIT_SECONDS):
                with self._fold.lock:
                    head = self._fold.accepted.get(partition, -1)
                expected = f"at most {head}, the last fact there" if head >= 0 else "none, because it has no fact"
                raise bad_field("as_of.read", f"offset {offset} of partition {partition}", expected)
        return AtPositions(positions)


@contextmanager
def refused() -> Iterator[None]:
    """Turns what keeps a state of the past from being folded into a status."""
    try:
        yield
    except FactsLimit:
        rule = f"this moment needs more than {counted(MAX_FACTS, 'fact')} folded in one call; ask for one model alone"
        raise RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "facts-limit", rule, "as_of") from None
    except LogError as error:
        raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "log-unavailable", str(error)) from None


def is_past(request: Any) -> bool:
    """Whether the request asks for a moment in the past."""
    return bool(request.HasField("as_of"))


def in_moment_words(moment: Moment) -> str:
    """The moment as a refusal names it."""
    match moment:
        case AtTime():
            return f"{time_text(moment.time_ms) or '1970-01-01 00:00:00'} UTC"
        case AtSequence():
            return f"sequence {moment.sequence}"
        case AtPositions():
            return "the moment of that read"


def _copied(answer: Answer) -> Answer:
    return Answer([copy_of(resource) for resource in answer.resources], answer.next)


def _merged(query: Query, parts: Iterator[Answer]) -> Answer:
    """The first rows of all parts in the order of the query."""
    best = heapq.nlargest if query.order.descending else heapq.nsmallest
    kept: list[tuple[Key, Resource]] = []
    more = False
    for part in parts:
        more = more or part.next is not None
        rows = kept + [(key, each) for each in part.resources if (key := query.order.of(each)) is not None]
        kept = best(query.size, rows, key=lambda row: row[0]) if len(rows) > query.size else rows
        more = more or len(rows) > query.size
    kept.sort(key=lambda row: row[0], reverse=query.order.descending)
    return Answer([each for _, each in kept], kept[-1][0] if more and kept else None)
