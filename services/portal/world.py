"""What pages are made of: the folded state at one moment, now or in the past."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.lifecycle.past import AtTime, Past, Then
from headgate.lifecycle.stream import Stream

State = TypeVar("State")


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
    """A fold and its time. Whoever reads the present holds the lock of the fold; the past does not change."""

    folded: Folded
    now_ms: int
    is_past: bool = False
    file: str = ""
    """The name of the exported log that this is; empty for the log that services write."""

    @property
    def is_fixed(self) -> bool:
        """Whether no command can change it."""
        return self.is_past or bool(self.file)


class _Named(Mapping[str, State], Generic[State]):
    """States that are folded once they are asked for."""

    def __init__(self, names: Iterable[str], find: Callable[[str], State | None]) -> None:
        self._names, self._find = dict.fromkeys(names), find

    def __getitem__(self, name: str) -> State:
        found = self._find(name) if name in self._names else None
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class PastFold:
    """The states of one moment. Raises LogError and FactsLimit when one cannot be folded."""

    def __init__(self, then: Then) -> None:
        self._then = then

    @property
    def models(self) -> Mapping[str, ModelState]:
        return _Named(self._then.names("models/"), self._then.model)

    @property
    def environments(self) -> Mapping[str, EnvironmentState]:
        return _Named(self._then.names("environments/"), self._then.environment)

    @property
    def access(self) -> AccessState:
        return self._then.access

    @property
    def streams(self) -> Mapping[str, Stream]:
        """None: heads belong to the present."""
        return {}


def world_at(past: Past, at_ms: int, file: str = "") -> World:
    """The world as it stood at this time."""
    return World(PastFold(past.at(AtTime(at_ms))), at_ms, is_past=True, file=file)
