"""The release policy: the default completes it, and an invalid field is named."""

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


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (configuration.ReleasePolicy(steps=[configuration.Step(weight_bps=0)]), "policy.steps"),
        (configuration.ReleasePolicy(steps=[configuration.Step(weight_bps=10_000)]), "policy.steps"),
        (
            configuration.ReleasePolicy(steps=[configuration.Step(weight_bps=5), configuration.Step(weight_bps=5)]),
            "policy.steps",
        ),
        (
            configuration.ReleasePolicy(steps=[configuration.Step(weight_bps=6), configuration.Step(weight_bps=5)]),
            "policy.steps",
        ),
        (configuration.ReleasePolicy(steps=[configuration.Step(weight_bps=5, min_keys=-1)]), "policy.steps"),
        (configuration.ReleasePolicy(judge=configuration.JudgePolicy(alpha=1)), "policy.judge.alpha"),
        (configuration.ReleasePolicy(judge=configuration.JudgePolicy(beta=float("nan"))), "policy.judge.beta"),
        (configuration.ReleasePolicy(judge=configuration.JudgePolicy(pass_ceiling=-0.1)), "policy.judge.pass_ceiling"),
        (
            configuration.ReleasePolicy(judge=configuration.JudgePolicy(fail_ratio=2, pass_ratio=2)),
            "policy.judge.pass_ratio",
        ),
        (
            configuration.ReleasePolicy(judge=configuration.JudgePolicy(fail_ratio=float("nan"))),
            "policy.judge.pass_ratio",
        ),
        (
            configuration.ReleasePolicy(judge=configuration.JudgePolicy(pass_ratio=float("nan"))),
            "policy.judge.pass_ratio",
        ),
        (configuration.ReleasePolicy(bake_ms=-1), "policy.bake_ms"),
    ],
)
def test_an_invalid_policy_is_refused_with_its_field(policy: configuration.ReleasePolicy, field: str) -> None:
    refused = check(resolve(policy))
    assert refused is not None
    assert refused.field == field
