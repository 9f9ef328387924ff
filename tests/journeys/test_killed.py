"""All processes are killed at random moments of each phase of a release. The release still ends in promotion."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.driver import Facts, Running, Traffic
from headgate.v1 import facts_pb2 as facts
from tests.journeys.imported import MODEL, ROWS, import_version

SEED = 20
KILLS_IN_EACH_PHASE = 2
LONGEST_LIFE_SECONDS = 2.0
LIVE_SECONDS = 300.0
REQUESTS_PER_SECOND = 60

FEW_KEYS = 10
"""Keys of a client while a phase lasts. No step has enough of them, however long the kills take."""

# A step goes on when the clients use more keys. The kills in the bake take longer than it lasts only on a busy machine.
POLICY = """
bake_seconds = 10
[judge]
pass_ceiling = 0.1
[[steps]]
weight_percent = 30
min_seconds = 0
min_keys = 40
[[steps]]
weight_percent = 60
min_seconds = 0
min_keys = 40
"""

pytestmark = pytest.mark.timeout(900)


def wait(running: Running, found: Callable[[facts.LifecycleRecord], bool], what: str) -> None:
    watched = Facts(running.stubs, f"models/{MODEL}", lambda record: None)
    try:
        watched.wait(found, what, LIVE_SECONDS)
    finally:
        watched.close()


@contextmanager
def traffic(running: Running, most_keys: int | None = None) -> Iterator[None]:
    clients = Traffic(running.stubs, MODEL, ROWS, REQUESTS_PER_SECOND)
    clients.most_keys = most_keys
    clients.start()
    try:
        yield
    finally:
        clients.stop()


def kill_at_random_moments(running: Running, chance: random.Random) -> None:
    for _ in range(KILLS_IN_EACH_PHASE):
        with traffic(running, FEW_KEYS):
            threading.Event().wait(chance.uniform(0.1, LONGEST_LIFE_SECONDS))
        running.kill()
        running.start()


def steps_to(weight_bps: int) -> Callable[[facts.LifecycleRecord], bool]:
    weight = facts.Weight(version=2, weight_bps=weight_bps)
    return lambda record: record.weights_set.release == 2 and weight in record.weights_set.weights


def test_a_release_whose_services_are_killed_in_each_phase_still_ends_in_promotion(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    (tmp_path / "policy.toml").write_text(POLICY)
    with Running(tmp_path) as running:
        running.command("environment", "set-policy", "production", "policy.toml")
        import_version(running, 1)
        wait(running, lambda record: record.release_completed.release == 1, "v1 goes live")
        import_version(running, 2)
        wait(running, steps_to(3_000), "the first step of v2")
        kill_at_random_moments(running, chance)
        with traffic(running):
            wait(running, steps_to(6_000), "the second step of v2")
        kill_at_random_moments(running, chance)
        with traffic(running):
            wait(running, lambda record: record.promotion_started.release == 2, "the promotion of v2")
        kill_at_random_moments(running, chance)
        with traffic(running):
            wait(running, lambda record: record.release_completed.release == 2, "v2 goes live")
        assert '"production": 2' in running.command("model", "get", MODEL, "-o", "json")
        running.command("replay")
