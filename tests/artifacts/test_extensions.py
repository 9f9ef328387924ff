"""Graphs with operators of onnxruntime-extensions run as any other."""

import subprocess
import sys

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


def test_the_library_loads_no_torch_and_leaves_the_environment_of_child_processes_as_it_was():
    script = """
import os, sys, onnxruntime
from headgate.artifacts.extensions import DOMAIN, register_extensions
before = dict(os.environ)
register_extensions(onnxruntime.SessionOptions(), DOMAIN.encode())
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
