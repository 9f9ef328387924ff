"""Reads a release policy from a TOML file, with durations in seconds and weights in percent."""

from pathlib import Path

from headgate.toml_tables import InvalidToml, Table, is_number, read
from headgate.v1 import configuration_pb2 as configuration

MAX_BYTES = 64 * 1024
SHORTEST_SECONDS = 0.001
"""A policy stores whole milliseconds, and 0 there means the default."""
MAX_SECONDS = 1_000_000_000
MAX_KEYS = 1_000_000_000
PAUSED_RELEASE = {
    "yields": configuration.PAUSED_RELEASE_YIELDS,
    "stays": configuration.PAUSED_RELEASE_STAYS,
}
DURATIONS = ("bake", "prepare_deadline", "no_data_limit", "hold_deadline", "candidate_lease")
JUDGE = ("alpha", "beta", "fail_ratio", "pass_ratio", "pass_ceiling", "fail_ceiling")


class PolicyUnreadable(Exception):
    """The file is not a release policy. The message names the file, and for each problem the key and the rule."""


def read_policy(file: Path) -> configuration.ReleasePolicy:
    """Reads the file. A key that is missing keeps its default. Raises PolicyUnreadable."""
    try:
        with file.open("rb") as text:
            return _policy(read(text.read(MAX_BYTES + 1), file.name, MAX_BYTES))
    except OSError as error:
        raise PolicyUnreadable(f"{file}: {error.strerror}") from error
    except InvalidToml as error:
        raise PolicyUnreadable("\n  ".join((f"{file} is not a release policy:", *error.problems))) from error


def _policy(root: Table) -> configuration.ReleasePolicy:
    policy = configuration.ReleasePolicy()
    for name in DURATIONS:
        setattr(policy, f"{name}_ms", _milliseconds(root, f"{name}_seconds", SHORTEST_SECONDS, 0))
    if "paused_release" in root.values:
        policy.paused_release = PAUSED_RELEASE.get(
            root.choice("paused_release", PAUSED_RELEASE) or "", configuration.PAUSED_RELEASE_UNSPECIFIED
        )
    policy.steps.extend(_step(step) for step in root.tables("steps"))
    policy.judge.CopyFrom(_judge(root.table("judge", optional=True)))
    root.no_more((*(f"{name}_seconds" for name in DURATIONS), "paused_release", "steps", "judge"))
    root.refuse_problems()
    return policy


def _judge(table: Table) -> configuration.JudgePolicy:
    judge = configuration.JudgePolicy(
        **{name: table.value(name, "a number above 0", lambda v: is_number(v) and v > 0, 0) or 0 for name in JUDGE}
    )
    table.no_more(JUDGE)
    return judge


def _step(table: Table) -> configuration.Step:
    step = configuration.Step(
        weight_bps=round((table.number("weight_percent", 0, 100) or 0) * 100),
        min_duration_ms=_milliseconds(table, "min_seconds", 0),
        min_keys=round(table.number("min_keys", 0, MAX_KEYS, 0) or 0),
    )
    table.no_more(("weight_percent", "min_seconds", "min_keys"))
    return step


def _milliseconds(table: Table, key: str, shortest_seconds: float, *default: int) -> int:
    return round((table.number(key, shortest_seconds, MAX_SECONDS, *default) or 0) * 1000)
