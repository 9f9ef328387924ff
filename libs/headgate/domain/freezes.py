"""The freezes of an environment: which ones hold now, and how refusals and waits name them."""

from collections.abc import Sequence

from headgate.domain.refusal import FROZEN, Refused
from headgate.domain.state import EnvironmentState
from headgate.domain.words import listed, time_text
from headgate.v1 import resources_pb2 as resources

_RULE = "a release cannot move forward during a freeze; wait for its end, or lift it"
_RULE_OF_SEVERAL = "a release cannot move forward during a freeze; wait for the end of all, or lift them"
MAX_NAMED = 3
"""How many freezes a text names. It says how many more there are."""


def freezes_at(environment: EnvironmentState | None, at_ms: int) -> tuple[resources.Freeze, ...]:
    """The freezes of the environment that hold at this time, the one that ends last first."""
    freezes = environment.environment.freezes if environment is not None else ()
    present = (each for each in freezes if each.from_ms <= at_ms < each.until_ms)
    return tuple(sorted(present, key=lambda each: each.until_ms, reverse=True))


def freezes_named(freezes: Sequence[resources.Freeze]) -> str:
    """The freezes by their names and reasons: "the freeze holidays (nobody is here)", "the freezes audit and eve"."""
    names = [each.freeze + (f" ({each.reason})" if each.reason else "") for each in freezes]
    return f"the {'freeze' if len(freezes) == 1 else 'freezes'} {listed(names, MAX_NAMED)}"


def refuse_frozen(environment: EnvironmentState | None, name: str, at_ms: int) -> Refused | None:
    """The refusal of a release that moves forward in this environment at this time; None when it may."""
    freezes = freezes_at(environment, at_ms)
    if not freezes:
        return None
    until = f"{time_text(freezes[0].until_ms)} UTC"
    rule = _RULE if len(freezes) == 1 else _RULE_OF_SEVERAL
    return Refused(FROZEN, rule, f"{name} is frozen until {until} by {freezes_named(freezes)}")
