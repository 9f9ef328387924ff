"""Checkout from a server that wants a user name and a password. The server serves the files of a bare repository."""

import base64
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.checkout import GitAccess, check_out
from services.trainer.attempt.failure import AttemptFailed
from tests.trainer.repositories import git, repository

USER, PASSWORD = "reader", "t0ken"
EXPECTED = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Guarded(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.headers.get("Authorization") == EXPECTED:
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def private(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URL of a private repository, and a commit in it."""
    source, commit = repository(tmp_path / "source")
    served = tmp_path / "served"
    git(tmp_path, "clone", "--quiet", "--bare", source, str(served / "model.git"))
    git(served / "model.git", "update-server-info")
    handler = functools.partial(Guarded, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/model.git", commit
        server.shutdown()
        serving.join()


def credentials(directory: Path, url: str, password: str) -> GitAccess:
    file = directory / 'git\'s "own" #1; 50% \\ credentials'
    file.write_text(url.replace("://", f"://{USER}:{password}@").removesuffix("/model.git") + "\n")
    return GitAccess(str(file))


def checked_out(private: tuple[str, str], scratch: Path, access: GitAccess) -> Path:
    scratch.mkdir()
    return check_out(*private, scratch, access, threading.Event())


def test_the_file_of_credentials_opens_a_private_repository_and_the_checkout_does_not_hold_them(
    private: tuple[str, str], tmp_path: Path
) -> None:
    checkout = checked_out(private, tmp_path / "scratch", credentials(tmp_path, private[0], PASSWORD))
    assert (checkout / "headgate.toml").is_file()
    written = [file.read_bytes() for file in (tmp_path / "scratch").rglob("*") if file.is_file()]
    assert not [text for text in written if PASSWORD.encode() in text]


@pytest.mark.parametrize("password", [None, "wr0ng"])
def test_without_the_right_password_the_attempt_fails_and_shows_no_password(
    private: tuple[str, str], tmp_path: Path, password: str | None
) -> None:
    access = credentials(tmp_path, private[0], password) if password else GitAccess()
    with pytest.raises(AttemptFailed, match="cannot be read") as failed:
        checked_out(private, tmp_path / "scratch", access)
    assert failed.value.stage == facts.STAGE_CHECKOUT
    assert "wr0ng" not in f"{failed.value.reason} {failed.value.log_tail}"


def test_ssh_uses_the_operators_command(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    command = tmp_path / "ssh"
    command.write_text(f'#!/bin/sh\necho "$@" >> {ran}\nexit 1\n')
    command.chmod(0o755)
    with pytest.raises(AttemptFailed, match="cannot be read"):
        checked_out(
            ("ssh://git@git.example.com/m", "0" * 40), tmp_path / "scratch", GitAccess(ssh_command=f"{command} -i key")
        )
    assert "-i key" in ran.read_text()
    assert "git@git.example.com" in ran.read_text()


def test_a_failure_shows_no_credentials_of_any_url() -> None:
    failed = AttemptFailed(facts.STAGE_DATA, "https://user:secret@host/data is gone")
    assert str(failed) == failed.reason == "https://***@host/data is gone"
