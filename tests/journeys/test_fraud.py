"""A second model, over Kafka: its first commit misses the gate, and its second one meets the gate and goes live."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.driver import Facts, Repository, Running, UnexpectedResult
from headgate.cli.session import HOME
from headgate.client.timeline import describe
from headgate.v1 import facts_pb2 as facts
from tests.house.test_docs import shown

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "fraud"
VERDICT_SECONDS = 300.0
RELEASE_SECONDS = 180.0

pytestmark = [pytest.mark.timeout(1200), pytest.mark.kafka]


@pytest.fixture
def running(tmp_path: Path, kafka_log: str, redis_server: str) -> Iterator[Running]:
    with Running(tmp_path, kafka_log, {"HEADGATE_REDIS": redis_server}) as running:
        yield running


def verdict(watched: Facts, version: int) -> facts.GateDecided:
    def is_end(record: facts.LifecycleRecord) -> bool:
        return version in (record.gate_decided.version, record.training_failed.version)

    record = watched.wait(is_end, f"the verdict on v{version}", VERDICT_SECONDS)
    if not record.HasField("gate_decided"):
        raise UnexpectedResult(describe(record))
    return record.gate_decided


def readme_prediction(running: Running) -> str:
    """What the line of curl in README.md prints, with the port of this gateway."""
    readme = shown((ROOT / "README.md").read_text())
    line = next(command for command in readme if command.startswith("curl "))
    words = [*shlex.split(line.replace("7405", str(running.rest_port()))), "--silent"]
    ran = subprocess.run(words, cwd=running.folder, capture_output=True, text=True, check=True, timeout=60)
    return ran.stdout


def test_a_commit_that_misses_the_gate_is_followed_by_one_that_meets_it(running: Running, tmp_path: Path) -> None:
    running.command("environment", "set-policy", "production", str(ROOT / "examples" / "demo_policy.toml"))
    repository = Repository(tmp_path / "repository", EXAMPLE)
    watched = Facts(running.stubs, "models/fraud", lambda record: None)

    repository.commit("1-misses")
    running.command("publish", "repository")
    refused = verdict(watched, 1)
    assert not refused.passed
    missed = {result.rule.metric for result in refused.results if not result.passed}
    assert missed
    assert missed <= {"accuracy", "recall"}

    repository.commit("2-meets")
    running.command("publish", "repository")
    passed = verdict(watched, 2)
    assert "passed" in running.command("version", "watch", "fraud/2")
    metrics = {metric.name: metric.value for metric in passed.metrics}
    assert passed.passed
    assert metrics["accuracy"] >= 0.98
    assert metrics["recall"] >= 0.92

    watched.wait(lambda record: record.HasField("release_completed"), "v2 goes live", RELEASE_SECONDS)
    watched.close()
    assert json.loads(running.command("model", "get", "fraud", "-o", "json"))["live"] == {"production": 2}

    # Whoever copies the artifacts sees no weights. A rotation leaves them readable.
    running.command("version", "download", "fraud/2", "downloaded")
    model = (running.folder / "downloaded" / "model.onnx").read_bytes()
    stored = [file.read_bytes() for file in (running.folder / HOME / "artifacts").rglob("*") if file.is_file()]
    weights = [model[start : start + 64] for start in range(0, len(model) - 64, 64)]
    assert stored
    assert not [part for part in weights if any(part in content for content in stored)]
    running.command("encryption", "rotate")

    # After a restart in the same folder the same version is live and answers.
    running.stop()
    running.start()
    columns = len((EXAMPLE / "data" / "transactions.csv").read_text().splitlines()[0].split(",")) - 1
    row = ",".join(["0.5"] * columns)
    answered = json.loads(running.command("predict", "fraud", "--row", row, "-o", "json"))
    assert answered["version"] == 2
    predicted = json.loads(readme_prediction(running))
    assert (predicted["model_version"], predicted["outputs"][0]["shape"]) == ("2", [1, 1])
    found = running.command("version", "list", "-", "--filter", "metrics.accuracy >= 0.98 AND verdict = passed")
    assert [word for word in found.split() if "/" in word] == ["fraud/2"]
    running.command("replay")
    # Redis holds the model, its two versions and its release as they are in the log.
    assert "equal to the log's state: 4 rows" in running.command("view", "verify")
    running.command("doctor")
