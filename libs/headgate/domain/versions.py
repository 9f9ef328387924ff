"""The versions of one model, by number."""

from collections.abc import Iterable, Iterator, Mapping, ValuesView
from typing import Any, TypeVar, overload

from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources

Default = TypeVar("Default")


def is_purged(version: resources.Version) -> bool:
    """Whether the version's artifact is given up: it may be deleted, and no command may use it."""
    return version.retention == resources.RETENTION_STATE_PURGED


class Versions(Mapping[int, resources.Version]):
    """The versions by number, from 1 on and without gaps. A version may be changed in place, but is never removed.

    All versions are in one message and share its memory, because each alone would take 1.2 KB. The Python object of a
    version exists only while it is used. Objects for all versions would take half as much memory again.
    """

    __slots__ = ("_messages", "_whole")

    def __init__(self, versions: Iterable[resources.Version] = ()) -> None:
        self._whole = registry_service.ListVersionsResponse(versions=versions)
        self._messages = self._whole.versions

    def add(self, **fields: Any) -> resources.Version:
        """Adds the next version with these fields, and returns it."""
        return self._messages.add(**fields)

    def copy(self) -> "Versions":
        """A copy that shares nothing. It copies all versions at once, which takes a fifth of the time of one by one."""
        copied = Versions()
        copied._whole.CopyFrom(self._whole)
        copied._messages = copied._whole.versions
        return copied

    def size_bytes(self) -> int:
        """The size of all versions as bytes."""
        return self._whole.ByteSize()

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
    """All versions, without a look-up for each. Workers read all versions again and again."""

    _mapping: Versions

    def __iter__(self) -> Iterator[resources.Version]:
        return iter(self._mapping._messages)
