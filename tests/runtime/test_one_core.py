"""Pinning a process to one CPU core."""

import os
import subprocess
import sys

import pytest

from headgate.runtime.one_core import core_for
from tests.waiting import PATIENCE_SECONDS

PROGRAM = """
import os, threading
from headgate.runtime.one_core import pin_to_one_core

done = threading.Event()
before = threading.Thread(target=done.wait, daemon=True)
before.start()
pin_to_one_core("registry-0")
after = threading.Thread(target=done.wait, daemon=True)
after.start()
threads = threading.main_thread(), before, after
(cores,) = {frozenset(os.sched_getaffinity(thread.native_id)) for thread in threads}
assert len(cores) == 1
"""

FORBIDDEN = """
import os
from headgate.runtime.one_core import pin_to_one_core

def refuse(thread, cores):
    raise PermissionError("not allowed")

os.sched_setaffinity = refuse
pin_to_one_core("registry-0")
"""

on_linux = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot pin threads to a core")


def run(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=PATIENCE_SECONDS, capture_output=True, text=True
    ).stderr


@on_linux
def test_earlier_and_later_threads_run_on_the_same_core() -> None:
    run(PROGRAM)


@on_linux
def test_a_process_that_may_not_be_pinned_logs_a_warning_and_goes_on() -> None:
    assert "not pinned to one CPU core" in run(FORBIDDEN)


def test_replicas_take_different_cores_while_there_are_enough() -> None:
    assert len({core_for(f"kafka://broker registry-{number}", {0, 1, 4, 7}) for number in range(4)}) == 4


@pytest.mark.parametrize("name", ["", "registry", "registry-7", "7", "größe-3"])
def test_a_name_always_has_the_same_core_of_the_given_ones(name: str) -> None:
    assert core_for(name, {3}) == 3
    assert core_for(name, {2, 3, 5}) == core_for(name, [5, 3, 2])
