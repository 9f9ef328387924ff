"""What is taken as a model and what is refused, with the reason and what to do."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from headgate.artifacts import graphs
from headgate.artifacts.graphs import GraphRefused, GraphTensor, inspect, joined, read_graph
from tests.artifacts.graph_material import (
    WEIGHTS,
    beside,
    floats,
    hidden_in_a_branch,
    identity,
    model,
    multiplication,
    text,
    tokenizer,
    tree,
    whole,
    with_zipmap,
)


def refusal(made: ModelProto | bytes) -> str:
    with pytest.raises(GraphRefused) as refused:
        inspect(made if isinstance(made, bytes) else made.SerializeToString())
    return str(refused.value)


def of_one_node(domain: str = "", **shape: Any) -> ModelProto:
    node = identity("x", "y", domain=domain)
    return model([node], [floats("x", None, 2)], [floats("y", None, 2)], domains={domain: 1} if domain else {}, **shape)


def test_a_tree_takes_numbers_and_answers_labels_and_probabilities():
    found = inspect(tree().SerializeToString())

    assert found.inputs == (GraphTensor("input", "float32", ("", 2)),)
    assert found.outputs == (GraphTensor("label", "int64", ("",)), GraphTensor("probabilities", "float32", ("", 2)))


def test_operators_of_onnxruntime_extensions_are_taken_with_the_text_that_they_read():
    assert inspect(tokenizer().SerializeToString()).inputs == (GraphTensor("text", "object", ("",)),)


def test_a_tensor_that_has_a_value_of_its_own_is_no_input():
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1, 2, 3, 4])
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    made = model([node], [floats("x", None, 2), floats("w", 2, 2)], [floats("y", None, 2)], [weights])

    assert [tensor.name for tensor in inspect(made.SerializeToString()).inputs] == ["x"]


def test_a_name_stands_for_a_dimension_that_varies():
    made = model([identity("x", "y")], [whole("x", "batch", "length")], [whole("y", "batch", "length")])

    assert inspect(made.SerializeToString()).inputs[0].shape == ("batch", "length")


@pytest.mark.parametrize("domain", ["com.microsoft", "com.example", "ai.onnx.preview.training"])
def test_operators_of_other_domains_are_refused_by_name(domain: str):
    assert f"it uses the operators {domain}.Identity" in refusal(of_one_node(domain))


def test_the_tokenizer_of_a_vectorizer_is_refused_with_what_splits_text_instead():
    made = of_one_node("com.microsoft")
    made.graph.node[0].op_type = "Tokenizer"

    assert "split the text by ONNX's StringSplit" in refusal(made)
    assert "StringSplit" not in refusal(of_one_node("com.microsoft"))


def test_an_operator_in_a_branch_of_a_branch_is_found():
    node = identity("x", "z", domain="com.example")

    assert "com.example.Identity" in refusal(hidden_in_a_branch(node))


def test_a_file_beside_it_that_a_branch_names_is_found():
    stored = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1, 2, 3, 4])
    stored.ClearField("float_data")
    stored.data_location = TensorProto.EXTERNAL
    stored.external_data.add(key="location", value="/etc/passwd")
    node = helper.make_node("MatMul", ["x", "w"], ["z"])

    assert "its tensor w lies in a file beside it (/etc/passwd)" in refusal(hidden_in_a_branch(node, [stored]))


def test_an_operator_in_a_function_of_the_model_is_found_and_the_function_itself_is_taken():
    def calling(inner: str) -> ModelProto:
        opsets = (
            [helper.make_opsetid("", 17), helper.make_opsetid(inner, 17)] if inner else [helper.make_opsetid("", 17)]
        )
        function = helper.make_function("own", "Twice", ["a"], ["b"], [identity("a", "b", domain=inner)], opsets)
        node = helper.make_node("Twice", ["x"], ["y"], domain="own")
        return model([node], [floats("x", None, 2)], [floats("y", None, 2)], domains={"own": 1}, functions=[function])

    assert inspect(calling("").SerializeToString()).inputs
    assert "com.example.Identity" in refusal(calling("com.example"))


def test_weights_in_a_file_beside_it_are_refused_with_the_way_to_put_them_in():
    message = refusal(beside())

    assert "its tensor weights lies in a file beside it (../weights.bin)" in message
    assert "onnx.save_model" in message


def test_weights_in_a_file_beside_it_are_joined_with_the_graph(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(beside("weights.data").SerializeToString())
    (tmp_path / "weights.data").write_bytes(WEIGHTS.tobytes())
    (tmp_path / "whole.onnx").write_bytes(tree().SerializeToString())

    whole = joined(tmp_path / "model.onnx")

    expected = multiplication(numpy_helper.from_array(WEIGHTS, "weights"))
    assert whole == expected.SerializeToString(deterministic=True)
    assert joined(tmp_path / "whole.onnx") is None


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "nothing", "link"])
def test_weights_outside_of_the_folder_of_the_graph_are_not_joined(tmp_path: Path, location: str):
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "model.onnx").write_bytes(beside(location).SerializeToString())

    with pytest.raises(GraphRefused, match="its weights lie in files beside it and cannot be read: "):
        joined(folder / "model.onnx")


def test_a_graph_that_is_too_large_with_its_weights_is_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "model.onnx").write_bytes(beside("nothing").SerializeToString())
    monkeypatch.setattr(graphs, "MAX_GRAPH_BYTES", (tmp_path / "model.onnx").stat().st_size)

    with pytest.raises(GraphRefused, match="and a model has at most"):
        joined(tmp_path / "model.onnx")


def test_an_operator_that_does_not_exist_is_refused():
    made = of_one_node()
    made.graph.node[0].op_type = "Identify"

    assert "it is no valid ONNX: No Op registered for Identify" in refusal(made)


def test_maps_are_refused_with_the_option_of_the_converter():
    message = refusal(with_zipmap())

    assert "its output output_probability is a sequence" in message
    assert "options={'zipmap': False}" in message


def test_a_sequence_of_tensors_is_refused_with_the_operator_that_joins_them():
    made = of_one_node()
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None, 2]))
    made.graph.output[0].CopyFrom(helper.make_value_info("y", sequence))

    assert "its output y is a sequence, and only tensors are served. Join its tensors into one" in refusal(made)


def test_a_fixed_number_of_rows_is_refused():
    made = model([identity("x", "y")], [floats("x", 1, 2)], [floats("y", 1, 2)])

    assert "its input x has the shape [1, 2]: the first dimension is the batch" in refusal(made)


@pytest.mark.parametrize("shape", [(), None])
def test_an_input_without_rows_is_refused(shape: tuple[int, ...] | None):
    made = of_one_node()
    made.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))

    assert "its input x" in refusal(made)


@pytest.mark.parametrize("kind", ["BFLOAT16", "COMPLEX64"])
def test_a_datatype_that_no_request_can_carry_is_refused(kind: str):
    made = of_one_node()
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DataType.Value(kind)

    assert f"is of {kind}, and what is served is one of" in refusal(made)


def test_two_inputs_of_one_name_are_refused():
    made = of_one_node()
    made.graph.input.append(made.graph.input[0])

    assert refusal(made)


def test_an_old_version_of_the_operators_is_refused():
    made = of_one_node()
    made.opset_import[0].version = 6

    assert "version 6 of ONNX's operators" in refusal(made)


def test_a_graph_of_too_many_operators_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(graphs, "MAX_NODES", 1)

    assert "more than 1 operators" in refusal(tokenizer())


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(graphs, "refuse_foreign", lambda head: pytest.fail("it was read"))
    file = tmp_path / "model.onnx"
    with file.open("wb") as content:
        content.truncate(3 << 30)

    with pytest.raises(GraphRefused, match=f"it has {3 << 30} bytes"):
        read_graph(file)


def test_a_file_within_the_limit_is_read_whole(tmp_path: Path):
    file = tmp_path / "model.onnx"
    file.write_bytes(tree().SerializeToString())

    assert read_graph(file) == file.read_bytes()


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00" * 64, b"<!DOCTYPE html><html></html>", b"\x08\x0a"])
def test_bytes_that_are_nothing_are_no_onnx(data: bytes):
    assert "no ONNX file" in refusal(data)


def test_a_file_that_was_cut_off_is_no_onnx():
    data = tree().SerializeToString()

    assert refusal(data[: len(data) // 2])


def zipped(name: str, extra: bytes = b"") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.extra = extra
        archive.writestr(entry, "content")
    return content.getvalue()


FOREIGN = {
    "a pickle": b"\x80\x04\x95\x96\x00\x00\x00\x00\x00\x00\x00\x8c\x1asklearn.linear_model._base\x94",
    "an old pickle": b"ccopy_reg\n_reconstructor\nq\x00(csklearn.linear_model._base\n",
    "a joblib": b"\x78\x5e\x1d\xc1\x07\x18\x10\x82",
    "a file of PyTorch": zipped("net/data.pkl", b"FB\x01\x00Z"),
    "TorchScript": zipped("script/data/0", b"FB\x01\x00Z"),
    "pt2": zipped("program/data/weights/weight_0", b"FB\x01\x00Z"),
    "torch.save": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
    ".keras": zipped("config.json"),
    "an archive": zipped("model.onnx"),
    "a compressed file": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "safetensors": (64).to_bytes(8, "little") + b'{"weight":{"dtype":"F32"}}',
    "HDF5": b"\x89HDF\r\n\x1a\n\x00\x00",
    "TensorFlow Lite": b"\x1c\x00\x00\x00TFL3",
    "LightGBM": b"tree\nversion=v4\n",
    "XGBoost": b'{"learner":{"attributes":{}}}',
    "an array of numpy": b"\x93NUMPY\x01\x00",
    "the MLmodel of a folder of MLflow": b"artifact_path: model\nflavors:\n  python_function:\n    env: conda.yaml\n",
    "only python_function, xgboost. To convert, load it where it was made by mlflow.xgboost.load_model(folder)": (
        b"flavors:\n  python_function:\n    env:\n      conda: conda.yaml\n  xgboost:\n    data: model.xgb\nrun_id: 1\n"
    ),
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
}
WORDS = {
    "an old pickle": "a pickle",
    "a joblib": "a compressed joblib file",
    "pt2": "a file of PyTorch",
    "torch.save": "a pickle",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_people_bring_besides_onnx_is_recognised_and_refused_with_the_way_to_convert(kind: str):
    message = refusal(FOREIGN[kind])

    assert WORDS.get(kind, kind) in message
    assert "To convert, " in message


def test_text_is_served_and_a_single_value_as_output_is_left_to_the_run():
    made = model([identity("x", "y")], [text("x", None, 1)], [text("y", None, 1)])

    assert inspect(made.SerializeToString()).outputs[0].datatype == "object"
