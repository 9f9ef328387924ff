"""Runs a model with ONNX Runtime. It uses one thread, so that the same rows give the same predictions, bit for bit."""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from headgate.artifacts.batches import batches, rows_at_once
from headgate.artifacts.datatypes import NUMPY_TYPES
from headgate.artifacts.extensions import register_extensions
from headgate.artifacts.layout import INPUT, MODEL_FILE
from headgate.artifacts.timed_runs import MAX_CALL_SECONDS, MAX_LOAD_SECONDS, TookTooLong, timed_calls, timed_load
from services.evaluator.measuring import NotHeld, always

Named = Mapping[str, npt.NDArray[np.generic]]

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


def load(model: bytes, load_seconds: float = MAX_LOAD_SECONDS) -> onnxruntime.InferenceSession:
    """Inspects the model and loads it. Raises Unrunnable."""
    # Its modules take memory that an evaluator without work does not need.
    from headgate.artifacts.graphs import GraphRefused, inspect

    try:
        inspect(model)
    except GraphRefused as error:
        raise Unrunnable(f"{MODEL_FILE}: {error}") from error
    options = onnxruntime.SessionOptions()
    register_extensions(options, model)
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    with _unrunnable():
        return timed_load(model, options, load_seconds)


def predict(
    session: onnxruntime.InferenceSession,
    features: Named,
    batch_size: int,
    is_held: Callable[[], bool] = always,
    call_seconds: float = MAX_CALL_SECONDS,
    wanted: Collection[str] | None = None,
) -> Named:
    """What the model answers to some rows, by output, in batches no larger than the training's.

    `is_held` is asked before each batch. The model answers all outputs; those that are not `wanted` are dropped. Raises
    Unrunnable and NotHeld.
    """
    taken = fitting(session, features)
    names = outputs_of(session)
    kept = [name in (names if wanted is None else wanted) for name in names]
    rows = len(next(iter(taken.values())))
    at_most = rows_at_once(sum(array[:1].nbytes for array in taken.values()), batch_size)
    with _unrunnable(), timed_calls(session, call_seconds) as call:
        parts = []
        for part in batches(rows, at_most):
            if not is_held():
                raise NotHeld
            answers = call(names, {name: array[part] for name, array in taken.items()})
            parts.append(list(itertools.compress(answers, kept)))
        return {name: _joined(name, some) for name, *some in zip(itertools.compress(names, kept), *parts, strict=True)}


def outputs_of(session: onnxruntime.InferenceSession) -> list[str]:
    """The names of the model's outputs."""
    return [node.name for node in session.get_outputs()]


def _joined(name: str, parts: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
    """Raises Unrunnable when the size of an answer follows from what is in a row."""
    sizes = list(dict.fromkeys(part.shape[1:] for part in parts))
    if len(sizes) > 1:
        shown = " and ".join(str(list(each)) for each in sizes[:2])
        raise Unrunnable(f"the output {name} has rows of {shown}, and a metric takes as many numbers for each row")
    return np.concatenate(parts)


def fitting(session: onnxruntime.InferenceSession, features: Named) -> Named:
    """The rows of each input of the model. Raises Unrunnable when it takes others."""
    nodes = session.get_inputs()
    for node in nodes:
        where = "" if node.name == INPUT else f"{node.name}: "
        if node.name not in features:
            known = ", ".join(features)
            raise Unrunnable(f"the model takes the input {node.name}, and these rows have {known}")
        _require_fit(where, node, features[node.name])
    if not nodes:
        raise Unrunnable("the model has no input")
    return {node.name: features[node.name] for node in nodes}


def _require_fit(where: str, node: onnxruntime.NodeArg, rows: npt.NDArray[np.generic]) -> None:
    expected = NUMPY_TYPES.get(node.type, node.type)
    if rows.dtype.name != expected:
        raise Unrunnable(f"{where}the model takes rows of {expected}, and these are of {rows.dtype.name}")
    fits = len(node.shape) == rows.ndim and all(
        not isinstance(wanted, int) or wanted == size for wanted, size in zip(node.shape, rows.shape, strict=True)
    )
    if not fits:
        taken, found = list(node.shape[1:]), list(rows.shape[1:])
        raise Unrunnable(f"{where}the model takes rows of the shape {taken}, and these have {found}")


@contextmanager
def _unrunnable() -> Iterator[None]:
    try:
        yield
    except (*_FAULTS, ValueError, TookTooLong) as error:
        raise Unrunnable(f"ONNX Runtime: {error}") from error
