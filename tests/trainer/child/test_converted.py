"""Files as the converters of XGBoost, LightGBM and Keras write them, built by a trainer and served by a gateway."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from headgate.artifacts import layout
from headgate.artifacts.graphs import Graph, GraphTensor
from headgate.inference import grpc_predict_v2_pb2 as inference
from services.trainer.child.built import build_artifact
from services.trainer.child.declared_shapes import with_answered_shapes
from tests.artifacts import converted
from tests.artifacts.graph_material import floats, identity, model
from tests.gateway.harness import infer_request, running_gateway
from tests.trainer.child.test_built import JOB

FILES = Path(converted.__file__).parent
LABEL, PROBABILITIES = ("label", "INT64", [-1]), ("probabilities", "FP32", [-1, 2])
OUTPUTS = {
    "xgboost": [LABEL, PROBABILITIES],
    "lightgbm": [LABEL, PROBABILITIES],
    "keras": [("Identity:0", "FP32", [-1, 1])],
}
MODULE = """
import json
import numpy as np
from pathlib import Path

FILES = Path({files!r})

def datasets(context):
    asked = json.loads((FILES / "{framework}.json").read_text())
    return {{"test": (np.float32(asked["features"]), np.array([0, 1, 0, 1, 0]))}}

def build(context):
    return FILES / "{framework}.onnx"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]
    sys.modules.pop("converted_model", None)


def artifact(checkout: Path, framework: str, **job: Any) -> Path:
    """The folder with the files of a version that a repository builds by leaving the converted file."""
    (checkout / "converted_model.py").write_text(MODULE.format(files=str(FILES), framework=framework))
    files = checkout / "artifact"
    files.mkdir()
    build_artifact(files, replace(JOB, checkout=str(checkout), module="converted_model", **job))
    return files


@pytest.mark.parametrize("framework", OUTPUTS)
def test_a_converted_model_is_served_by_its_own_names_with_the_answers_of_its_framework(
    checkout: Path, framework: str, capfd: pytest.CaptureFixture[str]
) -> None:
    found = artifact(checkout, framework)
    assert capfd.readouterr() == ("", ""), "the log of an attempt is the repository's"
    asked = json.loads((FILES / f"{framework}.json").read_text())

    with running_gateway({("credit", 1): (found / layout.MODEL_FILE).read_bytes()}) as gateway:
        gateway.serve("credit", live=1, versions=[{}])
        metadata = gateway.stub.ModelMetadata(inference.ModelMetadataRequest(name="credit"))
        answer = gateway.infer(infer_request(asked["features"], "credit", "features"))

    described = {
        which: [(each.name, each.datatype, list(each.shape)) for each in getattr(metadata, which)]
        for which in ("inputs", "outputs")
    }
    assert described == {"inputs": [("features", "FP32", [-1, 4])], "outputs": OUTPUTS[framework]}
    signature: dict[str, Any] = json.loads((found / layout.SIGNATURE_FILE).read_text())
    assert {
        which: [(each["name"], each["datatype"], each["shape"]) for each in tensors]
        for which, tensors in signature.items()
    } == described
    answers = np.frombuffer(answer.raw_output_contents[-1], np.float32).reshape(answer.outputs[-1].shape)
    np.testing.assert_allclose(answers, asked["probabilities"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm"])
def test_converted_trees_answer_as_a_torch_network_where_headgate_toml_asks_for_it(
    checkout: Path, framework: str
) -> None:
    found = artifact(checkout, framework, served_as="prediction")
    asked = json.loads((FILES / f"{framework}.json").read_text())
    session = onnxruntime.InferenceSession(found / layout.MODEL_FILE, providers=["CPUExecutionProvider"])

    (answers,) = session.run(["prediction"], {"features": np.float32(asked["features"])})

    assert [node.shape[1:] for node in session.get_outputs()] == [[1]]
    np.testing.assert_allclose(answers, np.array(asked["probabilities"])[:, 1:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("declared", "answered", "becomes"),
    [
        ([1], (7,), ["rows"]),
        ([], (7, 2), ["rows", ""]),
        ([7, 3], (7, 2), ["rows", ""]),
        (["", "steps"], (7, 2), ["", "steps"]),
    ],
    ids=["one row", "no dimensions", "another size", "right"],
)
def test_an_output_declares_what_the_file_answers(
    declared: list[int | str], answered: tuple[int, ...], becomes: list[int | str]
) -> None:
    made = model([identity("x", "y")], [floats("x", "rows", 2)], [floats("y", *declared)])
    graph = Graph((GraphTensor("x", "float32", ("rows", 2)),), (GraphTensor("y", "float32", tuple(declared)),))

    mended = with_answered_shapes(made.SerializeToString(), graph, {"y": np.zeros(answered, np.float32)})

    shape = onnx.load_from_string(mended).graph.output[0].type.tensor_type.shape
    assert [size.dim_value or size.dim_param for size in shape.dim] == becomes
