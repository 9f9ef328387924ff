"""Which freezes hold, and how refusals name them: all of them, because each one must end or be lifted."""

from headgate.domain.freezes import MAX_NAMED, freezes_at, refuse_frozen
from headgate.domain.state import EnvironmentState
from headgate.v1 import resources_pb2 as resources


def frozen(*ends_ms: int) -> EnvironmentState:
    freezes = [resources.Freeze(freeze=f"until-{end}", from_ms=1, until_ms=end) for end in ends_ms]
    return EnvironmentState("production", resources.Environment(freezes=freezes))


def test_the_refusal_names_every_freeze_that_holds_now() -> None:
    refused = refuse_frozen(frozen(2_000, 3_000, 50), "production", 100)
    assert refused is not None
    assert refused.message == (
        "production is frozen until 1970-01-01 00:00:03 UTC by the freezes until-3000 and until-2000"
    )
    assert refused.rule.endswith("wait for the end of all, or lift them")


def test_of_many_freezes_the_refusal_names_the_longest_and_says_how_many_more_there_are() -> None:
    environment = frozen(*range(1_000, 1_100))
    refused = refuse_frozen(environment, "production", 100)
    assert refused is not None
    assert refused.message.endswith(f"until-1099, until-1098, until-1097 and {100 - MAX_NAMED} more")
    assert len(freezes_at(environment, 100)) == 100


def test_without_a_freeze_nothing_is_refused() -> None:
    assert refuse_frozen(frozen(50), "production", 100) is None
    assert refuse_frozen(None, "production", 100) is None
