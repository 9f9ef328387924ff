"""The default release policy. Completes and checks the policies that users give."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from headgate.domain.refusal import INVALID, Refused
from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.v1 import configuration_pb2 as configuration

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MAX_DURATION_MS = 10**12
"""About 31 years. A sum of a time and a duration stays far below the limit of its field."""
MAX_KEYS = 10**9
MAX_RATIO = 10**6
MAX_STEPS = 100

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


@dataclass(frozen=True, slots=True)
class Limit:
    """The lowest and the highest value of a number, in the unit of its field. With `is_open`, both are too far."""

    low: float
    high: float
    is_open: bool = False
    because: str = ""

    def allows(self, value: float) -> bool:
        """Whether the value is within the limit. NaN never is."""
        return self.low < value < self.high if self.is_open else self.low <= value <= self.high

    def words(self, per_unit: float = 1) -> str:
        """The limit for people. `per_unit` is how much of the field's unit is one of the unit that they write."""
        low, high = (f"{bound / per_unit:.15g}" for bound in (self.low, self.high))
        numbers = f"a number above {low} and below {high}" if self.is_open else f"a number from {low} to {high}"
        return f"{numbers} ({self.because})" if self.because else numbers


@dataclass(frozen=True, slots=True)
class Fault:
    """A number of a policy that breaks a rule. `field` is its path in the policy, such as "steps[0].min_keys"."""

    field: str
    value: float
    limit: Limit


_DURATIONS = {
    "bake_ms": Limit(0, MAX_DURATION_MS, because="0 is no bake"),
    "prepare_deadline_ms": Limit(1, MAX_DURATION_MS, because="a gateway needs time to load the candidate"),
    "no_data_limit_ms": Limit(1, MAX_DURATION_MS, because="the first request needs time to come"),
    "hold_deadline_ms": Limit(0, MAX_DURATION_MS, because="0 pauses as soon as the time of a step is over"),
    "candidate_lease_ms": Limit(1, MAX_DURATION_MS, because="without a lease no gateway serves the candidate"),
}
_PAUSED = {"paused_weight_bps": Limit(0, FULL_WEIGHT_BPS, because="no pause raises a weight")}
_STEP_FIELD = re.compile(r"^policy\.steps\[(\d+)\]\.")
_PROBABILITY = Limit(0, 1, is_open=True)
_JUDGE = {
    "alpha": _PROBABILITY,
    "beta": _PROBABILITY,
    "fail_ratio": Limit(1, MAX_RATIO),
    "pass_ceiling": _PROBABILITY,
    "fail_ceiling": _PROBABILITY,
}
_STEP = {"min_duration_ms": Limit(0, MAX_DURATION_MS), "min_keys": Limit(1, MAX_KEYS)}
_STEP_WITHOUT_KEYS = {name: limit for name, limit in _STEP.items() if name != "min_keys"}


def resolve(policy: configuration.ReleasePolicy | None) -> configuration.ReleasePolicy:
    """A copy of the policy. Fields that are absent have the value of DEFAULT, and so have steps when there are none."""
    resolved = configuration.ReleasePolicy()
    resolved.CopyFrom(policy if policy is not None else DEFAULT)
    if not resolved.steps:
        resolved.steps.extend(DEFAULT.steps)
    pairs: tuple[tuple[Message, Message], ...] = ((resolved.judge, DEFAULT.judge), (resolved, DEFAULT))
    for message, defaults in pairs:
        for field in defaults.DESCRIPTOR.fields:
            has_default = field.has_presence and field.message_type is None and defaults.HasField(field.name)
            if has_default and not message.HasField(field.name):
                setattr(message, field.name, getattr(defaults, field.name))
    return resolved


def needed_keys(step: configuration.Step) -> int:
    """How many keys the candidate needs in the step. One also where the policy gives no number."""
    return max(1, step.min_keys)


def digest(policy: configuration.ReleasePolicy) -> str:
    """SHA-256 of the policy's canonical bytes, in hex."""
    return hashlib.sha256(policy.SerializeToString(deterministic=True)).hexdigest()


def check(policy: configuration.ReleasePolicy) -> Refused | None:
    """The refusal of a resolved policy, with every rule that it breaks; None when it breaks none."""
    found = list(faults(policy))
    problems = [f"{_in_words(each.field)} is {each.value:.15g}: expected {each.limit.words()}" for each in found]
    fields = [f"policy.{each.field}" for each in found]
    if policy.paused_release not in configuration.PausedRelease.values():
        fields.append("policy.paused_release")
        problems.append(f"policy.paused_release is {policy.paused_release}: a paused release yields (1) or stays (2)")
    if not problems:
        return None
    return Refused(INVALID, "a release policy keeps the limits of its fields", "; ".join(problems), fields[0])


def _in_words(field: str) -> str:
    return _STEP_FIELD.sub(lambda found: f"policy, step {int(found[1]) + 1}: ", f"policy.{field}")


def faults(policy: configuration.ReleasePolicy) -> Iterator[Fault]:
    """Every number of a resolved policy that breaks a rule."""
    yield from _beyond(policy, _DURATIONS)
    if policy.HasField("paused_weight_bps"):
        yield from _beyond(policy, _PAUSED)
    if len(policy.steps) > MAX_STEPS:
        yield Fault("steps", len(policy.steps), Limit(1, MAX_STEPS, because="so many steps"))
        return
    lowest = 0
    for number, step in enumerate(policy.steps):
        rising = Limit(lowest, FULL_WEIGHT_BPS, is_open=True, because="the weights of the steps rise")
        # A message has 0 for a number that was not given.
        others = _STEP if step.min_keys else _STEP_WITHOUT_KEYS
        yield from _beyond(step, {"weight_bps": rising, **others}, f"steps[{number}].")
        if rising.allows(step.weight_bps):
            lowest = step.weight_bps
    above_fail = Limit(policy.judge.fail_ratio, MAX_RATIO, is_open=True, because="more than judge.fail_ratio")
    pass_ratio = above_fail if _JUDGE["fail_ratio"].allows(policy.judge.fail_ratio) else Limit(1, MAX_RATIO)
    yield from _beyond(policy.judge, {**_JUDGE, "pass_ratio": pass_ratio}, "judge.")


def _beyond(message: Message, limits: Mapping[str, Limit], prefix: str = "") -> Iterator[Fault]:
    for name, limit in limits.items():
        if not limit.allows(value := getattr(message, name)):
            yield Fault(f"{prefix}{name}", value, limit)
