"""Services as processes on one log: their ports, their log lines, and the time that they take to end after SIGTERM."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from headgate.artifacts.keys import create_keys
from headgate.log.open import open_log
from headgate.log.topics import TOPICS
from tests.metrics.exposed import get, until
from tests.server_process import free_ports
from tests.waiting import PATIENCE_SECONDS


class Installation:
    """A folder with a log, keys and artifacts."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder = folder
        self.url = url or f"sqlite://{folder}/log.db"
        self.key = create_keys(folder / "keys")
        self.log = open_log(self.url)
        self.log.create_topics(TOPICS)

    @contextmanager
    def running(self, service: str, name: str = "", grace_seconds: float = 10.0) -> Iterator["ServiceProcess"]:
        """The service as a process. It is killed at the end if it still runs."""
        process = ServiceProcess(self, service, name or f"{service}-0", grace_seconds)
        try:
            yield process
        finally:
            process.close()


class ServiceProcess:
    def __init__(self, installation: Installation, service: str, name: str, grace_seconds: float) -> None:
        self.port, self.metrics_port = free_ports(2)
        self.lines: list[str] = []
        settings = {
            "LOG": installation.url,
            "ARTIFACTS": (installation.folder / "artifacts").as_uri(),
            "KEYS": str(installation.folder / "keys"),
            "WORK": str(installation.folder / "work"),
            "NAME": name,
            "PORT": str(self.port),
            "METRICS_PORT": str(self.metrics_port),
            "GRACE_SECONDS": str(grace_seconds),
        }
        environ = os.environ | {f"HEADGATE_{field}": value for field, value in settings.items()}
        command = [sys.executable, "-m", f"services.{service}"]
        self._process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")

    def await_ready(self) -> "ServiceProcess":
        """Waits until /readyz reports that the service is ready."""
        until(lambda: self.readiness() == (200, "ready"), f"{self.lines} ready")
        return self

    def readiness(self) -> tuple[int, str]:
        """Status and text of /readyz; 0 and "" while the port is closed."""
        try:
            status, body = get(self.metrics_port, "/readyz")
        except OSError:
            return 0, ""
        return status, body.strip()

    def health(self, service: str = "") -> "health_pb2.HealthCheckResponse.ServingStatus":
        request = health_pb2.HealthCheckRequest(service=service)
        return health_pb2_grpc.HealthStub(self.channel).Check(request, timeout=PATIENCE_SECONDS).status

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def exit_code(self) -> tuple[int, float]:
        """Waits for the end of the process. Returns its exit code, and the seconds that it took from now on."""
        began = time.monotonic()
        code = self._process.wait(PATIENCE_SECONDS)
        return code, time.monotonic() - began

    def messages(self) -> list[str]:
        """The messages of its log lines. Call it after the end of the process."""
        self._reader.join(PATIENCE_SECONDS)
        return [json.loads(line)["message"] for line in self.lines if line.startswith("{")]

    def close(self) -> None:
        self.channel.close()
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr is not None
        self.lines.extend(self._process.stderr)
