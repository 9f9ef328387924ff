"""The parts that the demo and the journeys use: a running `headgate up`, a repository, live traffic and the facts.

They use only what users have: the command line, gRPC and Git.
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

from headgate.client.predict import answer, rows_request
from headgate.client.stubs import Stubs, serves
from headgate.client.tls import ClientTls
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import ROUTING_KEY_METADATA
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service

START_SECONDS = 120.0
STOP_SECONDS = 40.0
COMMAND_SECONDS = 180.0
CALL_SECONDS = 10.0
TICK_SECONDS = 0.1

ENVIRONMENT = "production"


class UnexpectedResult(Exception):
    """Something ended otherwise than expected, or not in time."""


class Running:
    """`headgate up` in its own folder, on free ports. It uses the embedded log unless another one is named.

    `settings` are more environment variables for `headgate up` and for every command. `options` are those of
    `headgate up`, such as `--insecure`.
    """

    def __init__(
        self, folder: Path, log: str = "", settings: Mapping[str, str] | None = None, options: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.options = options
        self._environ = {**environ(), **(settings or {})}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._stubs: Stubs | None = None

    @property
    def stubs(self) -> Stubs:
        if self._stubs is None:
            raise UnexpectedResult("headgate is not up")
        return self._stubs

    def __enter__(self) -> Running:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts Headgate. Returns once every service answers."""
        home = self.folder / ".headgate"
        home.mkdir(parents=True, exist_ok=True)
        with (home / "up.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*headgate(), "up", "--base-port", "0", *self.options],
                cwd=self.folder,
                env={**self._environ, "HEADGATE_LOG": self._log},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        ports: dict[str, int] = {}
        while not ports or not all(serves(f"127.0.0.1:{port}", tls=self.tls()) for port in ports.values()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise UnexpectedResult(f"headgate up is not ready: {(home / 'up.log').read_text()[-2000:]}")
            ports = self._ports()
            time.sleep(TICK_SECONDS)
        self._stubs = self.caller(self.token())

    def caller(self, token: str) -> Stubs:
        """Stubs of somebody with this token."""
        return Stubs(self.address("registry"), self.address("gateway"), tls=self.tls(), token=token)

    def tls(self) -> ClientTls | None:
        """How the services are called; None where they have no certificates."""
        found = self._running_services().get("tls")
        return ClientTls(Path(found["ca"])) if found else None

    def token(self) -> str:
        """The token of who has started the services; empty where they ask for none."""
        file = self.folder / ".headgate" / "token"
        return file.read_text().strip() if self.tls() else ""

    def address(self, service: str) -> str:
        """The address of the service's gRPC server."""
        return f"127.0.0.1:{self._ports()[service]}"

    def pids(self) -> dict[str, int]:
        """The process id of each service that runs now."""
        if self._process is None:
            return {}
        up = self._process.pid
        found = {}
        for pid in Path(f"/proc/{up}/task/{up}/children").read_text().split():
            # A process that has just ended, or has only just started, shows no command.
            named = re.search(rb"services\.(\w+)", Path(f"/proc/{pid}/cmdline").read_bytes())
            if named:
                found[named[1].decode()] = int(pid)
        return found

    def metrics_ports(self) -> dict[str, int]:
        """The HTTP port of each service."""
        return dict(self._running_services()["metrics_ports"])

    def rest_port(self) -> int:
        """The port of the gateway's REST server."""
        return int(self._running_services()["rest_port"])

    def log_url(self) -> str:
        """The address of the log that the services use."""
        return str(self._running_services()["log"])

    def _ports(self) -> dict[str, int]:
        return dict(self._running_services().get("ports", {}))

    def _running_services(self) -> dict[str, Any]:
        """What this object's `headgate up` has recorded about its services; empty until it has."""
        file = self.folder / ".headgate" / "up.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        is_ours = self._process is not None and found.get("pid") == self._process.pid
        return found if is_ours else {}

    def stop(self) -> None:
        if self._stubs is not None:
            self._stubs.close()
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """Ends everything at once, like a power cut: SIGKILL for `headgate up`, and its services end with it."""
        if self._stubs is not None:
            self._stubs.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def command(self, *arguments: str) -> str:
        """Runs `headgate ARGUMENTS` in the folder and returns its data. Raises UnexpectedResult when it fails."""
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
            printed = f"{ended.stdout}{ended.stderr}".strip()
            raise UnexpectedResult(f"headgate {arguments[0]} ended with {ended.returncode}: {printed}")
        return ended.stdout


def headgate() -> list[str]:
    return [sys.executable, "-c", "from headgate.cli.entry import main; main()"]


def environ() -> dict[str, str]:
    """This process's environment, without settings that belong to another Headgate."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADGATE_")}
    return {**kept, "COLUMNS": "160"}


class Repository:
    """A new Git repository with the files of an example. Each commit applies one overlay."""

    def __init__(self, folder: Path, example: Path) -> None:
        self.folder = folder
        self._example = example
        ignored = shutil.ignore_patterns("commits", "__pycache__", ".pytest_cache")
        shutil.copytree(example, folder, ignore=ignored)
        self._git("init", "-q", "-b", "main")

    def commit(self, overlay: str) -> str:
        """Commits the example's files, replaced by those of commits/OVERLAY. Returns the message's first line."""
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
    """Reads a stream's facts from the registry, in a thread. `on_fact` gets each one once, in order."""

    def __init__(self, stubs: Stubs, stream: str, on_fact: Callable[[facts.LifecycleRecord], None]) -> None:
        self.records: list[facts.LifecycleRecord] = []
        self._on_fact = on_fact
        self._changed = threading.Condition()
        self._call = stubs.registry.WatchHistory(registry_service.WatchHistoryRequest(stream=stream))
        self._thread = threading.Thread(target=self._run, name="facts", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._call.cancel()
        self._thread.join(STOP_SECONDS)

    def wait(
        self, matches: Callable[[facts.LifecycleRecord], bool], what: str, seconds: float
    ) -> facts.LifecycleRecord:
        """The first past or future fact that matches. Raises UnexpectedResult when none comes in time."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for record in self.records:
                    if matches(record):
                        return record
                left = deadline - time.monotonic()
                if left <= 0:
                    raise UnexpectedResult(f"{what}: not within {seconds:g} s")
                self._changed.wait(left)

    def _run(self) -> None:
        try:
            for response in self._call:
                record = response.record.record
                self._on_fact(record)
                with self._changed:
                    self.records.append(record)
                    self._changed.notify_all()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:
                print(f"the registry's history ended: {error.code().name}", file=sys.stderr)


class Traffic:
    """Clients that request predictions all the time. Each request has its own key, and some lack a value.

    While `most_keys` is set, each client uses only so many keys again and again.
    """

    def __init__(self, stubs: Stubs, model: str, rows: Sequence[Sequence[float]], per_second: float) -> None:
        self.answered: Counter[tuple[str, int]] = Counter()
        """The number of answers, by the weights at that time and the version that answered."""
        self.bad: Counter[int] = Counter()
        """The number of answers that are not a number, by version."""
        self.failed: Counter[str] = Counter()
        """The number of calls without an answer, by status."""
        self.weights = ""
        """The present weights, as the caller sets them; empty while they change."""
        self.most_keys: int | None = None
        self._stubs = stubs
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
        metadata = self._stubs.inference.ModelMetadata(
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
            # A client that is late goes on at its rate, and does not catch up with a burst.
            next_at = max(next_at + self._pause_seconds, time.monotonic())
            number += 1
            key = number % self.most_keys if self.most_keys else number
            self._ask(f"patient-{client}-{key}", with_missing_value(chance, self._rows))

    def _ask(self, key: str, row: Sequence[float]) -> None:
        weights = self.weights
        try:
            response = self._stubs.inference.ModelInfer(
                rows_request(self._model, [row], self._input),
                metadata=((ROUTING_KEY_METADATA, key),),
                timeout=CALL_SECONDS,
            )
        except grpc.RpcError as error:
            with self._lock:
                self.failed[error.code().name] += 1
            return
        answered = answer(response)
        with self._lock:
            self.answered[weights if weights == self.weights else "", answered.version] += 1
            self.bad[answered.version] += answered.is_bad


CLIENTS = 3
MISSING_SHARE = 0.08


def with_missing_value(chance: random.Random, rows: Sequence[Sequence[float]]) -> list[float]:
    """One of the rows. About one in twelve lacks a measurement, like rows from a real clinic."""
    row = list(chance.choice(rows))
    if chance.random() < MISSING_SHARE:
        row[chance.randrange(len(row))] = math.nan
    return row


def read_rows(file: Path) -> list[list[float]]:
    """The features of each row, without the label in the last column."""
    with file.open(newline="") as lines:
        reader = csv.reader(lines)
        next(reader)
        return [[float(cell) for cell in row[:-1]] for row in reader]
