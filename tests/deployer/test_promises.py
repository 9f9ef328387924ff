"""Tests the limits that alpha and beta set on wrong verdicts, with the gateway's own counters.

Keys come back, and the judge looks after each new bad key. The random numbers are seeded, so every run is the same.
"""

import random
from collections import Counter
from collections.abc import Callable

from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from services.deployer.evidence import GatewayReports
from services.deployer.judge import judge
from services.gateway.assignment import arm_of_hash
from services.gateway.evidence import EpochCounter, EvidenceCounters
from services.gateway.routes import Route

STEPS = (500, 2_500, 5_000)
WHOLE = (10_000,)
NEVER = 1e-9
RELEASE = resources.Release(release=1, environment="production")
IsBad = Callable[[int, telemetry.Arm.ValueType], bool]


def policy(**changed: float) -> configuration.JudgePolicy:
    fields = {"alpha": NEVER, "beta": NEVER, "fail_ratio": 1.0, "pass_ratio": 1.5, "pass_ceiling": 0.005} | changed
    return configuration.JudgePolicy(**({"fail_ceiling": 0.05} | fields))


def released(
    chance: random.Random,
    policy: configuration.JudgePolicy,
    weights: tuple[int, ...],
    keys: int,
    is_bad: IsBad,
    gateways: int,
) -> facts.Verdict.ValueType:
    """The first verdict of one release. At each weight, `keys` callers send `keys` requests per gateway, at random."""
    gateway_counters, reports = [EvidenceCounters() for _ in range(gateways)], GatewayReports()
    hashes = [chance.getrandbits(64) for _ in range(keys)]
    for epoch, weight in enumerate(weights, 1):
        epoch_counters = [
            each.counter_of(Route("fraud", 1, 2, weight, release=1, epoch=epoch)) for each in gateway_counters
        ]
        for key in chance.choices(range(keys), k=keys * gateways):
            gateway = chance.randrange(gateways)
            arm = arm_of_hash(hashes[key], weight)
            counter = epoch_counters[gateway]
            before = bad_keys(counter)
            counter.count(arm, hashes[key], is_bad(key, arm))
            if bad_keys(counter) != before:
                record = telemetry.TelemetryRecord(source=f"gateway-{gateway}", sequence=counter.requests)
                record.evidence.CopyFrom(counter.evidence("production"))
                reports.add(record)
                verdict = judge(policy, reports.strata("fraud", RELEASE)).verdict
                if verdict != facts.VERDICT_INCONCLUSIVE:
                    return verdict
    return facts.VERDICT_INCONCLUSIVE


def bad_keys(counter: EpochCounter) -> int:
    return counter.stable.bad_keys + counter.candidate.bad_keys


def shares(
    runs: int,
    policy: configuration.JudgePolicy,
    weights: tuple[int, ...],
    keys: int,
    stable: float,
    candidate: float,
    gateways: int = 1,
) -> Counter[facts.Verdict.ValueType]:
    """The share of the runs that ends in each verdict. A key is always bad on an arm, or never, with these chances."""
    chance, verdicts = random.Random(20), Counter[facts.Verdict.ValueType]()
    for _ in range(runs):
        luck = [chance.random() for _ in range(keys)]
        risk = {telemetry.ARM_STABLE: stable, telemetry.ARM_CANDIDATE: candidate}
        verdicts[released(chance, policy, weights, keys, lambda key, arm: luck[key] < risk[arm], gateways)] += 1 / runs  # noqa: B023
    return verdicts


def test_with_callers_that_fail_on_both_versions_and_come_back_at_most_alpha_of_the_releases_fail():
    found = shares(100, policy(alpha=0.05), STEPS, keys=200, stable=0.2, candidate=0.2)
    assert found[facts.VERDICT_FAIL] <= 0.05


def test_with_callers_that_fail_at_every_gateway_at_most_alpha_of_the_releases_fail():
    found = shares(30, policy(alpha=0.05), STEPS, keys=80, stable=0.2, candidate=0.2, gateways=8)
    assert found[facts.VERDICT_FAIL] <= 0.05


def test_at_full_weight_at_most_alpha_of_the_candidates_at_the_ceiling_fail():
    found = shares(100, policy(alpha=0.05), WHOLE, keys=600, stable=0.05, candidate=0.05)
    assert found[facts.VERDICT_FAIL] <= 0.05


def test_at_most_beta_of_the_candidates_at_the_pass_ratio_pass():
    found = shares(60, policy(beta=0.05), STEPS, keys=800, stable=0.10, candidate=0.15)
    assert found[facts.VERDICT_PASS] <= 0.05


def test_clearly_worse_candidates_fail_and_equal_ones_pass():
    worse = shares(20, policy(alpha=0.05), STEPS, keys=600, stable=0.05, candidate=0.25)
    assert worse[facts.VERDICT_FAIL] >= 0.9
    broken = shares(20, policy(alpha=0.05), WHOLE, keys=600, stable=0.05, candidate=0.25)
    assert broken[facts.VERDICT_FAIL] >= 0.9
    fine = shares(20, policy(beta=0.05), (5_000,), keys=3_500, stable=0.15, candidate=0.15)
    assert fine[facts.VERDICT_PASS] >= 0.5
