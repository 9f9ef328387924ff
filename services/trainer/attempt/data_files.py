"""Finds the data files that headgate.toml names and checks their digests. A fault says what is wrong and what helps."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from headgate.artifacts.data_files import WrongFolder, digest_of_folder, files_below
from headgate.artifacts.file_urls import path_of
from headgate.domain.words import counted
from headgate.downloads.faults import DownloadFault, Refused
from headgate.downloads.git_lfs import Pointer
from headgate.downloads.places import BUCKETS, WEB
from headgate.shared_files import digest_of
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.failure import AttemptFailed
from services.trainer.attempt.pointers import (
    MAX_POINTER_BYTES,
    dvc_source,
    is_kept_by_dvc,
    lfs_pointer,
    lfs_source,
)
from services.trainer.attempt.remote_data import MAX_DATA_BYTES, RemoteFiles

MAX_CONVERTED_BYTES = 64 * 1024**2
"""The largest file whose line ends we try the other way to explain a wrong digest."""
ANNEX = "annex/objects"
INSTEAD = (
    "Commit the file itself, or name a URL that begins with https://, s3://, gs:// or az://, of a place that the"
    " operator allows. file:// serves only where every trainer has the same file"
)


class WrongData(Exception):
    """A data file cannot be used. The message is for the author of headgate.toml."""


def verified_data(
    checkout: Path,
    parsed: configuration.ModelConfiguration,
    remote: RemoteFiles,
    repository: str = "",
    hidden: Iterable[Path] = (),
) -> dict[str, Path]:
    """The path of each data file, by name, after its digest has been checked. Raises AttemptFailed with every fault.

    Files that lie elsewhere are downloaded. Raises Stopped during a download. What is `hidden` is no data.
    """
    found, faults = {}, []
    for file in parsed.data:
        try:
            found[file.name] = verified(checkout, file, remote, repository, hidden)
        except (WrongData, DownloadFault) as wrong:
            faults.append(f"data.{file.name}: {wrong}")
    if faults:
        raise AttemptFailed(facts.STAGE_DATA, "\n".join(faults))
    return found


def verified(
    checkout: Path, file: configuration.DataFile, remote: RemoteFiles, repository: str, hidden: Iterable[Path]
) -> Path:
    if is_remote(file):
        return remote.fetch(file)
    if is_kept_by_dvc(checkout, file.uri):
        with explained(f"{file.uri} is kept by DVC"):
            return remote.fetch_from(dvc_source(checkout, file.uri, remote.web), file)
    path = data_path(checkout, file.uri)
    if any(path.resolve().is_relative_to(each.resolve()) for each in hidden):
        raise WrongData(f"{file.uri} belongs to the trainer, and no repository reads it. Name a file of data")
    if path.is_file() and (pointer := lfs_pointer(path, file.uri)):
        with explained(f"{file.uri} is a pointer of Git LFS at this commit"):
            require_same(file, pointer)
            return remote.fetch_from(lfs_source(checkout, repository, file.uri, pointer, remote.web), file)
    return with_digest(path, file)


def is_remote(file: configuration.DataFile) -> bool:
    """Whether the file has to be downloaded."""
    return urlsplit(file.uri).scheme.lower() in WEB + BUCKETS


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Puts before a refusal what is special about the file."""
    try:
        yield
    except Refused as refused:
        raise Refused(f"{what}: {refused}") from refused


def require_same(file: configuration.DataFile, pointer: Pointer) -> None:
    if urlsplit(file.uri).scheme:
        raise Refused(f"name the file itself. {INSTEAD}")
    if pointer.sha256 != file.sha256:
        raise Refused(f"it stands for the SHA-256 {pointer.sha256}, so write this one into headgate.toml")


def with_digest(path: Path, file: configuration.DataFile) -> Path:
    if path.is_dir():
        return folder_with_digest(path, file)
    size = path.stat().st_size
    if size > MAX_DATA_BYTES:
        raise WrongData(f"{file.uri} has {size} bytes; the limit is {MAX_DATA_BYTES}")
    if size <= MAX_POINTER_BYTES and ANNEX.encode() in path.read_bytes():
        raise WrongData(f"{file.uri} is a pointer of git-annex at this commit, and the trainer runs none. {INSTEAD}")
    if (found := digest_of(path)) != file.sha256:
        raise WrongData(why_another_digest(path, file, found))
    return path


