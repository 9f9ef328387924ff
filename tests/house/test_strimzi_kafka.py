"""The target of Strimzi's Kafka runs what it says: tests that are deselected fail nowhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATHS = re.findall(r"tests/\S+", (ROOT / "scripts/test_strimzi_kafka.sh").read_text())


@pytest.mark.parametrize("path", PATHS)
def test_every_path_of_the_target_has_tests_over_kafka(path: str) -> None:
    files = [ROOT / path] if path.endswith(".py") else sorted((ROOT / path).rglob("*.py"))
    assert any("pytest.mark.kafka" in file.read_text() for file in files)


def test_the_target_runs_contracts_and_a_journey() -> None:
    assert {path.split("/")[1] for path in PATHS} == {"contract", "journeys"}
