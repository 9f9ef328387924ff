"""Watches of models and versions, and the limit on watches of all kinds.

The limit leaves threads for other calls.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc

from headgate.domain.names import model_stream
from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import Record
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.access_check import permission_of, require_in
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.view.fields import Resource
from headgate.view.query import Query
from headgate.view.touched import ResourceRef, refs_of, resource_at, touched
from services.registry.requests import copy_of

MAX_WATCHES = 64
"""Watches of all kinds at the same time. Each takes one thread."""
MAX_WATCHES_OF_ONE = 32
"""Of these, those of one proven subject, so that nobody takes all."""
WAIT_SECONDS = 1.0
"""Longest time until a watch notices that its caller has left, or may not go on."""
COALESCE_SECONDS = 0.05
"""Changes within this time are sent together. Of each resource only the last state is sent."""
MAX_BATCH = 500
"""Resources copied while the fold's lock is held once."""


class Watches:
    """Counts the watches and ends them all when the service stops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        self._closing = threading.Event()

    @contextmanager
    def slot(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Counts one watch. Raises RpcRefused when its caller, or all together, have as many as is allowed."""
        permission = permission_of(context)
        subject = permission.subject.name if permission else ""
        with self._lock:
            if self._open.total() >= MAX_WATCHES:
                raise _too_many(f"the registry allows {MAX_WATCHES} watches at the same time")
            if subject and self._open[subject] >= MAX_WATCHES_OF_ONE:
                raise _too_many(f"the registry allows each caller {MAX_WATCHES_OF_ONE} watches at the same time")
            self._open[subject] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= Counter({subject: 1})

    def is_open(self, context: grpc.ServicerContext) -> bool:
        """Whether the caller is still connected. Raises RpcRefused when the service stops, or the grant has ended."""
        if self._closing.is_set():
            rule = "this registry is stopping; watch again at another one"
            raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "stopping", rule)
        require_in(context)
        return bool(context.is_active())

    def coalesce(self) -> None:
        """Waits for more changes, so that a watch uses a bounded share of a core even when the log is busy."""
        self._closing.wait(COALESCE_SECONDS)

    def close(self) -> None:
        """Ends every watch soon."""
        self._closing.set()


def _too_many(limit: str) -> RpcRefused:
    rule = f"{limit}; end one, or try again later"
    return RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too-many-watches", rule)


class Change(NamedTuple):
    """One message of a watch. SYNCED has no resource."""

    change: registry_service.ResourceChange.ValueType
    resource: Any
    positions: Mapping[int, int]


class ResourceWatch:
    """Sends the resources that match a query's scope and filter, then their changes.

    `may_read` says of a stream whether the caller may read it now. What it may not read any more has left.
    """

    def __init__(
        self, fold: LifecycleFold, query: Query, may_read: Callable[[str], bool] = lambda stream: True
    ) -> None:
        self._fold = fold
        self._query = query
        self._may_read = may_read
        self._pending: dict[ResourceRef, None] = {}
        self._changed = threading.Event()
        self._sent: set[ResourceRef] = set()

    def run(self, watches: Watches, context: grpc.ServicerContext) -> Iterator[Change]:
        """Sends until the caller leaves. Counts as one watch. Raises RpcRefused."""
        with watches.slot(context):
            with self._fold.lock:
                self._fold.on_accepted(self._listen)
                present = [ref for state in self._models() for ref in refs_of(state)]
                positions = dict(self._fold.accepted)
            try:
                yield from self._present(present)
                yield Change(registry_service.RESOURCE_CHANGE_SYNCED, None, positions)
                while watches.is_open(context):
                    if self._changed.wait(WAIT_SECONDS):
                        yield from self._changes()
                        watches.coalesce()
            finally:
                self._fold.remove_listener(self._listen)

    def _listen(self, _: Record, record: facts.LifecycleRecord) -> None:
        state = self._fold.streams[record.stream].state
        if isinstance(state, ModelState) and self._query.model in ("", state.name):
            # Who may read a model may depend on its labels.
            refs = refs_of(state) if record.HasField("model_labelled") else touched(state, record)
            refs = [ref for ref in refs if ref.kind is self._query.kind and self._concerns(record.stream, ref)]
            self._pending.update(dict.fromkeys(refs))
            if refs:
                self._changed.set()

    def _concerns(self, stream: str, ref: ResourceRef) -> bool:
        """Whether the caller was sent this resource, or may be. What others do does not wake the watch."""
        return ref in self._sent or self._may_read(stream)

    def _models(self) -> list[ModelState]:
        if not self._query.model:
            return list(self._fold.models.values())
        return [self._fold.models[self._query.model]] if self._query.model in self._fold.models else []

    def _present(self, present: list[ResourceRef]) -> Iterator[Change]:
        wanted = [ref for ref in present if ref.kind is self._query.kind]
        for start in range(0, len(wanted), MAX_BATCH):
            batch = wanted[start : start + MAX_BATCH]
            with self._fold.lock:
                found = [(ref, copy_of(one)) for ref in batch if (one := self._matching(ref)) is not None]
            for ref, resource in found:
                self._sent.add(ref)
                yield Change(registry_service.RESOURCE_CHANGE_PRESENT, resource, {})

    def _changes(self) -> Iterator[Change]:
        with self._fold.lock:
            self._changed.clear()
            pending, self._pending = list(self._pending), {}
            positions = dict(self._fold.accepted)
        last: Change | None = None
        for ref, change, resource in self._changes_of(pending):
            if change == registry_service.RESOURCE_CHANGE_LEFT:
                self._sent.discard(ref)
            else:
                self._sent.add(ref)
            if last is not None:
                yield last
            last = Change(change, resource, {})
        if last is not None:
            # Only the last change has positions: after it, everything up to these positions has been sent.
            yield last._replace(positions=positions)

    def _changes_of(
        self, pending: list[ResourceRef]
    ) -> Iterator[tuple[ResourceRef, registry_service.ResourceChange.ValueType, Resource]]:
        """The changes at these places, copied in batches, so that many of them do not hold the fold's lock for long."""
        for start in range(0, len(pending), MAX_BATCH):
            batch = pending[start : start + MAX_BATCH]
            with self._fold.lock:
                found = [(ref, *now) for ref in batch if (now := self._change(ref)) is not None]
            yield from found

    def _change(self, ref: ResourceRef) -> tuple[registry_service.ResourceChange.ValueType, Resource] | None:
        resource = self._resource(ref)
        if resource is None:
            return None
        if not self._may_read(model_stream(ref.model)):
            gone = type(resource)(name=resource.name)
            return (registry_service.RESOURCE_CHANGE_LEFT, gone) if ref in self._sent else None
        if self._query.filter.matches(resource):
            return registry_service.RESOURCE_CHANGE_CHANGED, copy_of(resource)
        return (registry_service.RESOURCE_CHANGE_LEFT, copy_of(resource)) if ref in self._sent else None

    def _matching(self, ref: ResourceRef) -> Resource | None:
        resource = self._resource(ref)
        if resource is None or not self._may_read(model_stream(ref.model)):
            return None
        return resource if self._query.filter.matches(resource) else None

    def _resource(self, ref: ResourceRef) -> Resource | None:
        state = self._fold.models.get(ref.model)
        return resource_at(state, ref) if state is not None else None
