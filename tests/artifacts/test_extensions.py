"""Graphs with operators of onnxruntime-extensions run as any other."""

import numpy as np
import onnxruntime

from headgate.artifacts.extensions import register_extensions
from tests.artifacts.graph_material import tokenizer


def test_a_session_runs_a_graph_that_reads_text():
    graph = tokenizer().SerializeToString()
    options = onnxruntime.SessionOptions()
    register_extensions(options, graph)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    (lengths,) = session.run(None, {"text": np.array(["a", "four"], object)})

    assert lengths.tolist() == [1.0, 4.0]
