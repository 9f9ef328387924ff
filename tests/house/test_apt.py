"""`scripts/apt_install.sh` waits while another apt works on the machine. The real apt runs on state of its own."""

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.house.tree import ROOT

SCRIPT = "scripts/apt_install.sh"
PACKAGE = "no-such-package"
END_SECONDS = 60

on_debian = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is a program of Debian")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A folder with apt's state for a machine that has no packages and no sources."""
    for folder in ("lists/partial", "archives/partial", "log"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "status").touch()
    (tmp_path / "apt.conf").write_text(
        f'Dir::State "{tmp_path}"; Dir::State::lists "{tmp_path}/lists"; Dir::State::status "{tmp_path}/status";'
        f'Dir::Cache "{tmp_path}"; Dir::Log "{tmp_path}/log"; Dir::Etc::sourcelist "/dev/null";'
        'Dir::Etc::sourceparts "/dev/null"; APT::Sandbox::User "";\n'
    )
    return tmp_path


@contextmanager
def held(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def install(state: Path, limit_seconds: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, "APT_CONFIG": str(state / "apt.conf"), "APT_LOCK_SECONDS": str(limit_seconds)}
    return subprocess.Popen([ROOT / SCRIPT, PACKAGE], env=environment, stderr=subprocess.PIPE, text=True)


@on_debian
def test_an_installation_goes_on_when_the_other_apt_has_ended(state: Path) -> None:
    with held(state / "lists" / "lock"):
        started = install(state, END_SECONDS)
        assert started.stderr is not None
        assert "another apt is at work; waiting" in started.stderr.readline()
    _, errors = started.communicate(timeout=END_SECONDS)
    assert f"Unable to locate package {PACKAGE}" in errors
    assert "lock" not in errors.replace("APT_LOCK_SECONDS", "")


@on_debian
@pytest.mark.parametrize("lock", ["lists/lock", "lock-frontend"])
def test_an_installation_waits_up_to_its_limit_and_names_the_lock(lock: str, state: Path) -> None:
    limit_seconds = 2
    began = time.monotonic()
    with held(state / lock):
        _, errors = (started := install(state, limit_seconds)).communicate(timeout=END_SECONDS)
    # bash counts whole seconds.
    assert time.monotonic() - began > limit_seconds - 1
    assert started.returncode == 1
    assert str(state / lock) in errors
    assert f"still at work after {limit_seconds} s (APT_LOCK_SECONDS)" in errors


def test_every_other_script_installs_packages_with_this_one() -> None:
    runs_apt = re.compile(r"^\s*[^#\n\"]*\bapt-get (-\S+ )*(update|install)", re.MULTILINE)
    scripts = [*ROOT.glob("scripts/*.sh"), *ROOT.glob(".ci/*"), ROOT / "Makefile"]
    assert not [str(path) for path in scripts if path.name != Path(SCRIPT).name and runs_apt.search(path.read_text())]
    assert runs_apt.search("    apt-get update -qq && x")
