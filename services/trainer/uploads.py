"""Takes the files of versions that are imported, from a caller or from a URL, and stores each under its digest.

An uploaded file is written to disk while it comes, and refused as soon as its first bytes show that it is no model.
"""

import hashlib
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import grpc

from headgate.architecture import MAX_BYTES as MAX_ARCHITECTURE_BYTES
from headgate.artifacts.foreign_models import HEAD_BYTES, LENGTH_BYTES, NO_SAFETENSORS, foreign_format, is_safetensors
from headgate.artifacts.store import MAX_FILE_BYTES, ArtifactStore, StoreUnavailable
from headgate.domain.names import SHA256
from headgate.domain.words import counted
from headgate.downloads.cache import Lease
from headgate.runtime.errors import RpcRefused
from headgate.v1 import worker_services_pb2 as worker_services
from services.trainer import upload_marks
from services.trainer.attempt.remote_data import DataAccess
from services.trainer.model_downloads import Expected, downloaded

MAX_AT_ONCE = 2
"""Uploads and downloads of one trainer at once, because each has a file on its disk."""
MAX_SHOWN_CHARACTERS = 80
MAX_ROWS_BYTES = 256 * 1024**2
"""The largest file of test rows; its values are held in memory one by one."""
MAX_BYTES = {
    worker_services.UPLOAD_KIND_MODEL: MAX_FILE_BYTES,
    worker_services.UPLOAD_KIND_TEST_ROWS: MAX_ROWS_BYTES,
    worker_services.UPLOAD_KIND_WEIGHTS: MAX_FILE_BYTES,
    worker_services.UPLOAD_KIND_ARCHITECTURE: MAX_ARCHITECTURE_BYTES,
}


class Uploads:
    """The uploads of one trainer."""

    def __init__(self, store: ArtifactStore, scratch: Path, data: DataAccess) -> None:
        self._store = store
        self._scratch = scratch
        self._data = data
        self._places = threading.BoundedSemaphore(MAX_AT_ONCE)

    def find(self, sha256: str) -> worker_services.Blob:
        """Raises RpcRefused when the store has no such blob."""
        with _store_errors():
            size = self._store.size_of(sha256)
            if size is not None:
                upload_marks.renew(self._store, sha256)
        if size is None:
            raise no_blob(sha256)
        return worker_services.Blob(sha256=sha256, size_bytes=size)

    def take(self, requests: Iterator[worker_services.UploadBlobRequest]) -> worker_services.Blob:
        """Stores the file whose parts come. Raises RpcRefused."""
        with self._place():
            first = checked_header(next(requests, worker_services.UploadBlobRequest()))
            self._scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._scratch, prefix="upload-") as file:
                receive(requests, first.blob, first.kind, file)
                self._keep(Path(file.name), first.blob.sha256)
        return first.blob

    def fetch(self, request: worker_services.FetchBlobRequest, stop: threading.Event) -> worker_services.Blob:
        """Stores the model that is downloaded from the URL. `stop` ends the download. Raises RpcRefused."""
        with self._place(), closing(self._downloaded(request, stop)) as lease:
            self._keep(lease.path, request.sha256)
            return worker_services.Blob(sha256=request.sha256, size_bytes=lease.path.stat().st_size)

    def _keep(self, file: Path, sha256: str) -> None:
        with _store_errors():
            upload_marks.mark(self._store, sha256)
            self._store.put_file(file, sha256)

    def _downloaded(self, request: worker_services.FetchBlobRequest, stop: threading.Event) -> Lease:
        kind = request.kind or worker_services.UPLOAD_KIND_MODEL
        if kind not in MAX_BYTES:
            raise _wrong("kind", "a download says whether it is a model, weights, an architecture or test rows")
        return downloaded(self._data, request, Expected(MAX_BYTES[kind], lambda head: fault_of(kind, head)), stop)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            rule = f"this trainer takes {MAX_AT_ONCE} uploads and downloads at once; try again later"
            raise RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", rule)
        try:
            yield
        finally:
            self._places.release()


def no_blob(sha256: str) -> RpcRefused:
    """The refusal for a blob that is not there, or of which the caller may not know."""
    rule = f"the artifact store has no blob {sha256[:MAX_SHOWN_CHARACTERS]}"
    return RpcRefused(grpc.StatusCode.NOT_FOUND, "not-found", rule, "sha256")


def checked_header(first: worker_services.UploadBlobRequest) -> worker_services.UploadBlobRequest:
    """What is uploaded. Raises RpcRefused."""
    blob = first.blob
    if first.kind not in MAX_BYTES:
        raise _wrong(
            "kind", "the first message of an upload says whether it is a model, weights, an architecture or test rows"
        )
    if not SHA256.fullmatch(blob.sha256):
        raise _wrong("blob.sha256", "the first message of an upload has the SHA-256 of the file, in 64 hex digits")
    if not 0 < blob.size_bytes <= MAX_BYTES[first.kind]:
        limit = MAX_BYTES[first.kind]
        raise _wrong("blob.size_bytes", f"it has {blob.size_bytes} bytes, and such a file has 1 to {limit}")
    return first


def receive(
    requests: Iterator[worker_services.UploadBlobRequest],
    blob: worker_services.Blob,
    kind: worker_services.UploadKind.ValueType,
    file: IO[bytes],
) -> None:
    """Writes the bytes to the file. Raises RpcRefused when they are others than the first message says."""
    digest, size, head = hashlib.sha256(), 0, b""
    for request in requests:
        size += len(request.content)
        if size > blob.size_bytes:
            raise _wrong("content", f"more bytes came than the {blob.size_bytes} of the first message")
        digest.update(request.content)
        file.write(request.content)
        if len(head) < HEAD_BYTES:
            head += request.content[: HEAD_BYTES - len(head)]
            if fault := fault_of(kind, head):
                raise _wrong("content", fault)
    file.flush()
    if size != blob.size_bytes:
        raise _wrong(
            "content", f"{counted(size, 'byte')} came, and the first message says {blob.size_bytes}; upload it again"
        )
    if digest.hexdigest() != blob.sha256:
        found = f"the bytes have the SHA-256 {digest.hexdigest()}, and the first message says {blob.sha256}"
        raise _wrong("blob.sha256", f"{found}; the file has changed, so upload it again")


def fault_of(kind: worker_services.UploadKind.ValueType, head: bytes) -> str:
    """Why a file that begins so is not taken; empty when nothing known speaks against it."""
    if kind == worker_services.UPLOAD_KIND_MODEL:
        return str(foreign_format(head) or "")
    if kind == worker_services.UPLOAD_KIND_WEIGHTS and len(head) > LENGTH_BYTES and not is_safetensors(head):
        return NO_SAFETENSORS
    return ""


def _wrong(field: str, rule: str) -> RpcRefused:
    return RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-upload", rule, field)


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except StoreUnavailable as error:
        raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "store-unavailable", str(error)) from error
