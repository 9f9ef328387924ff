"""Nothing that a foreign program starts outlives it or the trainer, in whatever way it starts and they end."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from services.trainer.attempt.scratch import clear_left_behind, scratch_directory, scratch_of
from services.trainer.programs.orphans import end_orphans
from services.trainer.programs.processes import Program, Stopped, run
from services.trainer.programs.workplace import foreign_environment
from tests.trainer.attempt.test_work import is_alive
from tests.waiting import PATIENCE_SECONDS

STARTS = """
import os, signal, subprocess, sys
def lives_on(name, *, env=None):
    with open(os.path.join(sys.argv[1], name + ".new"), "w") as file: file.write(str(os.getpid()))
    os.rename(os.path.join(sys.argv[1], name + ".new"), os.path.join(sys.argv[1], name))
    os.execve("/bin/sleep", ["sleep", "600"], os.environ if env is None else env)
def forked(then):
    if os.fork() == 0:
        try: then()
        finally: os._exit(1)
def child(): forked(lambda: lives_on("child"))
def session(): forked(lambda: (os.setsid(), lives_on("session")))
def double_fork(): forked(lambda: (forked(lambda: lives_on("double_fork")), os._exit(0)))
def daemon():
    grandchild = lambda: (os.chdir("/"), os.closerange(0, 99), lives_on("daemon", env={}))
    forked(lambda: (os.setsid(), forked(grandchild), os._exit(0)))
def group(): forked(lambda: (os.setpgid(0, 0), lives_on("group")))
def deaf():
    ignored = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
    forked(lambda: ([signal.signal(each, signal.SIG_IGN) for each in ignored], os.setsid(), lives_on("deaf")))
def stopped(): forked(lambda: (os.setsid(), forked(lambda: lives_on("stopped")), os.kill(os.getpid(), signal.SIGSTOP)))
KINDS = [child, session, double_fork, daemon, group, deaf, stopped]
for start in KINDS: start()
while not all(os.path.exists(os.path.join(sys.argv[1], start.__name__)) for start in KINDS): pass
"""
"""Starts a process in each way, and goes on once all of them run."""
WAYS = ("child", "session", "double_fork", "daemon", "group", "deaf", "stopped")
TRAINER = """
import sys, threading
from pathlib import Path
from services.trainer.programs.processes import run
from services.trainer.programs.workplace import foreign_environment
from services.trainer.attempt.scratch import scratch_directory
with scratch_directory(Path(sys.argv[1])) as here:
    command = [sys.executable, "-c", sys.argv[2], sys.argv[3]]
    run(command, here, foreign_environment(here), here / "log", 600, threading.Event())
"""


def eventually(holds: Callable[[], bool], limit_seconds: float = PATIENCE_SECONDS) -> bool:
    pause = threading.Event()
    for _ in range(int(limit_seconds / 0.05)):
        if holds():
            return True
        pause.wait(0.05)
    return False


def all_run(directory: Path) -> bool:
    return all((directory / way).exists() for way in WAYS)


def living(directory: Path) -> list[str]:
    assert all_run(directory)
    return [way for way in WAYS if is_alive(int((directory / way).read_text()))]


def program(directory: Path, then: str) -> Program:
    command = [sys.executable, "-c", STARTS + then, str(directory)]
    return Program(command, directory, foreign_environment(directory), directory / "log")


@pytest.mark.parametrize(
    ("then", "exit_code", "limit"),
    [
        ("", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 139, ""),
        ("os.kill(0, signal.SIGTERM)", 143, ""),
        ("os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)", 137, ""),
        ("signal.pause()", 143, "took longer than 1.5 s"),
    ],
)
def test_what_a_program_has_started_ends_with_it(tmp_path: Path, then: str, exit_code: int, limit: str) -> None:
    running = program(tmp_path, then)
    if limit:
        assert eventually(lambda: all_run(tmp_path))
    ended = running.wait(1.5 if limit else PATIENCE_SECONDS, threading.Event())
    assert (ended.exit_code, ended.limit_broken, ended.log_tail) == (exit_code, limit, "")
    # Without its launcher, a process that removed its environment variables is not found.
    assert living(tmp_path) == (["daemon"] if exit_code == 137 else [])
    if exit_code == 137:
        os.kill(int((tmp_path / "daemon").read_text()), signal.SIGKILL)


def test_what_a_program_has_started_ends_when_the_attempt_is_stopped(tmp_path: Path) -> None:
    running, stop = program(tmp_path, "signal.pause()"), threading.Event()
    assert eventually(lambda: all_run(tmp_path))
    stop.set()
    with pytest.raises(Stopped):
        running.wait(600, stop)
    assert living(tmp_path) == []


def test_what_a_program_has_started_ends_when_its_trainer_is_killed(tmp_path: Path) -> None:
    scratch = scratch_of(tmp_path, "trainer-0")
    trainer = subprocess.Popen([sys.executable, "-c", TRAINER, str(scratch), STARTS + "signal.pause()", str(tmp_path)])
    assert eventually(lambda: all_run(tmp_path))
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    assert eventually(lambda: living(tmp_path) == [])


def test_the_next_start_ends_what_a_killed_trainer_and_launcher_left(tmp_path: Path) -> None:
    scratch = scratch_of(tmp_path, "trainer-0")
    kill_both = "import time; launcher = os.getppid(); trainer = int(open(f'/proc/{launcher}/stat').read().split()[3]);"
    kill_both += "os.kill(launcher, signal.SIGKILL); os.kill(trainer, signal.SIGKILL)"
    text = STARTS.replace("env={}", "env=None") + kill_both
    subprocess.run(
        [sys.executable, "-c", TRAINER, str(scratch), text, str(tmp_path)], timeout=PATIENCE_SECONDS, check=False
    )
    assert set(living(tmp_path)) == set(WAYS)
    assert len(clear_left_behind(scratch)) == 1
    assert eventually(lambda: living(tmp_path) == [])


def test_the_trainers_other_children_are_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "600"])
    try:
        with scratch_directory(tmp_path / "scratch") as scratch:
            command = [sys.executable, "-c", STARTS, str(tmp_path)]
            run(command, scratch, foreign_environment(scratch), scratch / "log", PATIENCE_SECONDS, threading.Event())
            end_orphans(scratch)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_program_that_prints_too_much_is_ended(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("services.trainer.programs.processes.MAX_LOG_BYTES", 1000)
    command = [sys.executable, "-c", "import time; print('x' * 5000, flush=True); time.sleep(600)"]
    ended = run(command, tmp_path, foreign_environment(tmp_path), tmp_path / "log", 60, threading.Event())
    assert ended.limit_broken == "printed more than 1000 bytes"