def folder_with_digest(folder: Path, file: configuration.DataFile) -> Path:
    try:
        names = files_below(folder)
    except WrongFolder as error:
        raise WrongData(f"{file.uri} {error}") from error
    if (size := sum((folder / name).stat().st_size for name in names)) > MAX_DATA_BYTES:
        raise WrongData(f"the files in {file.uri} have {size} bytes; the limit is {MAX_DATA_BYTES}")
    for name in names:
        if lfs_pointer(folder / name, f"{file.uri}/{name}"):
            raise WrongData(f"{file.uri}/{name} is a pointer of Git LFS, which is followed for single files. {INSTEAD}")
    if (found := digest_of_folder(folder, names)) != file.sha256:
        if is_outside(file):
            raise WrongData(another_digest_outside(file))
        raise WrongData(
            f"the folder {file.uri} with {counted(len(names), 'file')} has the SHA-256 {found}, not {file.sha256}."
            " Commit the files that you mean, or run `headgate data add` again"
        )
    return folder


def is_outside(file: configuration.DataFile) -> bool:
    """Whether the file is one of the trainer's machine and not of the repository."""
    return urlsplit(file.uri).scheme.lower() == "file"


def another_digest_outside(file: configuration.DataFile) -> str:
    """Not the digest that was found: who writes a headgate.toml may not read every file of the trainer's machine."""
    return (
        f"{file.uri} on the trainer's machine has another SHA-256 than {file.sha256}."
        " Write the digest of the file that you mean: `headgate data add` computes it where the file is"
    )


def why_another_digest(path: Path, file: configuration.DataFile, found: str) -> str:
    if is_outside(file):
        return another_digest_outside(file)
    content = path.read_bytes() if path.stat().st_size <= MAX_CONVERTED_BYTES else b""
    windows = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if content and hashlib.sha256(windows).hexdigest() == file.sha256:
        return (
            f"{file.uri} has other line ends at the commit than the file with this digest: Git has changed CRLF to LF."
            f' Write sha256 = "{found}", or switch the change off in .gitattributes'
        )
    return (
        f"{file.uri} has the SHA-256 {found}, not {file.sha256}."
        " Commit the file that you mean, or write its digest into headgate.toml"
    )


def data_path(checkout: Path, uri: str) -> Path:
    """The file that a URI names. Raises WrongData when there is none, with the reason."""
    scheme = urlsplit(uri).scheme
    if scheme == "file":
        return local_file(uri)
    if scheme:
        known = ", ".join(f"{each}://" for each in ("file", *WEB, *BUCKETS))
        raise WrongData(f"expected a path in the repository or a URL that begins with one of {known}; got {uri}")
    if uri.startswith(("/", "~")):
        url = Path(uri).as_uri() if uri.startswith("/") else "file:///..."
        raise WrongData(f"{uri} lies outside the repository. {INSTEAD}, here as {url}")
    named = checkout / uri
    if is_annexed(named):
        raise WrongData(f"{uri} is a link of git-annex, and the trainer runs no git-annex. {INSTEAD}")
    path = Path(os.path.realpath(named))
    if not path.is_relative_to(checkout.resolve()):
        raise WrongData(f"{uri} leads out of the repository. {INSTEAD}")
    if not path.exists():
        raise WrongData(why_not_there(checkout, uri))
    return path


def local_file(uri: str) -> Path:
    try:
        path = path_of(uri)
    except ValueError as error:
        raise WrongData(f"{uri}: {error}") from error
    if not path.is_file() and not path.is_dir():
        raise WrongData(f"there is no file {uri} on the trainer's machine")
    return path


def is_annexed(path: Path) -> bool:
    return path.is_symlink() and ANNEX in os.readlink(path)


def why_not_there(checkout: Path, uri: str) -> str:
    path = checkout / uri
    for folder in reversed(path.relative_to(checkout).parents[:-1]):
        there = checkout / folder
        if there.is_dir() and not any(there.iterdir()):
            return f"{uri} is in {folder}, which is empty at the commit: a submodule without a line in .gitmodules"
    alike = [each.name for each in siblings(path) if each.name.lower() == path.name.lower()]
    if alike:
        return f"there is no file {uri} at the commit, but one that is spelled {alike[0]}"
    return f"there is no file {uri} at the commit. {INSTEAD}"


def siblings(path: Path) -> list[Path]:
    return list(path.parent.iterdir()) if path.parent.is_dir() else []
