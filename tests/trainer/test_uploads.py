"""What a trainer takes as the file of an imported version, and what it refuses while the bytes come."""

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from headgate.artifacts.store import open_store
from headgate.runtime.errors import RpcRefused
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from services.trainer import upload_marks
from services.trainer.artifact_servicer import ArtifactServicer
from services.trainer.uploads import MAX_AT_ONCE, MAX_ROWS_BYTES, Uploads
from tests.artifacts.graph_material import tree
from tests.trainer.remote import access_in
from tests.waiting import PATIENCE_SECONDS

MODEL, ROWS = worker_services.UPLOAD_KIND_MODEL, worker_services.UPLOAD_KIND_TEST_ROWS
WEIGHTS = worker_services.UPLOAD_KIND_WEIGHTS
DATA = tree().SerializeToString()
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(open_store((tmp_path / "store").as_uri()), tmp_path / "uploads", access_in(tmp_path))


def parts(
    data: bytes = DATA, sha256: str = "", size: int | None = None, kind: worker_services.UploadKind.ValueType = MODEL
) -> Iterator[worker_services.UploadBlobRequest]:
    size_bytes = len(data) if size is None else size
    blob = worker_services.Blob(sha256=sha256 or hashlib.sha256(data).hexdigest(), size_bytes=size_bytes)
    yield worker_services.UploadBlobRequest(blob=blob, kind=kind)
    for start in range(0, len(data), 100):
        yield worker_services.UploadBlobRequest(content=data[start : start + 100])


def test_a_file_is_stored_under_its_digest_and_found_afterwards(uploads: Uploads, tmp_path: Path) -> None:
    assert uploads.take(parts()).sha256 == SHA256

    assert uploads.find(SHA256).size_bytes == len(DATA)
    assert open_store((tmp_path / "store").as_uri()).get(SHA256) == DATA
    assert list((tmp_path / "uploads").iterdir()) == []


def test_an_upload_that_is_asked_for_counts_as_new_and_another_blob_never_becomes_an_upload(
    uploads: Uploads, tmp_path: Path
) -> None:
    store = open_store((tmp_path / "store").as_uri())
    uploads.take(parts())
    os.utime(tmp_path / "store" / "uploads" / SHA256, (1, 1))
    assert upload_marks.marks(store) == {SHA256: 1_000}
    uploads.find(SHA256)
    uploads.find(store.put(b"of a trained version"))
    assert upload_marks.marks(store).keys() == {SHA256}
    assert upload_marks.marks(store)[SHA256] > 1_000


REFUSED = {
    "other bytes": (parts(sha256="0" * 64), "the file has changed, so upload it again"),
    "too few bytes": (parts(size=len(DATA) + 1), f"{len(DATA)} bytes came"),
    "too many bytes": (parts(size=1), "more bytes came than the 1 of the first message"),
    "no digest": (parts(sha256="abc"), "the SHA-256 of the file, in 64 hex digits"),
    "no bytes": (parts(size=0), "it has 0 bytes"),
    "3 GB": (parts(size=3 << 30), f"it has {3 << 30} bytes, and such a file has 1 to"),
    "large rows": (parts(size=MAX_ROWS_BYTES + 1, kind=ROWS), f"such a file has 1 to {MAX_ROWS_BYTES}"),
    "no kind": (
        parts(kind=worker_services.UPLOAD_KIND_UNSPECIFIED),
        "whether it is a model, weights, an architecture or test rows",
    ),
    "nothing": (iter(()), "whether it is a model, weights, an architecture or test rows"),
    "no weights": (parts(kind=WEIGHTS), "it is no safetensors file, and --architecture belongs to one"),
    "a pickle": (parts(b"\x80\x04\x95" + bytes(300)), "it is a pickle"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_upload_that_is_wrong_is_refused_and_leaves_nothing(uploads: Uploads, tmp_path: Path, case: str) -> None:
    requests, reason = REFUSED[case]

    with pytest.raises(RpcRefused) as refused:
        uploads.take(requests)

    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert reason in refused.value.rule
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_pickle_is_refused_before_the_rest_of_it_comes(uploads: Uploads) -> None:
    def endless() -> Iterator[worker_services.UploadBlobRequest]:
        blob = worker_services.Blob(sha256="0" * 64, size_bytes=1 << 20)
        yield worker_services.UploadBlobRequest(blob=blob, kind=MODEL)
        yield worker_services.UploadBlobRequest(content=b"\x80\x04\x95" + bytes(100))
        pytest.fail("it asked for more")

    with pytest.raises(RpcRefused, match="it is a pickle"):
        uploads.take(endless())


def test_more_uploads_at_once_than_there_are_places_are_refused_as_busy(uploads: Uploads) -> None:
    begun, go_on = threading.Barrier(MAX_AT_ONCE + 1), threading.Event()

    def waiting() -> Iterator[worker_services.UploadBlobRequest]:
        begun.wait()
        go_on.wait()
        yield from parts()

    threads = [threading.Thread(target=uploads.take, args=(waiting(),)) for _ in range(MAX_AT_ONCE)]
    for thread in threads:
        thread.start()
    begun.wait()
    with pytest.raises(RpcRefused) as refused:
        uploads.take(parts())
    go_on.set()
    for thread in threads:
        thread.join()

    assert refused.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert uploads.take(parts()).sha256 == SHA256


def test_a_blob_that_is_not_there_is_not_found(uploads: Uploads) -> None:
    with pytest.raises(RpcRefused) as refused:
        uploads.find("0" * 64)

    assert refused.value.code == grpc.StatusCode.NOT_FOUND


def test_a_client_that_goes_silent_loses_its_place(uploads: Uploads) -> None:
    threads = ThreadPoolExecutor(MAX_AT_ONCE + 1)
    server = grpc.server(threads)
    servicer = ArtifactServicer(uploads, silence_seconds=0.1)
    worker_services_grpc.add_ArtifactServiceServicer_to_server(servicer, server)
    port, ended = server.add_insecure_port("127.0.0.1:0"), threading.Event()
    server.start()

    def silent() -> Iterator[worker_services.UploadBlobRequest]:
        yield next(parts())
        ended.wait()

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = worker_services_grpc.ArtifactServiceStub(channel)
        calls = [stub.UploadBlob.future(silent()) for _ in range(MAX_AT_ONCE)]
        assert [call.exception(PATIENCE_SECONDS).code() for call in calls] == [grpc.StatusCode.CANCELLED] * MAX_AT_ONCE
        ended.set()
        server.stop(None).wait()
    threads.shutdown()  # A caller may know the end of a call before its thread has left its place.

    assert uploads.take(parts()).sha256 == SHA256
