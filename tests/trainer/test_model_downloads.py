"""What a trainer downloads as the file of an imported version, from real servers, and what it refuses."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from headgate.artifacts.store import open_store
from headgate.client.stubs import Stubs
from headgate.runtime.errors import RpcRefused
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from services.trainer.artifact_servicer import ArtifactServicer
from services.trainer.uploads import MAX_BYTES, Uploads
from tests.artifacts.graph_material import tree
from tests.downloads.servers import Files, serving, signed_by
from tests.trainer.remote import access_in
from tests.waiting import PATIENCE_SECONDS, until

DATA, PICKLE = tree().SerializeToString(), b"\x80\x04\x95" + bytes(300)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def files() -> Files:
    return Files({"/trees.onnx": DATA, "/model.onnx": PICKLE, "/empty.onnx": b""}, redirects={"/moved": "http://a.b/"})


@pytest.fixture
def server(files: Files) -> Iterator[str]:
    with serving(files) as url:
        yield url


def uploads(directory: Path, places: str = "", credentials: str = "") -> Uploads:
    access = access_in(directory, places, credentials=credentials)
    return Uploads(open_store((directory / "store").as_uri()), directory / "uploads", access)


def fetched(taken: Uploads, url: str, sha256: str = SHA256) -> worker_services.Blob:
    return taken.fetch(worker_services.FetchBlobRequest(uri=url, sha256=sha256), threading.Event())


def refusal(taken: Uploads, url: str, sha256: str = SHA256) -> RpcRefused:
    with pytest.raises(RpcRefused) as refused:
        fetched(taken, url, sha256)
    return refused.value


def test_a_file_of_an_allowed_server_is_stored_under_its_digest(tmp_path: Path, server: str) -> None:
    taken = uploads(tmp_path, server)

    assert fetched(taken, f"{server}/trees.onnx") == worker_services.Blob(sha256=SHA256, size_bytes=len(DATA))

    assert open_store((tmp_path / "store").as_uri()).get(SHA256) == DATA
    assert taken.find(SHA256).size_bytes == len(DATA)


def test_a_file_of_a_bucket_is_fetched_with_the_operators_credentials(tmp_path: Path, files: Files) -> None:
    secrets = tmp_path / "credentials"
    secrets.write_text("s3://KEY:secret@models\n")
    files.content["/models/trees.onnx"] = DATA
    files.check = signed_by("KEY", "secret", "eu-central-1")
    with serving(files) as url:
        taken = uploads(tmp_path, f"s3://models?endpoint={url}&region=eu-central-1", str(secrets))

        assert fetched(taken, "s3://models/trees.onnx").sha256 == SHA256


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


WRONG = {
    "another digest": ("/trees.onnx", "0" * 64, "Restore it, or give its digest with --sha256"),
    "no digest": ("/trees.onnx", "", "a download needs the SHA-256 of the file, in 64 hex digits"),
    "not there": ("/none.onnx", SHA256, "does not exist (404 Not Found, NoSuchKey)"),
    "moved to another place": ("/moved", SHA256, "redirects to another place: http://a.b is not allowed"),
    "a pickle": ("/model.onnx", digest(PICKLE), "it is a pickle"),
    "empty": ("/empty.onnx", digest(b""), "has 0 bytes, and such a file has 1 to"),
    "a secret": ("/trees.onnx?token=s3cret", SHA256, "expected no user name, no password"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_download_that_is_wrong_is_refused_in_words_and_nothing_is_stored(
    tmp_path: Path, server: str, case: str
) -> None:
    path, sha256, reason = WRONG[case]

    refused = refusal(uploads(tmp_path, server), f"{server}{path}", sha256)

    assert (refused.code, refused.slug) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid-download")
    assert reason in refused.rule
    assert "s3cret" not in refused.rule
    assert [file for file in (tmp_path / "store").rglob("*") if file.is_file()] == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://models.example.com/trees.onnx", "https://models.example.com is not allowed by the operator"),
        ("s3://models/trees.onnx", "s3://models is not allowed by the operator of the trainer: HEADGATE_DATA_PLACES"),
        ("ftp://models.example.com/trees.onnx", "expected a URL with a host or bucket and a path: https://"),
        ("file:///etc/passwd", "expected a URL with a host or bucket and a path: https://"),
        ("trees.onnx", "expected a URL with a host or bucket and a path: https://"),
        ("https://models.example.com:0/trees.onnx", "expected a port from 1 to 65535"),
    ],
)
def test_a_place_that_is_not_allowed_is_not_asked(
    tmp_path: Path, server: str, files: Files, url: str, reason: str
) -> None:
    refused = refusal(uploads(tmp_path, server), url)

    assert reason in refused.rule
    assert files.asked == []


def test_a_model_larger_than_the_limit_is_refused_by_the_size_that_its_server_announces(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MAX_BYTES, worker_services.UPLOAD_KIND_MODEL, 100)

    refused = refusal(uploads(tmp_path, server), f"{server}/trees.onnx")

    assert refused.rule.endswith(f"has {len(DATA)} bytes or more; the limit is 100. Make it smaller")


def test_a_download_takes_no_longer_than_the_operator_gives(tmp_path: Path, server: str, files: Files) -> None:
    files.waits = threading.Event()
    access = replace(access_in(tmp_path, server), seconds=0.01)
    taken = Uploads(open_store((tmp_path / "store").as_uri()), tmp_path / "uploads", access)

    assert "the download took longer than 0.01 s" in refusal(taken, f"{server}/trees.onnx").rule


def test_a_download_ends_when_its_caller_leaves(tmp_path: Path, server: str, files: Files) -> None:
    files.waits, left = threading.Event(), threading.Event()
    taken = uploads(tmp_path, server)
    request = worker_services.FetchBlobRequest(uri=f"{server}/trees.onnx", sha256=SHA256)
    leaving = threading.Thread(target=lambda: files.is_waiting.wait() and left.set())
    leaving.start()

    with pytest.raises(RpcRefused) as refused:
        taken.fetch(request, left)
    leaving.join()

    assert refused.value.code == grpc.StatusCode.CANCELLED


def test_a_call_that_its_caller_cancels_leaves_nothing_behind(tmp_path: Path, server: str, files: Files) -> None:
    files.waits = threading.Event()
    access = access_in(tmp_path, server)
    access.cache.prepare()
    servicer = ArtifactServicer(Uploads(open_store((tmp_path / "store").as_uri()), tmp_path / "uploads", access))
    trainer = grpc.server(ThreadPoolExecutor(1))
    worker_services_grpc.add_ArtifactServiceServicer_to_server(servicer, trainer)
    port = trainer.add_insecure_port("127.0.0.1:0")
    trainer.start()
    with Stubs("", "", trainer=f"127.0.0.1:{port}") as stubs:
        request = worker_services.FetchBlobRequest(uri=f"{server}/trees.onnx", sha256=SHA256)
        call = stubs.artifacts.FetchBlob.future(request, timeout=PATIENCE_SECONDS)
        assert files.is_waiting.wait(PATIENCE_SECONDS)
        assert any(access.cache.parts.iterdir())

        call.cancel()

        until(lambda: not any(access.cache.parts.iterdir()), "the end of the download")
    trainer.stop(None).wait()
