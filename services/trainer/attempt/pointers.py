"""Finds the source of a data file that the commit only points to, by Git LFS or by DVC."""

import configparser
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import yaml

from headgate.artifacts.data_files import LFS_POINTER
from headgate.downloads.faults import Refused
from headgate.downloads.git_lfs import Pointer, lfs_file, pointer_of, store_of
from headgate.downloads.open import source_of
from headgate.downloads.source import LocalFile, Source
from headgate.downloads.web import Web
from services.trainer.attempt.checkout import inside

MAX_POINTER_BYTES = 1024
"""A file in place of another one, which is kept elsewhere, is not longer."""
MAX_CONFIGURATION_BYTES = 64 * 1024
MD5 = re.compile(r"[0-9a-f]{32}")
DVC_SUFFIX = ".dvc"
REMOTE = "'remote \"{}\"'"


def lfs_pointer(path: Path, uri: str) -> Pointer | None:
    """What the file points to when it is a pointer of Git LFS. Raises Refused for a pointer that is damaged."""
    if path.stat().st_size > MAX_POINTER_BYTES or not (content := path.read_bytes()).startswith(LFS_POINTER):
        return None
    if pointer := pointer_of(content.decode(errors="replace")):
        return pointer
    raise Refused(f"{uri} is a pointer of Git LFS without the lines oid and size. Commit the file anew")


def lfs_source(checkout: Path, repository: str, uri: str, pointer: Pointer, web: Web) -> Source:
    """Where the file of a pointer is. Raises Refused."""
    if store := _lfs_url(checkout) or store_of(repository):
        return lfs_file(uri, store, pointer, web)
    folder = Path(unquote(urlsplit(repository).path) if repository.startswith("file:") else repository)
    names = pointer.sha256[:2], pointer.sha256[2:4], pointer.sha256
    for store_folder in (folder / ".git" / "lfs", folder / "lfs"):
        if (found := store_folder.joinpath("objects", *names)).is_file():
            return LocalFile(found)
    raise Refused(
        "the repository has no such file in its own Git LFS store. Run `git lfs push`, or `git lfs fetch --all`"
    )


def is_kept_by_dvc(checkout: Path, uri: str) -> bool:
    """Whether the commit has no such file, but a .dvc file in its place."""
    return not (checkout / uri).exists() and _of_commit(checkout, f"{uri}{DVC_SUFFIX}") is not None


def dvc_source(checkout: Path, uri: str, web: Web) -> Source:
    """Where the file is that a .dvc file beside it points to. Raises Refused."""
    md5, is_new = _dvc_output(checkout, f"{uri}{DVC_SUFFIX}")
    remote = _dvc_remote(checkout).rstrip("/")
    folder = "files/md5/" if is_new else ""
    place = f"{folder}{md5[:2]}/{md5[2:]}"
    if remote.startswith("/"):
        return LocalFile(Path(remote) / place)
    if not urlsplit(remote).scheme:
        raise Refused(f"the DVC remote {remote} is a folder beside the repository, which the trainer does not have")
    return source_of(f"{re.sub('^azure://', 'az://', remote)}/{quote(place)}", web)


def _dvc_output(checkout: Path, name: str) -> tuple[str, bool]:
    """The MD5 of the one file that a .dvc file names, and whether DVC 3 has written it."""
    try:
        written: Any = yaml.safe_load(_of_commit(checkout, name) or "")
        (output,) = written["outs"]
        md5 = str(output["md5"])
    except (yaml.YAMLError, ValueError, LookupError, TypeError) as error:
        raise Refused(f"{name} does not name one file and its MD5") from error
    if not MD5.fullmatch(md5):
        raise Refused(f"{name} names a folder; the trainer takes single files from DVC")
    return md5, output.get("hash") == "md5"


def _dvc_remote(checkout: Path) -> str:
    """The URL of the default remote."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(_of_commit(checkout, ".dvc/config") or "")
        return parser[REMOTE.format(parser["core"]["remote"])]["url"]
    except (LookupError, configparser.Error) as error:
        raise Refused("the commit has no .dvc/config with a default remote: `dvc remote add --default`") from error


def _lfs_url(checkout: Path) -> str:
    """The URL in the commit's .lfsconfig; empty without one."""
    section = ""
    for line in (_of_commit(checkout, ".lfsconfig") or "").splitlines():
        text = line.strip()
        if text.startswith("["):
            section = text.lower()
        elif section == "[lfs]" and text.partition("=")[0].strip().lower() == "url":
            return text.partition("=")[2].strip().strip('"')
    return ""


def _of_commit(checkout: Path, name: str) -> str | None:
    """The text of a small file of the commit; None when there is none, or when a link leads out of it."""
    path = inside(checkout, name)
    if path is None:
        return None
    with path.open("rb") as content:
        return content.read(MAX_CONFIGURATION_BYTES).decode(errors="replace")
