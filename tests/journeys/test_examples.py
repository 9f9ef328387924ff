"""The other examples: each is published, trained, measured, let through by its gate, released, and answers."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.driver import CALL_SECONDS, ENVIRONMENT, Facts, Repository, Running, UnexpectedResult
from headgate.client.predict import answer, rows_request
from headgate.client.timeline import describe
from headgate.inference_parameters import ROUTING_KEY_METADATA
from headgate.v1 import facts_pb2 as facts

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
VERDICT_SECONDS = 300.0
RELEASE_SECONDS = 180.0
SAMPLES = 4_000
QUICK_POLICY = """
bake_seconds = 0
[judge]
pass_ceiling = 0.1
[[steps]]
weight_percent = 50
min_seconds = 0
min_keys = 40
"""
TREES = """
from sklearn.ensemble import GradientBoostingRegressor
from skl2onnx import to_onnx
import numpy as np

def datasets(context):
    points = np.loadtxt(context.data["squares"], np.float32, delimiter=",", skiprows=1)
    return {"train": (points[:300, :1], points[:300, 1]), "test": (points[300:, :1], points[300:, 1])}

def build(context):
    x, y = context.rows["train"]
    return to_onnx(GradientBoostingRegressor(random_state=context.seed, n_estimators=300).fit(x, y), x[:1])
"""
TREES_TOML = """
[model]
name = "regression"
task = "regression"
[code]
kind = "onnx"
module = "model"
tests = "python -c 'import model'"
[data]
{data}
[evaluate]
metrics = ["mae", "r2"]
[gate]
r2 = {{ max_drop = 0.02 }}
[release]
environment = "production"
strategy = "canary"
[network]
inputs = {{ X = "features" }}
served_as = "prediction"
"""

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One `headgate up` for all examples, over the embedded log."""
    with Running(tmp_path_factory.mktemp("examples")) as running:
        policy = running.folder / "policy.toml"
        policy.write_text(QUICK_POLICY)
        running.command("environment", "set-policy", ENVIRONMENT, str(policy))
        yield running


class Story:
    """The commits of one example, and what happens to each."""

    def __init__(self, running: Running, example: str, model: str) -> None:
        self._running = running
        self._model = model
        self._folder = running.folder / example
        self._repository = Repository(self._folder, EXAMPLES / example)
        self._facts = Facts(running.stubs, f"models/{model}", lambda record: None)

    def close(self) -> None:
        self._facts.close()

    def verdict_on(self, overlay: str, version: int) -> facts.GateDecided:
        """Publishes a commit, and waits for what its gate decides."""
        self._repository.commit(overlay)
        self._running.command("publish", str(self._folder))

        def is_end(record: facts.LifecycleRecord) -> bool:
            return version in (record.gate_decided.version, record.training_failed.version)

        record = self._facts.wait(is_end, f"the verdict on v{version}", VERDICT_SECONDS)
        if not record.HasField("gate_decided"):
            raise UnexpectedResult(describe(record))
        return record.gate_decided

    def goes_live(self) -> None:
        self._facts.wait(lambda record: record.HasField("release_completed"), "it goes live", RELEASE_SECONDS)

    def goes_live_by_canary(self, release: int, row: list[float]) -> set[tuple[int, str]]:
        """Asks for one row with ever new keys until the release is complete. Versions that answered, and as what."""
        stubs, answered, end = self._running.stubs, set(), time.monotonic() + RELEASE_SECONDS
        while not any(record.release_completed.release == release for record in self._facts.records):
            assert time.monotonic() < end, [describe(record) for record in self._facts.records[-5:]]
            key = ((ROUTING_KEY_METADATA, str(len(answered) + time.monotonic_ns())),)
            request = rows_request(self._model, [row], "features")
            response = stubs.inference.ModelInfer(request, metadata=key, timeout=CALL_SECONDS)
            answered.add(
                (answer(response).version, ", ".join(f"{each.name} {each.shape}" for each in response.outputs))
            )
        return answered


