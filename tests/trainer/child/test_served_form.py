"""An ONNX file with the names of other callers: what it takes and answers then, and that it answers the same."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from services.trainer.child.failure import ExportFailure
from services.trainer.child.served_form import inspected, with_one_output
from tests.artifacts import graph_material as material

ROWS = np.array([[0.2, 0], [0.7, 0]], np.float32)
BINARY: dict[str, Any] = {"are_probabilities": True, "task": "binary"}


def answers(data: bytes, **features: Any) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, features), strict=True))


def test_callers_send_the_input_by_the_name_that_they_know() -> None:
    data, graph = inspected(material.tree().SerializeToString(), {"input": "features"})

    assert [tensor.name for tensor in graph.inputs] == ["features"]
    np.testing.assert_allclose(answers(data, features=ROWS)["probabilities"], [[0.9, 0.1], [0.1, 0.9]], atol=1e-6)


def test_two_inputs_may_change_their_names_and_one_inside_a_branch_follows() -> None:
    branch = [
        helper.make_graph(
            [helper.make_node("Identity", [name], [f"from_{name}"])], name, [], [material.floats(f"from_{name}", None)]
        )
        for name in ("a", "b")
    ]
    chosen = helper.make_node("If", ["is_a"], ["y"], then_branch=branch[0], else_branch=branch[1])
    always = helper.make_tensor("is_a", TensorProto.BOOL, [], [True])
    made = material.model(
        [chosen], [material.floats("a", None), material.floats("b", None)], [material.floats("y", None)], [always]
    )

    data, _ = inspected(made.SerializeToString(), {"a": "b", "b": "a"})

    assert answers(data, a=np.float32([1]), b=np.float32([2]))["y"].tolist() == [2]


def test_a_tensor_inside_the_file_makes_way_for_a_name_of_callers() -> None:
    nodes = [material.identity("x", "prediction"), material.identity("prediction", "y")]
    made = material.model(nodes, [material.floats("x", None)], [material.floats("y", None)])

    data, _ = inspected(made.SerializeToString(), {"x": "features"})
    data = with_one_output(data, "y", "prediction", are_probabilities=False, task="regression")

    assert {name: array.tolist() for name, array in answers(data, features=np.float32([3])).items()} == {
        "prediction": [3]
    }


def test_of_two_classes_the_chance_of_the_second_is_served_alone() -> None:
    data = with_one_output(material.tree().SerializeToString(), "probabilities", "prediction", **BINARY)

    _, graph = inspected(data, {})
    assert [(each.name, each.datatype, each.shape) for each in graph.outputs] == [("prediction", "float32", ("", 1))]
    np.testing.assert_allclose(answers(data, input=ROWS)["prediction"], [[0.1], [0.9]], atol=1e-6)


@pytest.mark.parametrize("datatype", [TensorProto.FLOAT, TensorProto.DOUBLE])
def test_of_several_classes_the_logarithms_are_served_and_a_chance_of_zero_stays_finite(datatype: int) -> None:
    numbers = helper.tensor_dtype_to_np_dtype(datatype)
    shapes = [helper.make_tensor_value_info(name, datatype, [None, 3]) for name in ("x", "probabilities")]
    made = material.model([material.identity("x", "probabilities")], shapes[:1], shapes[1:])
    rows = np.array([[0.5, 0.5, 0.0]], numbers)

    data = with_one_output(
        made.SerializeToString(), "probabilities", "prediction", are_probabilities=True, task="multiclass"
    )

    logits = answers(data, x=rows)["prediction"].astype(np.float64)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), rows, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"X": "features"}, "network.inputs: the file takes no X; it takes input"),
        ({"a": "b"}, "network.inputs: two inputs would have one name: b, b"),
    ],
)
def test_a_name_that_cannot_be_given_is_refused(names: dict[str, str], reason: str) -> None:
    two = material.model(
        [helper.make_node("Add", ["a", "b"], ["y"])],
        [material.floats("a", None), material.floats("b", None)],
        [material.floats("y", None)],
    )
    made: onnx.ModelProto = two if "a" in names else material.tree()

    with pytest.raises(ExportFailure, match=reason):
        inspected(made.SerializeToString(), names)


def test_the_output_has_another_name_than_the_inputs() -> None:
    with pytest.raises(ExportFailure, match=r"network\.served_as: an input is called input"):
        with_one_output(material.tree().SerializeToString(), "probabilities", "input", **BINARY)
