"""The cost of deciding whether a subject may make a call, compared with the budget that the data plane has for it."""

import time
from pathlib import Path

from headgate.access.decision import decide
from headgate.access.grants import ALL, Bound, Grant, Grants, Target
from headgate.access.roles import Role
from headgate.access.subject import How, Kind, Subject
from headgate.access.table import row_of
from tests.bench.results import Results, Slice

DECISIONS, QUICK_DECISIONS = 400_000, 50_000
SLICES = 5
GRANTS = 1_000
BUDGET_US = 1.0


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Decides on a promotion among many grants: the subject has an allow by a prefix, and a deny of another model."""
    count = QUICK_DECISIONS if quick else DECISIONS
    others = [Grant(f"g{n}", f"user-{n}", Role.VIEWER, Bound(ALL), Bound(ALL)) for n in range(GRANTS)]
    mine = [
        Grant("a", "ada", Role.VIEWER, Bound(ALL), Bound(ALL)),
        Grant("b", "ada", Role.OPERATOR, Bound("fraud-*"), Bound("production")),
        Grant("c", "ada", Role.OPERATOR, Bound("secret"), Bound(ALL), deny=True),
    ]
    grants = Grants([*others, *mine])
    slices = [_cost(grants, count) for _ in range(SLICES)]
    figures = results.add("deciding on a call", "headgate", slices)
    results.compare("access, 1 us against a decision", BUDGET_US / figures["us CPU/decision"], 1, 1)


def _cost(grants: Grants, count: int) -> Slice:
    row = row_of("/headgate.v1.ReleaseService/PromoteRelease")
    ada, target = Subject("ada", Kind.PERSON, How.JWT), Target("fraud-eu", "production", {"team": "risk"})
    assert decide(ada, grants, row, target) is None
    began = time.process_time()
    for _ in range(count):
        decide(ada, grants, row, target)
    return {"us CPU/decision": (time.process_time() - began) / count * 1e6}
