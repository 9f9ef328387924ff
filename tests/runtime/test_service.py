"""The life of a service process."""

import json
import os
import signal
import subprocess
import sys

PROGRAM = """
from headgate.runtime.service import run
from headgate.runtime.settings import SettingsError

class Quiet:
    name = "quiet"
    def start(self):
        return 7
    def stop(self, grace_seconds):
        print("stopped", flush=True)

def build():
    if {broken}:
        raise SettingsError(["HEADGATE_LOG is not set", "HEADGATE_PORT is not set"])
    return Quiet()

run(build)
"""


def start(broken: bool) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM.format(broken=broken)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_service_says_ready_and_ends_0_after_a_signal() -> None:
    with start(broken=False) as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        assert (line["message"], line["service"]) == ("ready quiet port=7", "quiet")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "stopped\n")


def test_bad_settings_end_78_with_every_problem_in_the_log() -> None:
    with start(broken=True) as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 78
    assert [json.loads(line)["message"] for line in err.splitlines()] == [
        "HEADGATE_LOG is not set",
        "HEADGATE_PORT is not set",
    ]


def test_a_service_whose_parent_is_another_process_stops_at_once() -> None:
    environ = os.environ | {"HEADGATE_PARENT": "1"}
    command = [sys.executable, "-c", PROGRAM.format(broken=False)]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