def test_a_line_does_not_fit_a_square_and_a_network_that_bends_does(running: Running) -> None:
    story = Story(running, "regression", "regression")
    refused = story.verdict_on("1-line", 1)
    measured = {metric.name: metric.value for metric in refused.metrics}
    assert not refused.passed
    assert {result.rule.metric for result in refused.results if not result.passed} == {"r2", "mae"}
    assert measured["r2"] < 0.1
    shown = running.command("version", "get", "regression/1")
    assert f"{measured['mae']:.3f}" in shown

    assert story.verdict_on("2-curve", 2).passed
    story.goes_live()
    answered = json.loads(running.command("predict", "regression", "--row", "2", "--row", "-1.5", "-o", "json"))
    assert answered["version"] == 2
    assert answered["outputs"]["prediction"] == pytest.approx([4.0, 2.25], abs=0.3)
    assert "plot.residuals.png" in running.command("version", "get", "regression/2")
    running.command("version", "download", "regression/2", "files", "--file", "plot.residuals.png")
    assert (running.folder / "files" / "plot.residuals.png").read_bytes().startswith(b"\x89PNG")

    # Boosted trees are released beside the network, and then the network beside the trees: callers see one model.
    assert story.verdict_on(str(commit_of_trees(running.folder / "3-trees")), 3).passed
    served = {(version, "prediction [1, 1]") for version in (2, 3)}
    assert story.goes_live_by_canary(2, [2.0]) == served
    running.command("release", "start", "regression/2")
    assert story.goes_live_by_canary(3, [2.0]) == served
    story.close()
    trees = running.command("version", "get", "regression/3")
    assert "meets the allowed drop 0.0200 from the live version's" in trees
    assert "\nsignature " not in trees


def commit_of_trees(folder: Path) -> Path:
    """A commit that replaces the network by trees of scikit-learn, with the packages of another example."""
    folder.mkdir()
    declared = (EXAMPLES / "regression" / "headgate.toml").read_text().splitlines()
    data = next(line for line in declared if line.startswith("squares ="))
    (folder / "MESSAGE").write_text("Trees in place of the network")
    (folder / "model.py").write_text(TREES)
    (folder / "headgate.toml").write_text(TREES_TOML.format(data=data))
    shutil.copy(EXAMPLES / "credit" / "requirements.txt", folder)
    return folder


def test_a_spoken_digit_goes_from_sound_to_its_name(running: Running) -> None:
    story = Story(running, "spoken_digits", "spoken-digits")
    assert story.verdict_on("1-spectrogram", 1).passed
    story.goes_live()
    story.close()
    # A live clip has another length than those of the training.
    clip = running.folder / "clip.json"
    clip.write_text(json.dumps({"audio": [[sample % 200 - 100 for sample in range(SAMPLES)]]}))
    answered = json.loads(running.command("predict", "spoken-digits", "--json", str(clip), "-o", "json"))
    assert answered["version"] == 1


def test_a_review_goes_from_text_to_a_probability(running: Running) -> None:
    story = Story(running, "reviews", "reviews")
    assert story.verdict_on("1-words", 1).passed
    story.goes_live()
    story.close()
    texts = running.folder / "texts.json"
    texts.write_text(json.dumps({"text": ["The soup was very good!", "The room was NOT lovely, the bed was dirty."]}))
    answered = json.loads(running.command("predict", "reviews", "--json", str(texts), "-o", "json"))
    assert answered["version"] == 1
    praise, blame = answered["outputs"]["prediction"]
    assert praise > 0.5 > blame


def test_a_credit_goes_from_words_codes_and_numbers_to_the_chance_that_it_is_repaid_late(running: Running) -> None:
    story = Story(running, "credit", "credit")
    assert story.verdict_on("1-trees", 1).passed
    story.goes_live()
    story.close()
    loans = running.folder / "loans.json"
    asked = {
        "purpose": [["car"], ["trade"], ["boat"]],
        "home": [["own"], ["rent"], ["rent"]],
        "branch": [[340], [205], [999]],
        "numbers": [[3_000, 36, 4_000, 0], [20_000, 24, 2_000, 3], [9_000, 36, 2_500, 0]],
    }
    loans.write_text(json.dumps(asked))
    answered = json.loads(running.command("predict", "credit", "--json", str(loans), "-o", "json"))
    assert answered["version"] == 1
    safe, risky, unknown = answered["outputs"]["probabilities"][1::2]
    assert safe < 0.2 < 0.5 < risky
    assert 0 < unknown < 1
