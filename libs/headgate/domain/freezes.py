"""The freezes of an environment: which one holds now, and how refusals and waits name it."""

from headgate.domain.refusal import FROZEN, Refused
from headgate.domain.state import EnvironmentState
from headgate.domain.words import time_text
from headgate.v1 import resources_pb2 as resources

_RULE = "a release cannot move forward during a freeze; wait for its end, or lift it"


def freeze_at(environment: EnvironmentState | None, at_ms: int) -> resources.Freeze | None:
    """The freeze of the environment at this time, of several the one that ends last; None when there is none."""
    freezes = environment.environment.freezes if environment is not None else ()
    present = (each for each in freezes if each.from_ms <= at_ms < each.until_ms)
    return max(present, key=lambda each: each.until_ms, default=None)


def freeze_named(freeze: resources.Freeze) -> str:
    """The freeze by its name and its reason: "the freeze holidays (nobody is here)"."""
    return f"the freeze {freeze.freeze}" + (f" ({freeze.reason})" if freeze.reason else "")


def refuse_frozen(environment: EnvironmentState | None, name: str, at_ms: int) -> Refused | None:
    """The refusal of a release that moves forward in this environment at this time; None when it may."""
    freeze = freeze_at(environment, at_ms)
    if freeze is None:
        return None
    return Refused(FROZEN, _RULE, f"{name} is frozen until {time_text(freeze.until_ms)} UTC by {freeze_named(freeze)}")
