"""What may be deleted from the artifact store, from the folded models alone.

The record of a version names the files of its artifact, exactly as the signed manifest does, and its logs. Versions may
share files, because equal bytes are stored once: a file goes only when no version that is not purged names it.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from headgate.domain.model import ModelState
from headgate.domain.names import model_stream, split_numbered, version_name
from headgate.domain.versions import is_purged
from headgate.v1 import resources_pb2 as resources
from services.trainer.attempt import checkpoints
from services.trainer.due import IN_PROGRESS, is_open, open_versions

MAX_PURGES = 16
"""The most versions that are purged before the fold is looked at again."""
GRACE_MS = 15 * 60_000
"""A margin for times that are rounded, and for a fold that misses the newest claims."""


UPLOADS_KEPT_MS = 24 * 60 * 60_000
"""So long an upload waits for the version that is made of it, since it came or was last asked for."""


@dataclass(frozen=True, slots=True)
class Purge:
    """A purged version, and the digests of the blobs that no other version needs."""

    version: str
    manifest: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SettledUploads:
    """Digests of uploads that a version names by now, and of those that nothing names and that waited long enough."""

    used: tuple[str, ...]
    unused: tuple[str, ...]


def purges(models: Mapping[str, ModelState], skipped: Container[str]) -> list[Purge]:
    """What is to be deleted, for at most MAX_PURGES versions. `skipped` holds the names of versions to leave out."""
    pending: list[tuple[str, resources.Version]] = []
    for name, version in _named_versions(models):
        if is_purged(version) and any(_blobs(version)) and name not in skipped:
            pending.append((name, version))
            if len(pending) == MAX_PURGES:
                break
    if not pending:
        return []
    needed = needed_blobs(models)
    return [_purge(name, version, needed) for name, version in pending]


def needed_blobs(models: Mapping[str, ModelState]) -> frozenset[str]:
    """The digests of the blobs that some version names which is not purged, whatever its attempts have come to."""
    return frozenset(
        sha256 for _, version in _named_versions(models) if not is_purged(version) for sha256 in _blobs(version)
    )


def names_blob(models: Mapping[str, ModelState], sha256: str, may_read: Callable[[str], bool]) -> bool:
    """Whether a version names the blob of a model whose stream may be read."""
    seen = (state for state in models.values() if may_read(model_stream(state.name)))
    return any(sha256 in _blobs(version) for state in seen for version in state.versions.values())


def settled_uploads(needed: Container[str], uploaded_at_ms: Mapping[str, int], before_ms: int) -> SettledUploads:
    """What becomes of the uploads in the store. `before_ms` is a time of the clock that gave them their times."""
    used = tuple(sorted(sha256 for sha256 in uploaded_at_ms if sha256 in needed))
    old = (sha256 for sha256, at_ms in uploaded_at_ms.items() if at_ms < before_ms)
    return SettledUploads(used, tuple(sorted(sha256 for sha256 in old if sha256 not in needed)))


def stored_before_ms(models: Mapping[str, ModelState], heard_at_ms: int) -> int:
    """Only blobs that were last stored before this time may be deleted.

    An attempt in progress may have stored the same bytes since its claim, and no fact names them yet. `heard_at_ms` is
    the time at which the log last answered. All times are the log's.
    """
    claims = [version.lease.claimed_at_ms for _, version in open_versions(models) if version.build in IN_PROGRESS]
    return min([heard_at_ms, *claims]) - GRACE_MS


def stale_checkpoints(models: Mapping[str, ModelState], names: Iterable[str]) -> Iterator[str]:
    """The versions, of the stored checkpoints with these names, that are no longer trained.

    A version that the fold does not know is left alone.
    """
    for name in names:
        version = name.removeprefix(f"{checkpoints.FOLDER}/")
        model, number = split_numbered(version, "versions") or ("", 0)
        state = models.get(model)
        if state is not None and number in state.versions and not is_open(state.versions[number]):
            yield version


def _purge(name: str, version: resources.Version, needed: Container[str]) -> Purge:
    manifest = version.artifact.manifest_sha256
    files = sorted(set(_blobs(version)) - {manifest})
    return Purge(
        name, "" if manifest in needed else manifest, tuple(sha256 for sha256 in files if sha256 not in needed)
    )


def _blobs(version: resources.Version) -> Iterator[str]:
    """The digests of its manifest, its files, its logs and what it was imported from."""
    named = [file.sha256 for file in version.artifact.files] + [log.sha256 for log in version.logs]
    upload = version.upload
    uploaded = [upload.model_sha256, upload.rows_sha256, upload.architecture_sha256]
    yield from filter(None, [version.artifact.manifest_sha256, *named, *uploaded])


def _named_versions(models: Mapping[str, ModelState]) -> Iterator[tuple[str, resources.Version]]:
    for state in models.values():
        for version in state.versions.values():
            yield version_name(state.name, version.version), version
