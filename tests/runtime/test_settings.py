"""Settings from the environment."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from headgate.runtime.settings import SettingsError, from_env


@dataclass(frozen=True, slots=True)
class Example:
    log: str
    port: int
    work: Path
    share: float = 0.5
    fsync: bool = True


def test_every_field_is_read_from_its_variable() -> None:
    environ = {"HEADGATE_LOG": "sqlite:x", "HEADGATE_PORT": "7400", "HEADGATE_WORK": "/w", "HEADGATE_FSYNC": "no"}
    assert from_env(Example, environ) == Example("sqlite:x", 7400, Path("/w"), 0.5, False)


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        from_env(Example, {"HEADGATE_PORT": "many", "HEADGATE_WORK": "/w", "HEADGATE_FSYNC": "perhaps"})
    assert caught.value.problems == [
        "HEADGATE_LOG is not set",
        "HEADGATE_PORT='many': expected a whole number",
        "HEADGATE_FSYNC='perhaps': expected true or false",
    ]
