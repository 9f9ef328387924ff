"""What pages are made of: the folded state at one moment, now or in the past."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.lifecycle.stream import Stream


class Folded(Protocol):
    """The states of a fold."""

    @property
    def models(self) -> Mapping[str, ModelState]: ...

    @property
    def environments(self) -> Mapping[str, EnvironmentState]: ...

    @property
    def access(self) -> AccessState: ...

    @property
    def streams(self) -> Mapping[str, Stream]: ...


@dataclass(frozen=True, slots=True)
class World:
    """A fold and its time. Whoever reads it holds the lock of the fold."""

    folded: Folded
    now_ms: int
    is_past: bool = False
    is_behind: bool = False
    """Whether the log has records that this fold has not read."""
