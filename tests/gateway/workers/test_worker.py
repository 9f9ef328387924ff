"""One worker as its parent sees it, with small programs in place of the gateway."""

import signal
import subprocess
import sys
from functools import partial

import pytest

from services.gateway.workers import worker as workers
from services.gateway.workers.worker import Worker
from tests import waiting

until = partial(waiting.until, pause_seconds=0.01)
SLEEPS = "import time; time.sleep(60)"
SAYS = """
import os, socket, struct
parent = socket.socket(fileno=int(os.environ["HEADGATE_GATEWAY_WORKER"]))
parent.sendall(b"".join(struct.pack(">cI", kind, len(content)) + content for kind, content in {messages}))
parent.recv(100)
"""


@pytest.fixture
def run(monkeypatch):
    """Makes a worker that runs this code, and ends it."""
    made = []

    def worker(code):
        monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", code))
        made.append(Worker(0, {}, lambda: None, lambda take: take()))
        return made[-1]

    yield worker
    for each in made:
        each.signal(signal.SIGKILL)
        until(each.has_ended, "the end of the worker")


def test_a_worker_that_cannot_be_started_is_tried_again_and_harms_nobody(run, monkeypatch, caplog):
    worker = run(SLEEPS)
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", lambda *_, **__: (_ for _ in ()).throw(OSError("no process left")))
        worker.keep_running()
    assert "a worker cannot be started: no process left" in caplog.text
    until(lambda: worker.keep_running() or not worker.has_ended(), "the next try")


def test_a_worker_that_says_that_a_part_of_it_has_ended_is_killed_and_started_again(run, caplog):
    worker = run(SAYS.format(messages=[(b"O", b""), (b"E", b"Follower")]))
    worker.keep_running()
    until(lambda: "a worker ended by signal 9" in caplog.text or worker.keep_running(), "the end")
    assert not worker.is_open
    until(lambda: worker.keep_running() or not worker.has_ended(), "the next process")


def test_a_worker_that_cannot_be_heard_any_more_is_killed(run, caplog):
    worker = run(SAYS.format(messages=[(b"O", b"")]).replace("parent.recv(100)", f"parent.close(); {SLEEPS}"))
    worker.keep_running()
    until(lambda: "a worker ended by signal 9" in caplog.text or worker.keep_running(), "the end")


def test_a_worker_that_refuses_its_settings_is_told_apart_from_one_that_crashed(run):
    for code, fatal in ((78, 78), (3, 0)):
        worker = run(f"raise SystemExit({code})")
        worker.keep_running()
        until(worker.has_ended, "the end")
        worker.keep_running()
        assert worker.fatal_exit == fatal
