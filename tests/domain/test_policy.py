"""The release policy: the default completes it, and an invalid field is named."""

import re

import pytest

from headgate.domain.policy import DEFAULT, check, digest, resolve
from headgate.v1 import configuration_pb2 as configuration


def test_the_default_is_valid_and_complete() -> None:
    assert check(DEFAULT) is None
    assert resolve(None) == DEFAULT
    assert resolve(configuration.ReleasePolicy()) == DEFAULT


def test_given_fields_stay_and_the_default_completes_the_others() -> None:
    policy = resolve(
        configuration.ReleasePolicy(
            steps=[configuration.Step(weight_bps=1)], judge=configuration.JudgePolicy(alpha=0.2), bake_ms=5
        )
    )
    assert list(policy.steps) == [configuration.Step(weight_bps=1)]
    assert (policy.judge.alpha, policy.judge.beta, policy.bake_ms) == (0.2, DEFAULT.judge.beta, 5)
    assert policy.hold_deadline_ms == DEFAULT.hold_deadline_ms


def test_resolving_changes_neither_its_argument_nor_the_default() -> None:
    given = configuration.ReleasePolicy(bake_ms=5)
    resolve(given).steps.add(weight_bps=9)
    assert given == configuration.ReleasePolicy(bake_ms=5)
    assert len(DEFAULT.steps) == 3


def test_equal_policies_have_equal_digests() -> None:
    assert digest(resolve(configuration.ReleasePolicy())) == digest(DEFAULT)
    assert digest(resolve(configuration.ReleasePolicy(bake_ms=5))) != digest(DEFAULT)


Policy, Judge, Step = configuration.ReleasePolicy, configuration.JudgePolicy, configuration.Step
NAN = float("nan")
INFINITE = float("inf")


@pytest.mark.parametrize("field", ["bake_ms", "hold_deadline_ms"])
def test_a_duration_of_0_is_0_where_0_has_a_meaning(field: str) -> None:
    policy = resolve(Policy(**{field: 0}))
    assert (policy.HasField(field), getattr(policy, field)) == (True, 0)
    assert check(policy) is None
    assert digest(policy) != digest(DEFAULT)


def test_the_weight_of_a_pause_has_no_default_and_may_be_0() -> None:
    assert not resolve(None).HasField("paused_weight_bps")
    nothing = resolve(Policy(paused_weight_bps=0))
    assert (nothing.HasField("paused_weight_bps"), check(nothing)) == (True, None)


def test_a_policy_that_is_complete_already_keeps_its_bytes_and_its_digest() -> None:
    complete = resolve(Policy(bake_ms=0, steps=[Step(weight_bps=7)]))
    assert resolve(complete).SerializeToString(deterministic=True) == complete.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (Policy(steps=[Step(weight_bps=0)]), "policy.steps[0].weight_bps"),
        (Policy(steps=[Step(weight_bps=10_000)]), "policy.steps[0].weight_bps"),
        (Policy(steps=[Step(weight_bps=5), Step(weight_bps=5)]), "policy.steps[1].weight_bps"),
        (Policy(steps=[Step(weight_bps=6), Step(weight_bps=5)]), "policy.steps[1].weight_bps"),
        (Policy(steps=[Step(weight_bps=5, min_keys=-1)]), "policy.steps[0].min_keys"),
        (Policy(steps=[Step(weight_bps=5, min_keys=2**63 - 1)]), "policy.steps[0].min_keys"),
        (Policy(steps=[Step(weight_bps=5, min_duration_ms=-1)]), "policy.steps[0].min_duration_ms"),
        (Policy(steps=[Step(weight_bps=bps) for bps in range(1, 103)]), "policy.steps"),
        (Policy(judge=Judge(alpha=1)), "policy.judge.alpha"),
        (Policy(judge=Judge(alpha=0)), "policy.judge.alpha"),
        (Policy(judge=Judge(beta=NAN)), "policy.judge.beta"),
        (Policy(judge=Judge(beta=0)), "policy.judge.beta"),
        (Policy(judge=Judge(pass_ceiling=-0.1)), "policy.judge.pass_ceiling"),
        (Policy(judge=Judge(pass_ceiling=0)), "policy.judge.pass_ceiling"),
        (Policy(judge=Judge(fail_ceiling=0)), "policy.judge.fail_ceiling"),
        (Policy(judge=Judge(fail_ratio=0)), "policy.judge.fail_ratio"),
        (Policy(judge=Judge(fail_ratio=2, pass_ratio=2)), "policy.judge.pass_ratio"),
        (Policy(judge=Judge(fail_ratio=2)), "policy.judge.pass_ratio"),
        (Policy(judge=Judge(fail_ratio=NAN)), "policy.judge.fail_ratio"),
        (Policy(judge=Judge(pass_ratio=0)), "policy.judge.pass_ratio"),
        (Policy(judge=Judge(pass_ratio=NAN)), "policy.judge.pass_ratio"),
        (Policy(judge=Judge(pass_ratio=INFINITE)), "policy.judge.pass_ratio"),
        (Policy(bake_ms=-1), "policy.bake_ms"),
        (Policy(prepare_deadline_ms=0), "policy.prepare_deadline_ms"),
        (Policy(no_data_limit_ms=0), "policy.no_data_limit_ms"),
        (Policy(hold_deadline_ms=2**63 - 1), "policy.hold_deadline_ms"),
        (Policy(candidate_lease_ms=0), "policy.candidate_lease_ms"),
        (Policy(paused_weight_bps=-1), "policy.paused_weight_bps"),
        (Policy(paused_weight_bps=10_001), "policy.paused_weight_bps"),
        (Policy(paused_release=7), "policy.paused_release"),  # type: ignore[arg-type]
    ],
)
def test_an_invalid_policy_is_refused_with_its_field_alone(policy: configuration.ReleasePolicy, field: str) -> None:
    refused = check(resolve(policy))
    assert refused is not None
    assert refused.field == field
    in_words = re.sub(r"\.steps\[(\d+)\]\.", lambda found: f", step {int(found[1]) + 1}: ", field)
    assert refused.message.startswith(f"{in_words} is ")
    assert refused.message.count("policy") == 1


def test_one_refusal_names_every_fault_of_a_policy() -> None:
    refused = check(
        resolve(Policy(candidate_lease_ms=0, steps=[Step(weight_bps=5, min_keys=-1)], judge=Judge(alpha=2)))
    )
    assert refused is not None
    assert refused.message.split("; ") == [
        "policy.candidate_lease_ms is 0: expected a number from 1 to 1000000000000 "
        "(without a lease no gateway serves the candidate)",
        "policy, step 1: min_keys is -1: expected a number from 1 to 1000000000",
        "policy.judge.alpha is 2: expected a number above 0 and below 1",
    ]
