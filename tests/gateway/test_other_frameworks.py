"""A gateway loads and runs what other frameworks leave: trees with labels, and graphs that read text."""

import numpy as np
import pytest

from headgate.artifacts.layout import EXAMPLE_ROW
from services.gateway.loading.onnx_loading import load_onnx
from services.gateway.sessions import ModelUnusable
from services.gateway.tensors import TensorSpec
from tests.artifacts.graph_material import tokenizer, tree


def test_trees_answer_labels_and_probabilities():
    loaded = load_onnx("credit", 1, tree().SerializeToString())

    labels, probabilities = loaded.predict(
        {"input": np.array([[0.2, 0], [0.7, 0]], np.float32)}, ["label", "probabilities"]
    )

    assert loaded.inputs == {"input": TensorSpec("input", "FP32", ("", 2))}
    assert labels.tolist() == [0, 1]
    np.testing.assert_allclose(probabilities, [[0.9, 0.1], [0.1, 0.9]], atol=1e-6)


def test_an_example_row_that_does_not_fit_is_refused_in_words():
    made = tree()
    made.metadata_props.add(key=EXAMPLE_ROW, value='{"features": [[0.0, 0.0]]}')
    with pytest.raises(ModelUnusable, match="is not a JSON object with a row of each input"):
        load_onnx("credit", 1, made.SerializeToString())


def test_operators_of_onnxruntime_extensions_read_the_text_of_a_request():
    loaded = load_onnx("reviews", 1, tokenizer().SerializeToString())

    (lengths,) = loaded.predict({"text": np.array(["good", "bad"], object)}, ["prediction"])

    assert loaded.inputs["text"].datatype == "BYTES"
    assert lengths.tolist() == [4, 3]
