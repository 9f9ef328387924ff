"""The life of a service process."""

import json
import os
import signal
import subprocess
import sys
import time

from tests.waiting import PATIENCE_SECONDS

PROGRAM = """
import sys, threading
from headgate.runtime import service
from headgate.runtime.settings import SettingsError

service.OVERTIME_SECONDS = 0.3
forever = threading.Event()

class Quiet:
    name = "quiet"
    grace_seconds = {grace_seconds}
    def start(self):
        {start}
        return 7
    def stop(self, grace_seconds):
        {stop}
        print("stopped within", grace_seconds, flush=True)

def build():
    if {broken}:
        raise SettingsError(["HEADGATE_LOG is not set", "HEADGATE_PORT is not set"])
    return Quiet()

service.run(build)
"""


def start(
    broken: bool = False, start: str = "pass", stop: str = "pass", grace_seconds: float = 3.0
) -> "subprocess.Popen[str]":
    program = PROGRAM.format(broken=broken, start=start, stop=stop, grace_seconds=grace_seconds)
    command = [sys.executable, "-c", program]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_line(process: "subprocess.Popen[str]", message: str) -> None:
    """Reads the log until a line starts with this message."""
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["message"].startswith(message):
            return
    raise AssertionError(f"the process ended before it logged {message!r}")


def test_a_service_logs_ready_and_exits_0_after_a_signal() -> None:
    with start(broken=False) as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        assert (line["message"], line["service"]) == ("ready quiet port=7", "quiet")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out) == (0, "stopped within 3.0\n")


def test_bad_settings_exit_78_with_every_problem_in_the_log() -> None:
    with start(broken=True) as process:
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 78
    assert [json.loads(line)["message"] for line in err.splitlines()] == [
        "HEADGATE_LOG is not set",
        "HEADGATE_PORT is not set",
    ]


def test_a_service_whose_parent_has_already_ended_stops_at_once() -> None:
    environ = os.environ | {"HEADGATE_PARENT": "1"}
    command = [sys.executable, "-c", PROGRAM.format(broken=False, start="pass", stop="pass", grace_seconds=3.0)]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_a_signal_during_the_start_ends_the_service() -> None:
    with start(start="print('starting', flush=True); forever.wait()") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "starting\n"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "before it was ready" in err


def test_a_second_signal_does_not_shorten_the_drain() -> None:
    with start(stop="print('draining', flush=True); sys.stdin.readline()") as process:
        await_line(process, "ready")
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "draining\n"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate("done\n", timeout=PATIENCE_SECONDS)
    assert (process.returncode, out) == (0, "stopped within 3.0\n")


def test_a_stop_that_is_stuck_exits_70_after_its_grace() -> None:
    with start(stop="forever.wait()", grace_seconds=0.5) as process:
        await_line(process, "ready")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 70
    assert time.monotonic() - began >= 0.5


def test_a_service_that_fails_to_start_or_to_stop_logs_why_and_exits_1() -> None:
    for parts in ({"start": "raise KeyError('lost')"}, {"stop": "raise KeyError('lost')"}):
        with start(**parts) as process:
            if "stop" in parts:
                await_line(process, "ready")
                process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 1
        assert "KeyError: 'lost'" in err
