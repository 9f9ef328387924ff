"""All processes are killed at ten random moments of a release. The release still ends in promotion."""

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.driver import Facts, Running, Traffic
from headgate.v1 import facts_pb2 as facts
from tests.journeys.imported import MODEL, ROWS, import_version

SEED = 20
KILLS = 10
LONGEST_LIFE_SECONDS = 4.0
LIVE_SECONDS = 300.0
RELEASE_SECONDS = 300.0
REQUESTS_PER_SECOND = 60

# The steps are long enough that the kills happen in steps, promotion and bake. For real traffic they are too short.
POLICY = """
bake_seconds = 20
[judge]
pass_ceiling = 0.02
[[steps]]
weight_percent = 10
min_seconds = 25
min_keys = 20
[[steps]]
weight_percent = 50
min_seconds = 25
min_keys = 50
"""

pytestmark = pytest.mark.timeout(1500)


def wait(running: Running, found: Callable[[facts.LifecycleRecord], bool], what: str, seconds: float) -> None:
    watched = Facts(running.stubs, f"models/{MODEL}", lambda record: None)
    try:
        watched.wait(found, what, seconds)
    finally:
        watched.close()


def live_for(running: Running, seconds: float) -> None:
    traffic = Traffic(running.stubs, MODEL, ROWS, REQUESTS_PER_SECOND)
    traffic.start()
    threading.Event().wait(seconds)
    traffic.stop()


def test_a_release_whose_services_are_killed_ten_times_still_ends_in_promotion(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    (tmp_path / "policy.toml").write_text(POLICY)
    with Running(tmp_path) as running:
        running.command("environment", "set-policy", "production", "policy.toml")
        import_version(running, 1)
        wait(running, lambda record: record.release_completed.release == 1, "v1 goes live", LIVE_SECONDS)
        import_version(running, 2)
        wait(running, lambda record: record.release_requested.release == 2, "the release of v2", LIVE_SECONDS)
        for _ in range(KILLS):
            live_for(running, chance.uniform(0.1, LONGEST_LIFE_SECONDS))
            running.kill()
            running.start()
        traffic = Traffic(running.stubs, MODEL, ROWS, REQUESTS_PER_SECOND)
        traffic.start()
        wait(running, lambda record: record.release_completed.release == 2, "v2 goes live", RELEASE_SECONDS)
        traffic.stop()
        assert '"production": 2' in running.command("model", "get", MODEL, "-o", "json")
        running.command("replay")
