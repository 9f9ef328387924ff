"""The default release policy. Completes and checks the policies that users give."""

import hashlib

from headgate.domain.refusal import Refused, invalid
from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.v1 import configuration_pb2 as configuration

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

DEFAULT = configuration.ReleasePolicy(
    steps=[
        configuration.Step(weight_bps=500, min_duration_ms=10 * MINUTE_MS, min_keys=300),
        configuration.Step(weight_bps=2500, min_duration_ms=10 * MINUTE_MS, min_keys=500),
        configuration.Step(weight_bps=5000, min_duration_ms=10 * MINUTE_MS, min_keys=1000),
    ],
    judge=configuration.JudgePolicy(
        alpha=0.01, beta=0.05, fail_ratio=1.1, pass_ratio=1.5, pass_ceiling=0.005, fail_ceiling=0.02
    ),
    bake_ms=HOUR_MS,
    prepare_deadline_ms=10 * MINUTE_MS,
    no_data_limit_ms=10 * MINUTE_MS,
    hold_deadline_ms=8 * HOUR_MS,
    candidate_lease_ms=MINUTE_MS,
)


def resolve(policy: configuration.ReleasePolicy | None) -> configuration.ReleasePolicy:
    """A copy of the policy. Fields that are 0 or empty have the value of DEFAULT."""
    resolved = configuration.ReleasePolicy()
    resolved.CopyFrom(policy if policy is not None else DEFAULT)
    if not resolved.steps:
        resolved.steps.extend(DEFAULT.steps)
    for message, defaults in ((resolved.judge, DEFAULT.judge), (resolved, DEFAULT)):
        for field in defaults.DESCRIPTOR.fields:
            if field.message_type is None and not getattr(message, field.name):
                setattr(message, field.name, getattr(defaults, field.name))
    return resolved


def digest(policy: configuration.ReleasePolicy) -> str:
    """SHA-256 of the policy's canonical bytes, in hex."""
    return hashlib.sha256(policy.SerializeToString(deterministic=True)).hexdigest()


def check(policy: configuration.ReleasePolicy) -> Refused | None:
    """The first rule that a resolved policy breaks; None when it breaks none."""
    if (refused := _check_steps(policy)) is not None:
        return refused
    judge = policy.judge
    for name in ("alpha", "beta", "pass_ceiling", "fail_ceiling"):
        if not 0 < getattr(judge, name) < 1:
            return invalid(f"policy.judge.{name}", getattr(judge, name), "a probability must lie between 0 and 1")
    # Written so that NaN breaks the rule.
    if not 1 <= judge.fail_ratio < judge.pass_ratio:
        return invalid(
            "policy.judge.pass_ratio", judge.pass_ratio, "the ratios must fulfil 1 <= fail_ratio < pass_ratio"
        )
    if policy.paused_release not in configuration.PausedRelease.values():
        return invalid("policy.paused_release", policy.paused_release, "a paused release yields (1) or stays (2)")
    for field in policy.DESCRIPTOR.fields:
        if field.name.endswith("_ms") and getattr(policy, field.name) < 0:
            return invalid(f"policy.{field.name}", getattr(policy, field.name), "a duration must not be negative")
    return None


def _check_steps(policy: configuration.ReleasePolicy) -> Refused | None:
    weights = [step.weight_bps for step in policy.steps]
    if weights != sorted(set(weights)) or not all(0 < weight < FULL_WEIGHT_BPS for weight in weights):
        return invalid(
            "policy.steps", weights, "the weights of the steps must rise, and lie between 1 and 9999 basis points"
        )
    if any(step.min_duration_ms < 0 or step.min_keys < 0 for step in policy.steps):
        return invalid("policy.steps", "negative", "the duration and the keys of a step must not be negative")
    return None
