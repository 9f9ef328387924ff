"""The whole deployer on a log, with a real registry. The test sends what a trainer, an evaluator and a gateway send."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.log import topics
from headgate.runtime.log_clock import LogClock
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.deployer.world import POLICY, World, phase_is


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.start()
    yield world
    world.stop()


def test_versions_that_pass_their_gate_go_live_and_a_bad_one_is_rolled_back(world: World) -> None:
    world.issue("policy", "environments/production", set_policy=commands.SetPolicy(policy=POLICY))
    world.pass_gate(1)
    world.wait_for(phase_is(1, resources.PHASE_COMPLETED))
    world.pass_gate(2)
    world.wait_for(phase_is(2, resources.PHASE_COMPLETED))
    world.bad_versions.add(3)
    world.restart_deployer()
    world.pass_gate(3)
    world.wait_for(phase_is(3, resources.PHASE_ROLLED_BACK))
    with world.fold.lock:
        state = world.fold.models["fraud"]
        assert state.model.live["production"] == 2
        assert state.releases[2].judgement.verdict == facts.VERDICT_PASS
        assert state.releases[3].judgement.verdict == facts.VERDICT_FAIL
        assert state.versions[3].quarantined


def test_a_restarted_deployer_reads_the_counts_of_a_release_days_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.issue("policy", "environments/production", set_policy=commands.SetPolicy())
    world.begin_canary()
    world.stop_gateway()
    now_ms = LogClock.now_ms
    monkeypatch.setattr(LogClock, "now_ms", lambda self: now_ms(self) + 3 * topics.DAY_MS)
    world.restart_deployer()
    assert world.pilot().judgement.strata[0].candidate_keys == 2_000


def test_list_pilots_shows_each_release_with_its_live_gateways_and_its_judgement(world: World) -> None:
    world.issue("policy", "environments/production", set_policy=commands.SetPolicy())
    world.pass_gate(1)
    world.wait_for(phase_is(1, resources.PHASE_COMPLETED))
    world.pass_gate(2)
    world.wait_for(lambda state: 2 in state.releases and state.releases[2].step == 0)
    pilot = world.pilot()
    assert pilot.release.name == "models/fraud/releases/2"
    assert list(pilot.live_gateways) == ["gateway-0"]
    assert pilot.judgement.fail_threshold == 100
