"""Measures a webhook from its bytes to its event: a push of GitHub's form, 10,000 models, an embedded log."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median, quantiles

from starlette.applications import Starlette

from headgate.domain.state import ModelState
from headgate.log.open import open_log
from headgate.log.startup import create_declared
from headgate.runtime.rpc.rate_limit import Rate
from headgate.v1 import resources_pb2 as resources
from services.portal.webhooks import app as webhooks
from services.portal.webhooks.secret_files import SecretFiles
from tests.bench.results import Results, Slice
from tests.portal.loop import Loop, ask
from tests.portal.webhooks.payloads import AT_MS, SECRET, URL, github_push, signed

MODELS = 10_000
PUSHES, QUICK_PUSHES = 400, 100
SLICES, QUICK_SLICES = 5, 3


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Sends pushes one after the other, each of another commit."""
    pushes, slices = (QUICK_PUSHES, QUICK_SLICES) if quick else (PUSHES, SLICES)
    webhooks.RATE = Rate(per_second=1e9, burst=1_000_000)
    with tempfile.TemporaryDirectory() as folder, closing(open_log(f"sqlite://{folder}/log.db")) as log:
        create_declared(log)
        (Path(folder) / "acme").write_text(SECRET)
        hooks = webhooks.Webhooks(_models, SecretFiles(Path(folder)), log, lambda: AT_MS)
        app, loop = Starlette(routes=hooks.routes()), Loop()
        try:
            measured = [_slice(app, loop, number, pushes) for number in range(slices)]
        finally:
            loop.close()
    own = results.add("webhook to event, 10,000 models", "headgate", measured)
    results.compare("webhook, 100 ms to the p99", 100 / own["ms p99"], 2, 5)


def _slice(app: Starlette, loop: Loop, number: int, pushes: int) -> Slice:
    took_ms = []
    for count in range(pushes):
        body = json.dumps(github_push(after=f"{number * pushes + count + 1:040x}")).encode()
        headers = [*signed("github", body).items(), ("x-github-event", "push")]
        began = time.perf_counter()
        answer = loop.run(ask(app, "POST", "/webhooks/github/acme", body, headers))
        took_ms.append((time.perf_counter() - began) * 1e3)
        if answer.status != 202:
            raise AssertionError(f"a push was answered {answer.status}: {answer.body!r}")
    return {"ms": median(took_ms), "ms p99": quantiles(took_ms, n=100)[-1]}


_STATES: dict[str, ModelState] = {}


@contextmanager
def _models() -> Iterator[dict[str, ModelState]]:
    if not _STATES:
        _STATES.update({f"model-{number:05}": ModelState(f"model-{number:05}") for number in range(MODELS)})
        declared = resources.Repository(repository=URL, branch="main", secret="acme")
        _STATES["model-00000"].model.repositories.append(declared)
    yield _STATES
