"""The cost of knowing who calls and whether it may: of a decision, of a seen token, of a create, of a prediction.

The first two are compared with their budgets, the others with the same service whose callers prove nothing.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from headgate.access.decision import decide
from headgate.access.grants import ALL, Bound, Grant, Grants, Target
from headgate.access.roles import Role
from headgate.access.subject import How, Kind, Subject
from headgate.access.table import row_of
from headgate.client.stubs import Stubs
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.call_check import Shown
from headgate.v1 import registry_service_pb2 as registry_service
from services.gateway.callers import MODEL_INFER
from services.registry import app as registry
from services.registry.settings import Settings
from tests.bench.gateway_process import BENCH_TOKEN
from tests.bench.results import Results, Slice
from tests.bench.tls import MOST_OF_PREDICT, compare_calls, predicting
from tests.certificates.issued import Issued
from tests.runtime.authentication.granted import Granted
from tests.runtime.authentication.provider import ISSUER, jwk, jwks, rsa_key, token

DECISIONS, QUICK_DECISIONS = 400_000, 50_000
SLICES = 5
GRANTS = 1_000
DECISION_US, SEEN_TOKEN_US = 1.0, 3.0
CREATES, QUICK_CREATES = 400, 100
ADMINISTRATOR = "root@example.com"


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures all four."""
    _measure_decision(results, quick)
    _measure_seen_tokens(results, quick)
    _measure_create(results, quick)
    _measure_predict(results, cache, quick)


def _measure_decision(results: Results, quick: bool) -> None:
    """Decides on a promotion among many grants: the subject has an allow by a prefix, and a deny of another model."""
    count = QUICK_DECISIONS if quick else DECISIONS
    others = [Grant(f"g{n}", f"user-{n}", Role.VIEWER, Bound(ALL), Bound(ALL)) for n in range(GRANTS)]
    mine = [
        Grant("a", "ada", Role.VIEWER, Bound(ALL), Bound(ALL)),
        Grant("b", "ada", Role.OPERATOR, Bound("fraud-*"), Bound("production")),
        Grant("c", "ada", Role.OPERATOR, Bound("secret"), Bound(ALL), deny=True),
    ]
    grants = Grants([*others, *mine])
    row = row_of("/headgate.v1.ReleaseService/PromoteRelease")
    ada, target = Subject("ada", Kind.PERSON, How.JWT), Target("fraud-eu", "production", {"team": "risk"})
    assert decide(ada, grants, row, target) is None
    slices = [_cost(lambda: decide(ada, grants, row, target), count) for _ in range(SLICES)]
    figures = results.add("deciding on a call", "headgate", slices)
    results.compare("access, 1 us against a decision", DECISION_US / figures["us CPU"], 1, 1)


def _measure_seen_tokens(results: Results, quick: bool) -> None:
    """Proves a caller to a gateway by a token that it has seen before, of a provider and of its own."""
    granted, count = Granted(), QUICK_DECISIONS if quick else DECISIONS
    check = granted.callers(Metrics("gateway")).check
    for whose, secret in (("of a provider", token()), ("of its own", granted.made_token("bench"))):
        shown = Shown(MODEL_INFER, [f"Bearer {secret}"], (), str)
        check.proof(shown)
        slices = [_cost(partial(check.seen, shown), count) for _ in range(SLICES)]
        figures = results.add(f"proving by a seen token {whose}", "headgate", slices)
        results.compare(f"access, 3 us against a seen token {whose}", SEEN_TOKEN_US / figures["us CPU"], 1, 1)


def _measure_create(results: Results, quick: bool) -> None:
    """Creates models one after the other, in turns with and without a proof."""
    count = QUICK_CREATES if quick else CREATES
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        (folder / "keys.json").write_bytes(_keys())
        plain = Settings(log=f"sqlite://{folder / 'plain.db'}", port=0)
        proven = replace(
            plain,
            log=f"sqlite://{folder / 'proven.db'}",
            authentication=True,
            authentication_administrators=ADMINISTRATOR,
            authentication_keys=str(folder / "keys.json"),
            authentication_issuer=ISSUER,
        )
        now = int(time.time())
        secret = token(sub=ADMINISTRATOR, nbf=now - 60, exp=now + 3_600)
        callers = [running.enter_context(_caller(*each)) for each in ((plain, ""), (proven, secret))]
        slices = [[_create(caller, slice_, count) for caller in callers] for slice_ in range(SLICES)]
    off = results.add("creating a model", "no authentication", [each[0] for each in slices])
    on = results.add("creating a model", "authentication", [each[1] for each in slices])
    results.compare("access, a create without against with a proof", off["us p50"] / on["us p50"], 1 / 1.15, 1)


def _measure_predict(results: Results, cache: Path, quick: bool) -> None:
    """Predicts with three gateways in turns: over plain text, over TLS, and over TLS with a token that is asked for."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(dir=cache)))
        issued = Issued(folder)
        tls = issued.caller("user/bench")
        callers = {"plain text": (None, ""), "TLS": (tls, ""), "TLS and a token": (tls, BENCH_TOKEN)}
        calls = {who: predicting(running, issued, *caller) for who, caller in callers.items()}
        compare_calls(results, "predict, proven", calls, MOST_OF_PREDICT, quick)


@contextmanager
def _caller(settings: Settings, secret: str) -> Iterator[Stubs]:
    built = registry.build(settings)
    with Stubs(f"127.0.0.1:{built.start()}", "", "ada", token=secret) as stubs:
        yield stubs
    built.stop(5)


def _create(caller: Stubs, slice_: int, count: int) -> Slice:
    taken = []
    for number in range(count):
        request = registry_service.CreateModelRequest(model=f"m{slice_}-{number}")
        began = time.perf_counter()
        caller.registry.CreateModel(request)
        taken.append(time.perf_counter() - began)
    return {"us p50": median(taken) * 1e6}


def _keys() -> bytes:
    return jwks(jwk(rsa_key("k1"), "k1"))


def _cost(once: Callable[[], object], count: int) -> Slice:
    began = time.process_time()
    for _ in range(count):
        once()
    return {"us CPU": (time.process_time() - began) / count * 1e6}
