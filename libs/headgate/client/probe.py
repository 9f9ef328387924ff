"""`python -m headgate.client.probe` checks whether the service of this container is ready; the images have no curl.

It asks `/readyz` on HEADGATE_METRICS_PORT, by TLS where the service speaks it. Without that port it asks gRPC health on
HEADGATE_PORT.
It exits with 0 when the service takes work. Otherwise it prints the reason and exits with 1, with 2 for a wrong port.
"""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headgate.domain.printable import printable
from headgate.runtime.settings import SettingsError, from_env
from headgate.runtime.tls import trusting

TIMEOUT_SECONDS = 3.0
HOST = "127.0.0.1"
EXIT_USAGE = 2


@dataclass(frozen=True, slots=True)
class _Ports:
    metrics_port: int = 0
    port: int = 0
    tls_certificate: Path | None = None


def problem(environ: Mapping[str, str]) -> str:
    """Why the service is not ready; empty when it is. Raises SettingsError."""
    ports = from_env(_Ports, environ)
    if ports.metrics_port:
        scheme = "https" if ports.tls_certificate else "http"
        return _problem_by_http(f"{scheme}://{HOST}:{ports.metrics_port}/readyz", ports.tls_certificate)
    if ports.tls_certificate:
        return "set HEADGATE_METRICS_PORT: the probe does not ask a gRPC port that speaks TLS"
    if ports.port:
        return _problem_by_grpc(f"{HOST}:{ports.port}")
    return "set HEADGATE_METRICS_PORT or HEADGATE_PORT: the probe needs a port to ask"


def _problem_by_http(url: str, certificate: Path | None) -> str:
    try:
        context = trusting(certificate) if certificate else None
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS, context=context):  # nosec B310
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"{url} answered {error.code}"
    except OSError as error:
        return f"{url}: {error}"


def _problem_by_grpc(address: str) -> str:
    from headgate.client.stubs import serves  # loading it takes ten times as long as an HTTP request

    return "" if serves(address, TIMEOUT_SECONDS) else f"{address} does not answer as healthy"


def main() -> None:
    """Runs the probe on this process's environment."""
    try:
        found = problem(os.environ)
    except SettingsError as error:
        sys.stderr.write(printable(f"the probe cannot ask: {error}") + "\n")
        sys.exit(EXIT_USAGE)
    if found:
        sys.exit(printable(f"not ready: {found}"))


if __name__ == "__main__":
    main()
