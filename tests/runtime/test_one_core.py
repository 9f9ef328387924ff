"""A process that is pinned to one CPU core."""

import os
import subprocess
import sys

import pytest

from headgate.runtime.one_core import core_for
from tests.waiting import PATIENCE_SECONDS

PROGRAM = """
import os, threading
from headgate.runtime.one_core import keep_to_one_core

done = threading.Event()
before = threading.Thread(target=done.wait, daemon=True)
before.start()
keep_to_one_core("registry-0")
after = threading.Thread(target=done.wait, daemon=True)
after.start()
threads = threading.main_thread(), before, after
(cores,) = {frozenset(os.sched_getaffinity(thread.native_id)) for thread in threads}
assert len(cores) == 1
"""

FORBIDDEN = """
import os
from headgate.runtime.one_core import keep_to_one_core

def refuse(thread, cores):
    raise PermissionError("not allowed")

os.sched_setaffinity = refuse
keep_to_one_core("registry-0")
"""

on_linux = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system keeps no thread on a core")


def run(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=PATIENCE_SECONDS, capture_output=True, text=True
    ).stderr


@on_linux
def test_threads_from_before_and_after_stay_on_the_core() -> None:
    run(PROGRAM)


@on_linux
def test_a_system_that_forbids_it_is_told_of_and_stops_nobody() -> None:
    assert "not pinned to one CPU core" in run(FORBIDDEN)


def test_replicas_take_different_cores_while_there_are_enough() -> None:
    assert len({core_for(f"kafka://broker registry-{number}", {0, 1, 4, 7}) for number in range(4)}) == 4


@pytest.mark.parametrize("name", ["", "registry", "registry-7", "7", "größe-3"])
def test_a_name_has_the_same_core_every_time_and_one_that_is_there(name: str) -> None:
    assert core_for(name, {3}) == 3
    assert core_for(name, {2, 3, 5}) == core_for(name, [5, 3, 2])
