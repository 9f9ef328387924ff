"""Live watches of models and versions, and the limit that keeps watches of any kind from starving other calls."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc

from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import Record
from headgate.runtime.errors import RpcRefused
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.view.fields import Resource
from headgate.view.query import Query
from headgate.view.touched import Place, places, resource_at, touched
from services.registry.requests import copy_of

MAX_WATCHES = 64
"""Watches of all kinds at once; each holds a thread of its own, beside those of the other calls."""
WAIT_SECONDS = 1.0
"""How soon a watch notices that its caller has gone."""
CALM_SECONDS = 0.05
"""Changes within this time are sent together, the last state of each resource only."""
BATCH = 500
"""Resources copied while the fold is held."""


class Watches:
    """Counts the watches and ends them all when the service stops."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(MAX_WATCHES)
        self._closing = threading.Event()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one watch. Raises RpcRefused when all are taken."""
        if not self._free.acquire(blocking=False):
            rule = f"the registry carries {MAX_WATCHES} watches at a time; end one or ask again later"
            raise RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too-many-watches", rule)
        try:
            yield
        finally:
            self._free.release()

    def goes_on(self, context: grpc.ServicerContext) -> bool:
        """Whether the caller still listens. Raises RpcRefused when the service stops: watch again, elsewhere."""
        if self._closing.is_set():
            raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "stopping", "the registry stops; watch again")
        return bool(context.is_active())

    def calm(self) -> None:
        """Lets changes gather, so that a busy log costs a watch a bounded share of a core."""
        self._closing.wait(CALM_SECONDS)

    def close(self) -> None:
        """Ends every watch soon."""
        self._closing.set()


class Change(NamedTuple):
    """What a watch sends next; no resource with SYNCED."""

    change: registry_service.ResourceChange.ValueType
    resource: Any
    positions: Mapping[int, int]


class ResourceWatch:
    """The resources that match a query's scope and filter, then their changes."""

    def __init__(self, fold: LifecycleFold, query: Query) -> None:
        self._fold = fold
        self._query = query
        self._pending: dict[Place, None] = {}
        self._news = threading.Event()
        self._sent: set[Place] = set()

    def run(self, watches: Watches, context: grpc.ServicerContext) -> Iterator[Change]:
        """Sends until the caller leaves; takes a place among the watches. Raises RpcRefused."""
        with watches.place():
            with self._fold.lock:
                self._fold.on_accepted(self._listen)
                present = [place for state in self._models() for place in places(state)]
                positions = dict(self._fold.accepted)
            try:
                yield from self._present(present)
                yield Change(registry_service.RESOURCE_CHANGE_SYNCED, None, positions)
                while watches.goes_on(context):
                    if self._news.wait(WAIT_SECONDS):
                        yield from self._changes()
                        watches.calm()
            finally:
                self._fold.remove_listener(self._listen)

    def _listen(self, _: Record, record: facts.LifecycleRecord) -> None:
        state = self._fold.streams[record.stream].state
        if isinstance(state, ModelState) and self._query.model in ("", state.name):
            self._pending.update((place, None) for place in touched(state, record) if place.kind is self._query.kind)
            self._news.set()

    def _models(self) -> list[ModelState]:
        if not self._query.model:
            return list(self._fold.models.values())
        return [self._fold.models[self._query.model]] if self._query.model in self._fold.models else []

    def _present(self, present: list[Place]) -> Iterator[Change]:
        wanted = [place for place in present if place.kind is self._query.kind]
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            with self._fold.lock:
                found = [(place, copy_of(one)) for place in batch if (one := self._matching(place)) is not None]
            for place, resource in found:
                self._sent.add(place)
                yield Change(registry_service.RESOURCE_CHANGE_PRESENT, resource, {})

    def _changes(self) -> Iterator[Change]:
        with self._fold.lock:
            self._news.clear()
            pending, self._pending = list(self._pending), {}
            positions = dict(self._fold.accepted)
        last: Change | None = None
        for place, change, resource in self._found(pending):
            if change == registry_service.RESOURCE_CHANGE_LEFT:
                self._sent.discard(place)
            else:
                self._sent.add(place)
            if last is not None:
                yield last
            last = Change(change, resource, {})
        if last is not None:
            # Only with the last one has everything up to there been sent.
            yield last._replace(positions=positions)

    def _found(
        self, pending: list[Place]
    ) -> Iterator[tuple[Place, registry_service.ResourceChange.ValueType, Resource]]:
        """What there is to say about these places, some at a time: a slow watcher's many must not hold the fold up."""
        for start in range(0, len(pending), BATCH):
            batch = pending[start : start + BATCH]
            with self._fold.lock:
                found = [(place, *now) for place in batch if (now := self._change(place)) is not None]
            yield from found

    def _change(self, place: Place) -> tuple[registry_service.ResourceChange.ValueType, Resource] | None:
        resource = self._resource(place)
        if resource is None:
            return None
        if self._query.filter.matches(resource):
            return registry_service.RESOURCE_CHANGE_CHANGED, copy_of(resource)
        return (registry_service.RESOURCE_CHANGE_LEFT, copy_of(resource)) if place in self._sent else None

    def _matching(self, place: Place) -> Resource | None:
        resource = self._resource(place)
        return resource if resource is not None and self._query.filter.matches(resource) else None

    def _resource(self, place: Place) -> Resource | None:
        state = self._fold.models.get(place.model)
        return resource_at(state, place) if state is not None else None
