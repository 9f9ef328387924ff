"""The Dockerfile, run without a container engine: what it installs is enough, and runs without root rights."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.deploy.dockerfile import build, context, stages
from tests.house.tree import ROOT, short

USER = 10001
START_SECONDS = 30
DRAIN_SECONDS = 15


@pytest.fixture(scope="module")
def root():
    # Not in pytest's folder, because the user of the service cannot read that one.
    folder = Path(tempfile.mkdtemp(prefix="headgate-image-"))
    folder.chmod(0o755)
    build(folder, "registry")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def writable(root):
    """The only folder that the service may write to."""
    folder = Path(tempfile.mkdtemp(prefix="headgate-volume-"))
    if os.getuid() == 0:
        os.chown(folder, USER, USER)
    yield folder
    shutil.rmtree(folder)


def without_rights() -> dict[str, int]:
    """The container's user. Tests that do not run as root keep their user, who has no more rights."""
    return {"user": USER, "group": USER} if os.getuid() == 0 else {}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def snapshot(folder: Path) -> dict[str, int]:
    return {path.as_posix(): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def environment(root: Path, writable: Path) -> dict[str, str]:
    baked = dict(re.findall(r"(\w+)=(\S+)", " ".join(s.text for s in stages()[2] if s.verb == "ENV")))
    return {
        **{name: value for name, value in baked.items() if name not in ("PATH", "SERVICE")},
        "PATH": f"{root}/opt/headgate/bin:/usr/bin:/bin",
        "SERVICE": "registry",
        "TMPDIR": str(writable),
        "HEADGATE_LOG": f"sqlite://{writable}/log.db",
        "HEADGATE_HOST": "0.0.0.0",
        "HEADGATE_PLAIN_TEXT": "true",
        "HEADGATE_PORT": str(free_port()),
    }


def test_the_locked_packages_are_enough_for_a_service_and_it_writes_nothing_in_the_image(root, writable):
    before, environ = snapshot(root / "opt"), environment(root, writable)
    (entrypoint,) = (step.text for step in stages()[2] if step.verb == "ENTRYPOINT")
    command = re.findall(r'"([^"]+)"', entrypoint)
    given = {"env": environ, "cwd": writable, **without_rights()}
    with open(root / "service.log", "wb") as log:
        service = subprocess.Popen(command, stdout=log, stderr=log, **given)
    try:
        probe = [f"{root}/opt/headgate/bin/python", "-m", "headgate.client.probe"]
        # Each probe waits for the port itself.
        for _ in range(START_SECONDS):
            asked = subprocess.run(probe, capture_output=True, **given)
            if asked.returncode == 0 or service.poll() is not None:
                break
        assert asked.returncode == 0, asked.stderr.decode() + (root / "service.log").read_text()
        service.send_signal(signal.SIGTERM)
        assert service.wait(DRAIN_SECONDS) == 0
    finally:
        service.kill()
    assert snapshot(root / "opt") == before


def test_torch_and_git_are_in_the_trainer_only():
    for lock in (ROOT / "requirements").glob("*.txt"):
        if lock.stem in {"registry", "evaluator", "deployer", "gateway"}:
            assert "\ntorch==" not in lock.read_text()
    (git,) = (step.text for step in stages()[2] if "git" in step.text and step.verb == "RUN")
    assert git.startswith('if [ "${SERVICE}" = trainer ]')


def test_the_image_holds_only_the_code():
    sent = {short(path).partition("/")[0] for path in context()}
    assert sent == {"pyproject.toml", "README.md", "LICENSE", "requirements", "libs", "services"}


def test_the_image_runs_without_root_rights_and_receives_the_signal_itself():
    steps = {step.verb: step.text for step in stages()[2]}
    assert steps["USER"] == f"{USER}:{USER}"
    assert steps["STOPSIGNAL"] == "SIGTERM"
    assert "exec python -m services.$SERVICE" in steps["ENTRYPOINT"]


def test_the_base_is_pinned_by_an_exact_tag():
    (base,) = (step.text for step in stages()[0] if step.text.startswith("BASE="))
    assert re.fullmatch(r"BASE=python:\d+\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", base)
