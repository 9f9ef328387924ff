"""When the last fact about each release happened, for those who watch it. A release itself does not keep it."""

from typing import Protocol

from headgate.domain.names import model_stream
from headgate.lifecycle.follower import Listener
from headgate.log.port import Record
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

ENDS = ("release_completed", "release_rolled_back", "release_rejected", "release_superseded")
"""Facts with which a release ends. The release keeps the time of these itself."""


class Followed(Protocol):
    """A fold that calls listeners, under its lock, for every accepted record."""

    def on_accepted(self, listener: Listener) -> None: ...


class ReleaseTimes:
    """The times of active releases, from the fold. To be made before the fold starts."""

    def __init__(self, fold: Followed) -> None:
        self._at_ms: dict[tuple[str, int], int] = {}
        fold.on_accepted(self._follow)

    def last_fact_ms(self, model: str, release: resources.Release) -> int:
        """When the last fact about the release happened, in ms since the epoch."""
        return release.ended_at_ms or self._at_ms.get((model_stream(model), release.release), release.phase_since_ms)

    def _follow(self, _: Record, record: facts.LifecycleRecord) -> None:
        kind = record.WhichOneof("fact")
        release = getattr(getattr(record, kind), "release", 0) if kind else 0
        if not release:
            return
        if kind in ENDS:
            self._at_ms.pop((record.stream, release), None)
        else:
            self._at_ms[record.stream, release] = record.occurred_at_ms
