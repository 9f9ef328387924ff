"""The versions of one model, by number."""

from collections.abc import Iterable, Iterator, Mapping, ValuesView
from typing import Any, TypeVar, overload

from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources

Default = TypeVar("Default")


class Versions(Mapping[int, resources.Version]):
    """Numbered from 1 without a gap, in that order. None is ever removed; each may be changed in place.

    They stand in one message and share its memory, since each alone would take 1.2 KB. The Python object of one lives
    only while someone looks at it: kept for all, these would take half as much again.
    """

    __slots__ = ("_messages",)

    def __init__(self, versions: Iterable[resources.Version] = ()) -> None:
        self._messages = registry_service.ListVersionsResponse(versions=versions).versions

    def add(self, **fields: Any) -> resources.Version:
        """The next version, with these fields."""
        return self._messages.add(**fields)

    @overload
    def get(self, number: int) -> resources.Version | None: ...
    @overload
    def get(self, number: int, default: resources.Version | Default) -> resources.Version | Default: ...
    def get(
        self, number: int, default: resources.Version | Default | None = None
    ) -> resources.Version | Default | None:
        messages = self._messages
        return messages[number - 1] if 0 < number <= len(messages) else default

    def __getitem__(self, number: int) -> resources.Version:
        found = self.get(number)
        if found is None:
            raise KeyError(number)
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, len(self._messages) + 1))

    def __len__(self) -> int:
        return len(self._messages)

    def __repr__(self) -> str:
        return f"Versions({list(self._messages)})"

    def values(self) -> "_InOrder":
        return _InOrder(self)


class _InOrder(ValuesView[resources.Version]):
    """Without a look-up for each: whoever seeks work reads all versions again and again."""

    _mapping: Versions

    def __iter__(self) -> Iterator[resources.Version]:
        return iter(self._mapping._messages)
