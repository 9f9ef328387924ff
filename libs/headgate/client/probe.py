"""python -m headgate.client.probe: is the service of this container ready? For images, which carry no curl.

Asks `/readyz` on HEADGATE_METRICS_PORT, or gRPC health on HEADGATE_PORT where there is no such door.
Exits 0 when the service takes work and 1, with a sentence, when it does not.
"""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

TIMEOUT_SECONDS = 3.0
HOST = "127.0.0.1"


def problem(environ: Mapping[str, str]) -> str:
    """Why the service is not ready; empty when it is."""
    operations, door = environ.get("HEADGATE_METRICS_PORT", "0"), environ.get("HEADGATE_PORT", "0")
    if operations != "0":
        return _asked_by_http(f"http://{HOST}:{operations}/readyz")
    if door != "0":
        return _asked_by_grpc(f"{HOST}:{door}")
    return "neither HEADGATE_METRICS_PORT nor HEADGATE_PORT says where to ask"


def _asked_by_http(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"{url} answered {error.code}"
    except OSError as error:
        return f"{url}: {error}"


def _asked_by_grpc(address: str) -> str:
    from headgate.client.stubs import serves  # takes ten times as long to load as a question by HTTP takes

    return "" if serves(address, TIMEOUT_SECONDS) else f"{address} does not answer as healthy"


def main() -> None:
    """Runs the probe on this process's environment."""
    found = problem(os.environ)
    if found:
        sys.exit(f"not ready: {found}")


if __name__ == "__main__":
    main()
