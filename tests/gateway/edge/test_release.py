"""A whole release that only devices answer: the deployer's pilot steers it by what they report, on a moved clock."""

from contextlib import ExitStack, suppress

import pytest

from headgate.domain import model as rules
from headgate.domain.refusal import Refused
from headgate.runtime.errors import RpcRefused
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.deployer.evidence import GatewayReports
from services.deployer.pilot import due
from tests.deployer.reports import status
from tests.deployer.test_journey import passed
from tests.domain.scenario import stamp
from tests.gateway import networks
from tests.gateway.edge.harness import await_version, predict, running, running_fleet
from tests.waiting import until

DEVICES = 40
TICK_MS, MAX_TICKS = 60_000, 60
POLICY = configuration.ReleasePolicy(
    steps=[configuration.Step(weight_bps=5_000, min_duration_ms=1, min_keys=10)],
    judge=configuration.JudgePolicy(pass_ceiling=0.3, fail_ceiling=0.3),
    bake_ms=1,
    candidate_lease_ms=600_000,
)
ENDED = (resources.PHASE_COMPLETED, resources.PHASE_ROLLED_BACK)
ANSWERED = (resources.PHASE_STEPPING, resources.PHASE_BAKING)


class World:
    """A fleet whose fold follows the facts of the rules, and devices that each answer one request in each tick."""

    def __init__(self, fleet, devices):
        self.fleet, self.devices = fleet, devices
        self.now_ms, self.sequence, self.done = 1_000_000, 1, set()
        self.state = fleet.fold.models["fraud"]
        with fleet.fold.lock:
            self.state.model.name = "models/fraud"
            for number in (1, 2):
                self.state.versions[number].MergeFrom(passed(number))

    @property
    def release(self):
        return self.state.releases.get(1, resources.Release())

    def run(self):
        for _ in range(MAX_TICKS):
            if self.release.phase in ENDED:
                return
            self.answer()
            self.steer()
        raise AssertionError(f"not ended: {self.release}")

    def answer(self):
        """Every device answers once under the present weights, and reports it."""
        if self.release.phase not in ANSWERED or not self.release.applied_at_ms:
            return
        epoch, before = self.release.epoch, self.counted()
        until(lambda: all(follows(device, epoch) for device in self.devices), "the weights at all devices")
        for device in self.devices:
            with suppress(RpcRefused):
                predict(device, rows=3)
        until(lambda: self.counted() == before + DEVICES, "the reports of all devices")

    def steer(self):
        """The pilot's commands, by what the log has of the devices. The gateway applies each change at once."""
        self.now_ms += TICK_MS
        for issue in list(due({"fraud": self.state}, {}, self.reports(), self.now_ms)):
            command = issue.command
            if command.command_id not in self.done:
                self.done.add(command.command_id)
                self.decide(getattr(command, command.WhichOneof("command")), command.actor)

    def decide(self, payload, actor):
        with self.fleet.fold.change():
            fact = rules.decide(self.state, payload, self.now_ms, {}, actor)
            assert not isinstance(fact, Refused), fact
            if isinstance(fact, facts.ReleaseRequested):
                fact.policy.CopyFrom(POLICY)
            if fact is not None:
                self.sequence += 1
                rules.evolve(self.state, fact, stamp(self.sequence, self.now_ms))

    def reports(self):
        reports = GatewayReports()
        reports.add(status(ready=[1, 2], epoch=self.release.epoch, sequence=self.sequence))
        for record in list(self.fleet.log.records):
            reports.add(record)
        return reports

    def counted(self):
        strata = self.fleet.log.strata()
        return sum(each.candidate_requests + each.stable_requests for each in strata)


def follows(device, epoch):
    entry = device.follower.table.entries["fraud"]
    return entry.route.epoch == epoch and entry.applied


@pytest.fixture
def world(tmp_path):
    """Makes a world in which version 1 is live and the candidate has this network."""
    with ExitStack() as stack:

        def made(candidate):
            fleet = stack.enter_context(running_fleet(tmp_path))
            fleet.build(1, networks.affine(2.0))
            fleet.build(2, candidate)
            fleet.route(live=1)
            devices = [fleet.device(f"till-{number}") for number in range(DEVICES)]
            for device in devices:
                stack.enter_context(running(device))
            for device in devices:
                await_version(device, 1)
            return World(fleet, devices)

        yield made


def test_a_candidate_that_answers_on_devices_becomes_live(world):
    good = world(networks.affine(3.0))
    good.run()
    assert (good.release.phase, good.state.model.live["production"]) == (resources.PHASE_COMPLETED, 2)
    await_version(good.devices[0], 2)


def test_a_candidate_that_fails_on_devices_is_taken_back(world):
    bad = world(networks.fragile())
    bad.run()
    assert (bad.release.phase, bad.state.model.live["production"]) == (resources.PHASE_ROLLED_BACK, 1)
    assert bad.state.versions[2].quarantined
    await_version(bad.devices[0], 1)
