"""No foreign program outlives the trainer, however the trainer ends."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from services.trainer.attempt.processes import foreign_environment, run
from tests.trainer.attempt.test_work import is_alive

TRAINER = """
import sys, threading
from pathlib import Path
from services.trainer.attempt.processes import run, foreign_environment
here = Path(sys.argv[1])
sleeper = f"import subprocess; p = subprocess.Popen(['sleep', '600']); open('{here}/pid', 'w').write(str(p.pid))"
sleeper += "; p.wait()"
run([sys.executable, "-c", sleeper], here, foreign_environment(here), here / "log", 600, threading.Event())
"""


def eventually(holds: Callable[[], bool], limit_seconds: float = 20.0) -> bool:
    pause = threading.Event()
    for _ in range(int(limit_seconds / 0.05)):
        if holds():
            return True
        pause.wait(0.05)
    return False


def test_a_program_ends_when_its_trainer_is_killed(tmp_path: Path) -> None:
    trainer = subprocess.Popen([sys.executable, "-c", TRAINER, str(tmp_path)])
    pid = tmp_path / "pid"
    assert eventually(lambda: pid.exists() and pid.read_text() != "")
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    assert eventually(lambda: not is_alive(int(pid.read_text())))


def test_what_a_program_has_started_ends_with_it(tmp_path: Path) -> None:
    leaves = f"import subprocess; open('{tmp_path}/pid', 'w').write(str(subprocess.Popen(['sleep', '600']).pid))"
    command = [sys.executable, "-c", leaves]
    ended = run(command, tmp_path, foreign_environment(tmp_path), tmp_path / "log", 60, threading.Event())
    assert ended.exit_code == 0
    assert eventually(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_a_program_that_prints_too_much_is_ended(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("services.trainer.attempt.processes.MAX_LOG_BYTES", 1000)
    command = [sys.executable, "-c", "import time; print('x' * 5000, flush=True); time.sleep(600)"]
    ended = run(command, tmp_path, foreign_environment(tmp_path), tmp_path / "log", 60, threading.Event())
    assert ended.limit_broken == "printed more than 1000 bytes"
