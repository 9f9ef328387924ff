"""A real Prometheus for tests: Debian's, with the repository's configuration and rules, on a free port.

It scrapes and evaluates rules every second, and its targets are the services that the test runs.
"""

import json
import shutil
import signal
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from headgate.client.tls import ClientTls
from tests.server_process import HOST, ServerUnavailable, await_ready, end, free_ports, launch
from tests.waiting import PATIENCE_SECONDS

MONITORING = Path(__file__).resolve().parent.parent / "k8s" / "monitoring"
INTERVAL = "1s"

Series = list[dict[str, Any]]


class QueryFailed(Exception):
    """Prometheus did not answer, or answered with an error."""


class PrometheusServer:
    """One Prometheus. `targets` maps each service to its HTTP port; with `tls` they speak TLS."""

    def __init__(self, program: str, targets: Mapping[str, int], tls: ClientTls | None = None) -> None:
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="headgate-prometheus-"))
        (self._port,) = free_ports(1)
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(targets, tls)))

    def __enter__(self) -> Self:
        command = [
            self._program,
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={HOST}:{self._port}",
            "--log.level=warn",
        ]
        output = self._folder / "prometheus.log"
        self._process = launch(command, output)
        try:
            await_ready(self._process, output, self._is_ready, PATIENCE_SECONDS)
        except ServerUnavailable:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        end(self._process, signal.SIGTERM)
        shutil.rmtree(self._folder, ignore_errors=True)

    def at(self, expr: str, time_seconds: float) -> Series:
        """The result of a query at one moment. Raises QueryFailed."""
        return self._get("query", {"query": expr, "time": time_seconds})["result"]

    def over(self, expr: str, start_seconds: float, end_seconds: float) -> Series:
        """The result of a query over time, with one point per second up to the end. Raises QueryFailed."""
        span = {"start": start_seconds, "end": end_seconds + 1, "step": 1}
        return self._get("query_range", {"query": expr, **span})["result"]

    def label_values(self, series: str, label: str, start_seconds: float, end_seconds: float) -> list[str]:
        """The values of a label in a series. Raises QueryFailed."""
        span = {"match[]": series, "start": start_seconds, "end": end_seconds}
        return self._get(f"label/{label}/values", span)

    def _get(self, path: str, parameters: Mapping[str, object]) -> Any:
        url = f"http://{HOST}:{self._port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise QueryFailed(f"{parameters}: {error.read().decode(errors='replace')}") from error
        if answer["status"] != "success":
            raise QueryFailed(f"{parameters}: {answer}")
        return answer["data"]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._port}/-/ready", timeout=1.0) as response:
                return bool(response.status == 200)
        except OSError:
            return False


def configuration(targets: Mapping[str, int], tls: ClientTls | None = None) -> dict[str, Any]:
    """The repository's configuration with short intervals and these targets. Raises KeyError for a missing target."""
    settings: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL}
    settings["rule_files"] = [str(MONITORING / pattern) for pattern in settings["rule_files"]]
    if tls is not None:
        settings["scrape_configs"][0] |= {"scheme": "https", "tls_config": {"ca_file": str(tls.ca)}}
    for group in settings["scrape_configs"][0]["static_configs"]:
        group["targets"] = [f"{HOST}:{targets[group['labels']['service']]}"]
    return settings
