"""Repositories of the kinds that teams publish go from their own tensors to answers of the gateway."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from headgate.artifacts import layout
from headgate.v1 import configuration_pb2 as configuration
from services.evaluator.inference import always, load, predict
from services.evaluator.score import read_rows, score_on
from services.gateway.sessions import LoadedVersion, load_onnx
from services.trainer.job import ARTIFACT_DIRECTORY
from tests.trainer.kinds import KINDS

# On a busy machine the start of torch alone takes a minute.
pytestmark = pytest.mark.timeout(600)


@dataclass
class Kinds:
    directory: Path
    outcomes: dict[str, Any]

    def file(self, kind: str, name: str) -> bytes:
        assert "finished" in self.outcomes[kind], self.outcomes[kind]
        return (self.directory / f"model_{kind.replace(' ', '_')}" / ARTIFACT_DIRECTORY / name).read_bytes()

    def served(self, kind: str) -> LoadedVersion:
        return load_onnx("kind", 1, self.file(kind, layout.MODEL_FILE))


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Kinds:
    directory = tmp_path_factory.mktemp("kinds")
    script = Path(__file__).parents[1] / "kinds_process.py"
    done = subprocess.run([sys.executable, "-P", str(script), str(directory)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Kinds(directory, json.loads((directory / "outcomes.json").read_text()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_has_the_names_the_datatypes_and_the_dimensions_that_vary(kinds: Kinds, kind: str) -> None:
    signature = json.loads(kinds.file(kind, layout.SIGNATURE_FILE))
    for side, expected in (("inputs", KINDS[kind].inputs), ("outputs", KINDS[kind].outputs)):
        assert {each["name"]: (each["datatype"], each["shape"]) for each in signature[side]} == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_evaluator_measures_what_the_gateway_answers(kinds: Kinds, kind: str) -> None:
    rows = read_rows(kinds.file(kind, layout.TEST_ROWS_FILE), 4)
    session = load(kinds.file(kind, layout.MODEL_FILE))
    task = KINDS[kind].job.get("task", "binary")
    declared = configuration.ModelConfiguration(task=task)
    declared.network.measured = KINDS[kind].job.get("measured", "")
    report = score_on(session, declared, declared.evaluate, rows, always)
    assert (report.rows, len(report.metrics) > 0) == (9, True)
    served = kinds.served(kind)
    assert {name: (spec.datatype, spec.wire_shape) for name, spec in served.inputs.items()} == KINDS[kind].inputs
    assert {spec.name: (spec.datatype, spec.wire_shape) for spec in served.outputs} == KINDS[kind].outputs
    answers = served.predict(rows.features, [spec.name for spec in served.outputs])
    measured = predict(session, rows.features, 9)
    for spec, array in zip(served.outputs, answers, strict=True):
        np.testing.assert_array_equal(array, measured[spec.name])


def test_token_numbers_reach_the_graph_as_they_are(kinds: Kinds) -> None:
    rows = read_rows(kinds.file("tokens", layout.TEST_ROWS_FILE), 4)
    assert rows.features["features"].dtype == np.int64
    assert rows.features["features"].min() >= 16_777_217


def test_a_model_answers_rows_of_other_lengths_than_it_was_trained_on(kinds: Kinds) -> None:
    served = kinds.served("lengths")
    assert [spec.shape for spec in served.inputs.values()] == [("batch", "length"), ("batch", "length")]
    tokens = np.arange(24).reshape(2, 12)
    one, steps = served.predict({"tokens": tokens, "mask": np.ones((2, 12), np.bool_)}, ["prediction", "steps"])
    assert (one.shape, steps.shape) == ((2, 1), (2, 12, 4))


@pytest.mark.parametrize("kind", ["logits", "two logits", "labels"])
def test_a_network_of_logits_serves_probabilities(kinds: Kinds, kind: str) -> None:
    served = kinds.served(kind)
    (answers,) = served.predict({"features": np.array([[50, 50, 50], [-50, -50, -50]], np.float32)}, ["prediction"])
    assert answers.min() >= 0
    assert answers.max() <= 1
    weights = safetensors.numpy.load(kinds.file(kind, layout.WEIGHTS_FILE))
    logits = np.array([[50, 50, 50], [-50, -50, -50]], np.float32) @ weights["weight"].T + weights["bias"]
    expected = 1 / (1 + np.exp(-(logits[:, 1:] - logits[:, :1] if kind == "two logits" else logits)))
    np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["a dataset", "a loader", "two heads"])
def test_a_training_that_goes_on_from_a_checkpoint_gives_the_same_bytes(kinds: Kinds, kind: str) -> None:
    assert kinds.outcomes[kind]["differing after a kill"] == []
