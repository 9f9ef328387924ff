"""A release policy as people write it: TOML with durations in seconds and weights in percent."""

import tomllib
from pathlib import Path
from typing import Any

from headgate.v1 import configuration_pb2 as configuration

DURATIONS = ("bake", "prepare_deadline", "no_data_limit", "hold_deadline", "candidate_lease")
JUDGE = ("alpha", "beta", "fail_ratio", "pass_ratio", "pass_ceiling", "fail_ceiling")
STEP = ("weight_percent", "min_seconds", "min_keys")


class PolicyUnreadable(Exception):
    """The file is no policy; the message names the key and what was expected."""


def read_policy(file: Path) -> configuration.ReleasePolicy:
    """Reads the file; what it leaves out takes the default."""
    try:
        document = tomllib.loads(file.read_text())
    except OSError as error:
        raise PolicyUnreadable(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise PolicyUnreadable(f"{file}: {error}") from error
    _known(document, {"steps", "judge", *(f"{name}_seconds" for name in DURATIONS)}, str(file))
    policy = configuration.ReleasePolicy(judge=_judge(document.get("judge", {})))
    for name in DURATIONS:
        if f"{name}_seconds" in document:
            setattr(policy, f"{name}_ms", _milliseconds(document, f"{name}_seconds"))
    policy.steps.extend(_step(step, index) for index, step in enumerate(_tables(document.get("steps", []))))
    return policy


def _judge(table: Any) -> configuration.JudgePolicy:
    if not isinstance(table, dict):
        raise PolicyUnreadable("judge: expected a table")
    _known(table, set(JUDGE), "judge")
    return configuration.JudgePolicy(**{name: _number(table, name) for name in table})


def _step(table: dict[str, Any], index: int) -> configuration.Step:
    _known(table, set(STEP), f"steps[{index}]")
    return configuration.Step(
        weight_bps=round(_number(table, "weight_percent") * 100),
        min_duration_ms=_milliseconds(table, "min_seconds"),
        min_keys=round(_number(table, "min_keys")) if "min_keys" in table else 0,
    )


def _tables(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise PolicyUnreadable("steps: expected tables, each under [[steps]]")
    return value


def _known(table: dict[str, Any], names: set[str], place: str) -> None:
    if unknown := sorted(table.keys() - names):
        raise PolicyUnreadable(f"{place}: unknown key {unknown[0]!r}; known are {', '.join(sorted(names))}")


def _number(table: dict[str, Any], name: str) -> float:
    value = table.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PolicyUnreadable(f"{name}: expected a number, got {value!r}")
    return float(value)


def _milliseconds(table: dict[str, Any], name: str) -> int:
    return round(_number(table, name) * 1000)
