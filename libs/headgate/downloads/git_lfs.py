"""Git LFS: what a pointer names, and how its store is asked for the file."""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from headgate.downloads.faults import Refused
from headgate.downloads.web import Request, Web, WebFile, fault_of, translated

MAX_ANSWER_BYTES = 1 << 20
MEDIA_TYPE = "application/vnd.git-lfs+json"
POINTER = re.compile(r"^oid sha256:([0-9a-f]{64})$.*^size (\d+)$", re.MULTILINE | re.DOTALL)
SCP = re.compile(r"(?:[\w.-]+@)?([\w.-]+):(?!//)(.+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pointer:
    """The file that a pointer stands for. Git LFS names it by the SHA-256 of its bytes."""

    sha256: str
    size: int


def pointer_of(text: str) -> Pointer | None:
    """What a pointer names; None when it is none that we know."""
    found = POINTER.search(text)
    return Pointer(found[1], int(found[2])) if found else None


def store_of(repository: str) -> str:
    """The URL of the store that belongs to a repository on a server; empty when it has none."""
    scp = SCP.fullmatch(repository)
    parts = urlsplit(repository)
    if parts.scheme in ("https", "http"):
        base = repository.rstrip("/")
    elif parts.scheme == "ssh":
        base = f"https://{parts.hostname}{parts.path}".rstrip("/")
    elif scp:
        base = f"https://{scp[1]}/{scp[2].strip('/')}"
    else:
        return ""
    return f"{base.removesuffix('.git')}.git/info/lfs"


def lfs_file(name: str, store: str, pointer: Pointer, web: Web) -> WebFile:
    """A file in a store. The store is asked for its place before each try. Raises Refused when it is not allowed."""
    web.places.of(store)
    return WebFile(name, lambda: located(name, store, pointer, web), web)


def located(name: str, store: str, pointer: Pointer, web: Web) -> Request:
    """The request that the store answers for the file. Raises Refused and Interrupted."""
    wanted = {
        "operation": "download",
        "transfers": ["basic"],
        "hash_algo": "sha256",
        "objects": [{"oid": pointer.sha256, "size": pointer.size}],
    }
    headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
    asked = Request(f"{store.rstrip('/')}/objects/batch", headers, body=json.dumps(wanted).encode())
    with translated(name), web.answer(asked) as response:
        if response.status != 200:
            raise fault_of(response, f"the Git LFS store of {name}")
        answer = response.read(MAX_ANSWER_BYTES)
    try:
        return _download_of(name, json.loads(answer)["objects"][0])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Refused(f"the Git LFS store of {name} does not answer as Git LFS asks for it") from error


def _download_of(name: str, found: dict[str, Any]) -> Request:
    if "error" in found:
        raise Refused(f"the Git LFS store does not give {name}: {found['error'].get('message', 'it has no such file')}")
    download = found["actions"]["download"]
    return Request(str(download["href"]), {str(key): str(value) for key, value in download.get("header", {}).items()})
