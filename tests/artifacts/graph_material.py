"""Small ONNX files of the kinds that people bring: a tree, one that takes text, and ones that are refused."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
CONTRIB = "ai.onnx.contrib"
DOMAINS = {"": 17, ML: 3, CONTRIB: 1}


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    initializers: Sequence[TensorProto] = (),
    **more: Any,
) -> ModelProto:
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(initializers))
    used = [helper.make_opsetid(domain, version) for domain, version in (DOMAINS | more.pop("domains", {})).items()]
    return helper.make_model(graph, opset_imports=used, ir_version=10, **more)


def floats(name: str, *shape: int | str | None) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def whole(name: str, *shape: int | str | None) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.INT64, list(shape))


def text(name: str, *shape: int | str | None) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.STRING, list(shape))


def identity(*names: str, **attributes: Any) -> NodeProto:
    return helper.make_node("Identity", [names[0]], [names[1]], **attributes)


def tree(threshold: float = 0.5, probabilities: tuple[float, float] = (0.1, 0.9), taken: str = "input") -> ModelProto:
    """A boosted tree as onnxmltools writes it: label and the probabilities of both classes, split at column 0."""
    node = helper.make_node(
        "TreeEnsembleClassifier",
        [taken],
        ["label", "probabilities"],
        domain=ML,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_values=[threshold, 0.0, 0.0],
        nodes_hitrates=[1.0, 1.0, 1.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[0, 0, 0],
        class_treeids=[0, 0],
        class_nodeids=[1, 2],
        class_ids=[0, 0],
        class_weights=list(probabilities),
        classlabels_int64s=[0, 1],
        post_transform="NONE",
    )
    return model([node], [floats(taken, None, 2)], [whole("label", None), floats("probabilities", None, 2)])


def with_zipmap() -> ModelProto:
    """As skl2onnx writes it unless it is asked not to."""
    made = tree()
    made.graph.node.append(
        helper.make_node("ZipMap", ["probabilities"], ["output_probability"], domain=ML, classlabels_int64s=[0, 1])
    )
    made.graph.output[1].CopyFrom(
        helper.make_value_info(
            "output_probability",
            helper.make_sequence_type_proto(
                helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
            ),
        )
    )
    return made


def tokenizer() -> ModelProto:
    """Text in, the length of each text out; by an operator of onnxruntime-extensions."""
    nodes = [
        helper.make_node("StringLength", ["text"], ["length"], domain=CONTRIB),
        helper.make_node("Cast", ["length"], ["prediction"], to=TensorProto.FLOAT),
    ]
    return model(nodes, [text("text", None)], [floats("prediction", None)])


def categories(*known: str) -> ModelProto:
    """As skl2onnx writes a OneHotEncoder: a text that it does not know fails."""
    node = helper.make_node("OneHotEncoder", ["town"], ["encoded"], domain=ML, cats_strings=known, zeros=0)
    nodes = [node, helper.make_node("ReduceMax", ["encoded"], ["prediction"], axes=[2], keepdims=0)]
    return model(nodes, [text("town", None, 1)], [floats("prediction", None, 1)])


def detector() -> ModelProto:
    """The scores above 0.5 of each row and their places; beside others a row gets as many as the row with the most."""
    nodes = [
        helper.make_node("Greater", ["rows", "half"], ["is_found"]),
        helper.make_node("Cast", ["is_found"], ["found"], to=TensorProto.INT64),
        helper.make_node("ReduceSum", ["found", "columns"], ["counts"], keepdims=0),
        helper.make_node("ReduceMax", ["counts"], ["most"], keepdims=1),
        helper.make_node("TopK", ["rows", "most"], ["scores", "places"]),
    ]
    constants = [numpy_helper.from_array(np.array(0.5, np.float32), "half"), helper.make_tensor("columns", 7, [1], [1])]
    outputs = [floats("scores", None, "boxes"), whole("places", None, "boxes")]
    return model(nodes, [floats("rows", None, 5)], outputs, constants)


def suppression() -> ModelProto:
    """A detector that answers the boxes of all rows below each other, with the number of the row before each."""
    nodes = [helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "score"], ["selected"])]
    constants = [
        helper.make_tensor("most", TensorProto.INT64, [1], [3]),
        helper.make_tensor("overlap", TensorProto.FLOAT, [1], [0.5]),
        helper.make_tensor("score", TensorProto.FLOAT, [1], [0.5]),
    ]
    inputs = [floats("boxes", None, 4, 4), floats("scores", None, 1, 4)]
    return model(nodes, inputs, [whole("selected", None, 3)], constants)


WEIGHTS = np.arange(4, dtype=np.float32).reshape(2, 2)


def multiplication(weights: TensorProto) -> ModelProto:
    node = helper.make_node("MatMul", ["x", "weights"], ["y"])
    return model([node], [floats("x", None, 2)], [floats("y", None, 2)], [weights])


def beside(location: str = "../weights.bin") -> ModelProto:
    """WEIGHTS lie in a file beside it."""
    weights = numpy_helper.from_array(WEIGHTS, "weights")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    weights.external_data.add(key="length", value=str(WEIGHTS.nbytes))
    return multiplication(weights)


def hidden_in_a_branch(node: NodeProto, initializers: Sequence[TensorProto] = ()) -> ModelProto:
    """The node stands in a branch of a branch, and answers z."""

    def branch(inner: NodeProto, some: Sequence[TensorProto] = ()) -> Any:
        return helper.make_graph([inner], "branch", [], [floats("z", None, 2)], list(some))

    def choice(name: str, inner: NodeProto, some: Sequence[TensorProto] = ()) -> NodeProto:
        other = branch(identity("x", "z"))
        return helper.make_node("If", ["yes"], [name], then_branch=branch(inner, some), else_branch=other)

    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    return model([choice("y", choice("z", node, initializers))], [floats("x", None, 2)], [floats("y", None, 2)], [yes])
