"""A model that never ends its answer is ended, wherever Headgate runs it, and a fault is named in plain words."""

import re

import numpy as np
import onnxruntime
import pytest

from headgate.artifacts.graphs import inspect
from headgate.artifacts.timed_runs import reason_of, timed_calls, timed_load
from services.evaluator.inference import Unrunnable, load, predict
from services.evaluator.measuring import always
from services.trainer.child.built import Run
from services.trainer.child.failure import ExportFailure
from tests.gateway import networks
from tests.trainer.child.test_built import JOB

DAYS = np.full((2, 3), 1e15, np.float32)
"""The model counts up to these values."""
LIMIT_SECONDS = 0.1
SAYS_SO = "it gave no answer within 0.1 s. Look for a loop without an end"


def test_the_trainer_ends_a_file_that_loops_and_refuses_it() -> None:
    data = networks.counting()
    run = Run(data, inspect(data), JOB, LIMIT_SECONDS)
    with pytest.raises(ExportFailure, match=SAYS_SO):
        run.in_batches({"x": DAYS})
    assert run({"x": np.ones((2, 3), np.float32)})["y"].tolist() == [[1.0] * 3] * 2


def test_the_evaluator_ends_a_model_that_loops() -> None:
    with pytest.raises(Unrunnable, match=SAYS_SO):
        predict(load(networks.counting()), {"x": DAYS}, 16, always, LIMIT_SECONDS)


def test_the_evaluator_ends_a_model_that_computes_while_it_loads() -> None:
    with pytest.raises(Unrunnable, match=r"it did not load within 0\.01 s\. ONNX Runtime computes all"):
        load(networks.slow_to_load(), 0.01)


def test_a_fault_of_a_load_keeps_its_own_reason() -> None:
    with pytest.raises(Exception, match="INVALID_PROTOBUF"):
        timed_load(b"no model", onnxruntime.SessionOptions())


def test_a_fault_that_is_no_loop_keeps_its_own_reason() -> None:
    session = onnxruntime.InferenceSession(networks.counting())
    with (
        timed_calls(session) as call,
        pytest.raises(ValueError, match=re.escape("Required inputs (['x']) are missing")),
    ):
        call(["y"], {})


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running ConstantOfShape node. Name:'c'"
            " Status Message: /src/bfc_arena.cc:360 void* Alloc(size_t) Failed to allocate memory for requested buffer"
            " of size 48000000000\n",
            "ConstantOfShape: it asks for 48000000000 bytes of memory at once, and there is not so much."
            " Use a smaller model or batch",
        ),
        ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Invalid rank for input: x", "Invalid rank for input: x"),
        ("something else", "something else"),
    ],
)
def test_a_reason_has_neither_codes_nor_places_in_the_source_of_onnx_runtime(said: str, reason: str) -> None:
    assert reason_of(RuntimeError(said)) == reason
