"""What the demo and the journeys drive Headgate with: a running `headgate up`, a repository, live traffic, the facts.

Everything here goes through the stubs a user has: the command line, gRPC, Git.
"""

from __future__ import annotations

import csv
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from headgate.client.predict import ROUTING_KEY, answer, infer_request
from headgate.client.stubs import Stubs, serves
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service

START_SECONDS = 120.0
STOP_SECONDS = 40.0
COMMAND_SECONDS = 60.0
CALL_SECONDS = 10.0
TICK_SECONDS = 0.1

ENVIRONMENT = "production"


class StoryDiffers(Exception):
    """Something did not come out as told, or not in time."""


class Running:
    """`headgate up` in a folder of its own, on free ports; over its embedded log unless another one is named.

    `settings` are further environment variables of `up` and of every command.
    """

    def __init__(self, folder: Path, log: str = "", settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._environ = {**environ(), **(settings or {})}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._doors: Stubs | None = None

    @property
    def stubs(self) -> Stubs:
        if self._doors is None:
            raise StoryDiffers("headgate is not up")
        return self._doors

    def __enter__(self) -> Running:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns once every service answers."""
        home = self.folder / ".headgate"
        home.mkdir(parents=True, exist_ok=True)
        with (home / "up.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*headgate(), "up", "--base-port", "0"],
                cwd=self.folder,
                env={**self._environ, "HEADGATE_LOG": self._log},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        ports: dict[str, int] = {}
        while not ports or not all(serves(f"127.0.0.1:{port}") for port in ports.values()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StoryDiffers(f"headgate up is not ready: {(home / 'up.log').read_text()[-2000:]}")
            ports = self._ports()
            time.sleep(TICK_SECONDS)
        self._doors = Stubs(f"127.0.0.1:{ports['registry']}", f"127.0.0.1:{ports['gateway']}")

    def address(self, service: str) -> str:
        """Where the service's gRPC door is."""
        return f"127.0.0.1:{self._ports()[service]}"

    def pids(self) -> dict[str, int]:
        """The process of each service that runs now."""
        if self._process is None:
            return {}
        up = self._process.pid
        found = {}
        for pid in Path(f"/proc/{up}/task/{up}/children").read_text().split():
            # One that has just ended, or has not begun, shows no command.
            named = re.search(rb"services\.(\w+)", Path(f"/proc/{pid}/cmdline").read_bytes())
            if named:
                found[named[1].decode()] = int(pid)
        return found

    def metrics_ports(self) -> dict[str, int]:
        """The port of each service's metrics door."""
        return dict(self._said()["metrics_ports"])

    def log_url(self) -> str:
        """The address of the log they meet in."""
        return str(self._said()["log"])

    def _ports(self) -> dict[str, int]:
        return dict(self._said().get("ports", {}))

    def _said(self) -> dict[str, Any]:
        """What our own `up` says of its services; empty until it has said so."""
        file = self.folder / ".headgate" / "up.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        is_ours = self._process is not None and found.get("pid") == self._process.pid
        return found if is_ours else {}

    def stop(self) -> None:
        if self._doors is not None:
            self._doors.close()
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """Ends everything at once, as a power cut would: SIGKILL for `up`, and its services die with it."""
        if self._doors is not None:
            self._doors.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def command(self, *arguments: str) -> str:
        """Runs `headgate ARGUMENTS` in the folder; the data it printed. Raises StoryDiffers when it fails."""
        ended = subprocess.run(
            [*headgate(), *arguments],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if ended.returncode != 0:
            told = f"{ended.stdout}{ended.stderr}".strip()
            raise StoryDiffers(f"headgate {arguments[0]} ended with {ended.returncode}: {told}")
        return ended.stdout


def headgate() -> list[str]:
    return [sys.executable, "-c", "from headgate.cli.main import main; main()"]


def environ() -> dict[str, str]:
    """Ours without the addresses of another Headgate."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HEADGATE_")}
    return {**ours, "COLUMNS": "160"}


class Repository:
    """A fresh Git repository that begins as an example and takes one overlay after the other."""

    def __init__(self, folder: Path, example: Path) -> None:
        self.folder = folder
        self._example = example
        ignored = shutil.ignore_patterns("commits", "__pycache__", ".pytest_cache")
        shutil.copytree(example, folder, ignore=ignored)
        self._git("init", "-q", "-b", "main")

    def commit(self, overlay: str) -> str:
        """The example as it is, and over it the files of commits/OVERLAY; returns the message's first line."""
        for source in (self._example, self._example / "commits" / overlay):
            for file in source.rglob("*"):
                inside = file.relative_to(source)
                if file.is_file() and file.name != "MESSAGE" and inside.parts[0] not in ("commits", "__pycache__"):
                    (self.folder / inside).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, self.folder / inside)
        message = (self._example / "commits" / overlay / "MESSAGE").read_text()
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", message)
        return message.partition("\n")[0]

    def _git(self, *arguments: str) -> None:
        author = ["-c", "user.name=Demo", "-c", "user.email=demo@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(
            ["git", "-C", str(self.folder), *author, *arguments],
            check=True,
            timeout=COMMAND_SECONDS,
            capture_output=True,
        )


class Facts:
    """The model's facts as the registry tells them, in a thread; each is handed on once, in order."""

    def __init__(self, stubs: Stubs, stream: str, tell: Callable[[facts.LifecycleRecord], None]) -> None:
        self.records: list[facts.LifecycleRecord] = []
        self._tell = tell
        self._changed = threading.Condition()
        self._call = stubs.registry.WatchHistory(registry_service.WatchHistoryRequest(stream=stream))
        self._thread = threading.Thread(target=self._run, name="facts", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._call.cancel()
        self._thread.join(STOP_SECONDS)

    def wait(self, found: Callable[[facts.LifecycleRecord], bool], what: str, seconds: float) -> facts.LifecycleRecord:
        """The first fact that fits, past or to come. Raises StoryDiffers when it does not come in time."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for record in self.records:
                    if found(record):
                        return record
                left = deadline - time.monotonic()
                if left <= 0:
                    raise StoryDiffers(f"{what}: not within {seconds:g} s")
                self._changed.wait(left)

    def _run(self) -> None:
        try:
            for response in self._call:
                record = response.record.record
                self._tell(record)
                with self._changed:
                    self.records.append(record)
                    self._changed.notify_all()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:
                print(f"the registry's history ended: {error.code().name}", file=sys.stderr)


class Traffic:
    """Clients that keep asking for predictions, each request with a key of its own, some with a missing value."""

    def __init__(self, stubs: Stubs, model: str, rows: Sequence[Sequence[float]], per_second: float) -> None:
        self.answered: Counter[tuple[str, int]] = Counter()
        """Answers by the weights in force and the version that gave them."""
        self.bad: Counter[int] = Counter()
        """Answers that are no number, by version."""
        self.failed: Counter[str] = Counter()
        """Calls that were not answered, by status."""
        self.weights = ""
        """What the caller says is in force; empty while it changes."""
        self._doors = stubs
        self._model = model
        self._rows = rows
        self._pause_seconds = CLIENTS / per_second
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"client-{number}", daemon=True)
            for number in range(CLIENTS)
        ]

    def start(self) -> None:
        metadata = self._doors.inference.ModelMetadata(
            inference.ModelMetadataRequest(name=self._model), timeout=CALL_SECONDS
        )
        self._input = metadata.inputs[0].name
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(CALL_SECONDS)

    def counts(self) -> Counter[tuple[str, int]]:
        with self._lock:
            return Counter(self.answered)

    def _run(self, client: int) -> None:
        chance = random.Random(client)
        next_at = time.monotonic()
        number = 0
        while not self._stopping.wait(max(0.0, next_at - time.monotonic())):
            # A client that fell behind goes on at its pace and does not catch up in a burst.
            next_at = max(next_at + self._pause_seconds, time.monotonic())
            number += 1
            self._ask(f"patient-{client}-{number}", with_a_blank(chance, self._rows))

    def _ask(self, key: str, row: Sequence[float]) -> None:
        weights = self.weights
        try:
            response = self._doors.inference.ModelInfer(
                infer_request(self._model, [row], self._input), metadata=((ROUTING_KEY, key),), timeout=CALL_SECONDS
            )
        except grpc.RpcError as error:
            with self._lock:
                self.failed[error.code().name] += 1
            return
        got = answer(response)
        is_bad = any(not math.isfinite(value) for values in got.outputs.values() for value in values)
        with self._lock:
            self.answered[weights if weights == self.weights else "", got.version] += 1
            self.bad[got.version] += is_bad


CLIENTS = 3
BLANK_SHARE = 0.08


def with_a_blank(chance: random.Random, rows: Sequence[Sequence[float]]) -> list[float]:
    """One of the rows; about one in twelve lacks a measurement, as rows from a real clinic do."""
    row = list(chance.choice(rows))
    if chance.random() < BLANK_SHARE:
        row[chance.randrange(len(row))] = math.nan
    return row


def read_rows(file: Path) -> list[list[float]]:
    """The features of each row; the last column is the label and stays behind."""
    with file.open(newline="") as lines:
        reader = csv.reader(lines)
        next(reader)
        return [[float(cell) for cell in row[:-1]] for row in reader]
