"""Runs a model with ONNX Runtime. It uses one thread, so that the same rows give the same predictions, bit for bit."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from headgate.artifacts.batches import batches, rows_at_once
from headgate.artifacts.layout import INPUT, OUTPUT

FATAL_ONLY = 4

_FAULTS = (
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoModel,
    native.NotImplemented,
    native.RuntimeException,
)


class Unrunnable(Exception):
    """ONNX Runtime cannot load the model or run it on these rows."""


def load(model: bytes) -> onnxruntime.InferenceSession:
    """Raises Unrunnable."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY  # errors are raised, so ONNX Runtime need not print them too
    with _unrunnable():
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def predict(
    session: onnxruntime.InferenceSession, features: npt.NDArray[np.float32], batch_size: int
) -> npt.NDArray[np.generic]:
    """One prediction for each of some rows, in batches no larger than the training's. Raises Unrunnable."""
    require_fit(session, features)
    at_most = rows_at_once(features[:1].nbytes, batch_size)
    with _unrunnable():
        parts = batches(len(features), at_most)
        return np.concatenate([session.run([OUTPUT], {INPUT: features[part]})[0] for part in parts])


def require_fit(session: onnxruntime.InferenceSession, features: npt.NDArray[np.float32]) -> None:
    """Raises Unrunnable when the model takes rows of another shape."""
    shape = next((node.shape for node in session.get_inputs() if node.name == INPUT), None)
    if shape is None:
        raise Unrunnable(f"the model has no input {INPUT}")
    fits = len(shape) == features.ndim and all(
        not isinstance(wanted, int) or wanted == size for wanted, size in zip(shape, features.shape, strict=True)
    )
    if not fits:
        raise Unrunnable(
            f"the model takes rows of the shape {list(shape[1:])}, and these have {list(features.shape[1:])}"
        )


@contextmanager
def _unrunnable() -> Iterator[None]:
    try:
        yield
    except (*_FAULTS, ValueError) as error:
        raise Unrunnable(f"ONNX Runtime: {error}") from error
