"""The pilot and the rules together, with the reports of one simulated gateway, on a clock that only the test moves."""

from collections.abc import Callable
from typing import Any

from headgate.domain import model as rules
from headgate.domain.policy import DEFAULT
from headgate.domain.refusal import Refused
from headgate.domain.state import ModelState
from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources
from services.deployer.evidence import GatewayReports
from services.deployer.pilot import due
from tests.deployer.reports import evidence, status
from tests.domain.scenario import stamp
from tests.model_states import put_version

TICK_MS = 60_000
KEYS_PER_TICK = 1_000
MAX_TICKS = 1_000
ENDED = (resources.PHASE_COMPLETED, resources.PHASE_ROLLED_BACK)


def passed(number: int) -> resources.Version:
    requested = configuration.ReleaseWish(environment="production", strategy=configuration.STRATEGY_CANARY)
    return resources.Version(
        version=number,
        verdict=resources.VERDICT_STATE_PASSED,
        retention=resources.RETENTION_STATE_KEPT,
        configuration=configuration.ModelConfiguration(release=requested),
    )


class World:
    """One model, one gateway that follows every change at once, and one or more deployers."""

    def __init__(self, candidate_bad_share: float, deployers: int = 1) -> None:
        self.now_ms = 1_000_000
        self.sequence = 1
        self.state = ModelState("fraud")
        self.state.model.name = "models/fraud"
        self.facts: list[str] = []
        self._bad_share = candidate_bad_share
        self.keys_per_tick, self.is_slow = KEYS_PER_TICK, False
        self._deployers = deployers
        self._telemetry = 0
        self._done: set[str] = set()
        self._seen: dict[int, list[int]] = {}

    def tick(self) -> None:
        """Every deployer sees the same state. It keeps nothing between two ticks except the telemetry."""
        self.now_ms += TICK_MS
        reports = self._report()
        due_commands = [issue.command for issue in due({"fraud": self.state}, {}, reports, self.now_ms)]
        for command in due_commands * self._deployers:
            self._handle(command)

    def run_until(self, ended: Callable[[], bool]) -> None:
        for _ in range(MAX_TICKS):
            if ended():
                return
            self.tick()
        raise AssertionError(f"not ended after {MAX_TICKS} ticks: {self.facts}")

    def phase(self, release: int) -> resources.Phase.ValueType:
        found = self.state.releases.get(release)
        return found.phase if found is not None else resources.PHASE_UNSPECIFIED

    def command(self, payload: commands.ResumeRelease) -> None:
        """A person's command."""
        self._decide(payload, "ada")

    def _handle(self, command: commands.Command) -> None:
        if command.command_id in self._done:
            return
        payload = getattr(command, str(command.WhichOneof("command")))
        if self._decide(payload, command.actor):
            self._done.add(command.command_id)

    def _decide(self, payload: Any, actor: str) -> bool:
        fact = rules.decide(self.state, payload, self.now_ms, {}, actor)
        assert not isinstance(fact, Refused), fact
        if fact is None:
            return False
        self.sequence += 1
        self.facts.append(type(fact).__name__)
        rules.evolve(self.state, fact, stamp(self.sequence, self.now_ms))
        return True

    def _report(self) -> GatewayReports:
        reports = GatewayReports()
        self._telemetry += 1
        epoch = max((release.epoch for release in self.state.releases.values()), default=0)
        reports.add(status(ready=self.state.versions, epoch=epoch, sequence=self._telemetry))
        for release in self.state.releases.values():
            if release.phase in (resources.PHASE_STEPPING, resources.PHASE_BAKING):
                weight = weight_of(release.candidate, release)
                seen = self._seen.setdefault(release.epoch, [release.release, weight, 0])
                seen[2] += self.keys_per_tick
        for epoch, (number, weight, keys) in self._seen.items():
            candidate = keys * weight // 10_000
            stable = keys - candidate
            arms = (int(candidate * self._bad_share), candidate), (stable // 100, stable)
            late = (arms[0][0] if self.is_slow else 0, 0)
            reports.add(evidence(*arms, epoch=epoch, weight=weight, release=number, late=late))
        return reports


def weight_of(version: int, release: resources.Release) -> int:
    return sum(weight.weight_bps for weight in release.weights if weight.version == version)


def world(candidate_bad_share: float, deployers: int = 1) -> World:
    """Version 1 is live and version 2 has passed its gate."""
    new = World(candidate_bad_share, deployers)
    put_version(new.state, passed(1))
    put_version(new.state, passed(2))
    new.state.model.live["production"] = 1
    return new


UP = ["ReleaseRequested", "ReleaseStarted", "CandidateReady", *["WeightsSet", "WeightsApplied"] * 3]
OVER = ["PromotionStarted", "WeightsApplied", "ReleaseCompleted"]


def test_a_good_candidate_passes_all_steps_and_becomes_live():
    good = world(0.01)
    good.run_until(lambda: good.phase(1) in ENDED)
    assert good.facts == UP + OVER
    assert good.state.model.live["production"] == 2


def test_a_bad_candidate_is_rolled_back_and_not_released_again():
    bad = world(0.05)
    bad.run_until(lambda: bad.phase(1) in ENDED)
    assert bad.phase(1) == resources.PHASE_ROLLED_BACK
    assert bad.facts[-3:] == ["RollbackStarted", "WeightsApplied", "ReleaseRolledBack"]
    assert bad.state.versions[2].quarantined
    assert bad.state.model.live["production"] == 1
    before = list(bad.facts)
    bad.tick()
    assert bad.facts == before


def test_a_slow_candidate_without_a_verdict_pauses_and_gets_no_more_traffic_until_someone_resumes_it():
    slow = world(0.02)
    slow.keys_per_tick, slow.is_slow = 10, True
    slow.run_until(lambda: slow.phase(1) == resources.PHASE_STEPPING and slow.state.releases[1].paused)
    release = slow.state.releases[1]
    slow.run_until(lambda: release.applied_at_ms > 0)
    assert slow.facts[-4:] == ["WeightsSet", "WeightsApplied", "ReleasePaused", "WeightsApplied"]
    assert (weight_of(1, release), weight_of(2, release)) == (FULL_WEIGHT_BPS, 0)
    assert "of 240 candidate answers were late" in release.paused_reason
    slow.keys_per_tick, slow.is_slow = KEYS_PER_TICK, False
    slow.command(commands.ResumeRelease(release=1, reason="it has more cores"))
    assert weight_of(2, release) == DEFAULT.steps[0].weight_bps
    slow.run_until(lambda: slow.phase(1) in ENDED or release.step == 1)
    assert (slow.phase(1), release.step) == (resources.PHASE_STEPPING, 1)


def test_two_deployers_lead_to_the_same_facts_as_one():
    two = world(0.01, deployers=2)
    two.run_until(lambda: two.phase(1) in ENDED)
    assert two.facts == UP + OVER


def test_the_first_version_goes_live_directly_and_the_second_follows_as_a_canary():
    fresh = World(0.01)
    put_version(fresh.state, passed(1))
    fresh.run_until(lambda: fresh.phase(1) == resources.PHASE_BAKING)
    put_version(fresh.state, passed(2))
    fresh.run_until(lambda: fresh.phase(2) in ENDED)
    assert [release.strategy for release in fresh.state.releases.values()] == [
        configuration.STRATEGY_DIRECT,
        configuration.STRATEGY_CANARY,
    ]
    assert fresh.state.model.live["production"] == 2
