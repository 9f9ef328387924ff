"""A process that keeps to one core."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, threading
from headgate.runtime.one_core import keep_to_one_core

done = threading.Event()
before = threading.Thread(target=done.wait)
before.start()
keep_to_one_core()
after = threading.Thread(target=done.wait)
after.start()
threads = threading.main_thread(), before, after
(cores,) = {frozenset(os.sched_getaffinity(thread.native_id)) for thread in threads}
assert len(cores) == 1
done.set()
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system keeps no thread on a core")
def test_threads_from_before_and_after_stay_on_the_core() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=30)
