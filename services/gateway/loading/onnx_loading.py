"""Turns a version's signed model.onnx into an ONNX Runtime session. Never loads bytes that fail their verification.

Nothing imports it before the first load (`first_load.py`).
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from functools import cache

import numpy as np
import onnxruntime

from headgate.artifacts import datatypes
from headgate.artifacts.blobs import ArtifactError, Blobs
from headgate.artifacts.datatypes import BFLOAT16, BYTES, CARRIED_TYPES
from headgate.artifacts.extensions import register_extensions
from headgate.artifacts.keys import TrustedKeys
from headgate.artifacts.layout import EXAMPLE_ROW, EXAMPLE_SIZES, MODEL_FILE, TRAINING_FILE
from headgate.artifacts.manifest import unseal
from headgate.artifacts.rows_apart import shown_in
from headgate.domain.names import version_name
from headgate.v1 import facts_pb2 as facts
from services.gateway.memory import bytes_for_forwards
from services.gateway.pace import SLOW_SECONDS, SLOW_SECONDS_OF_BATCHES, Pace, size_class
from services.gateway.sessions import Load, LoadedVersion, ModelUnusable
from services.gateway.tensors import NUMPY_TYPES, Array, TensorSpec

WARM_UP_SIZE = 1
"""Size in the warm-up call of every variable dimension for which the graph names no size that it can run."""

MEASURED_AGAIN_SECONDS = 1.0
"""A model whose first call takes less than this is called again to be measured."""

ERRORS_ONLY = 3

LOOP = b'"\x04Loop'
"""How an operator of the type Loop begins in the bytes of a model. Its values say how often it runs."""

ONNX_TYPES: Mapping[str, str] = {onnx: CARRIED_TYPES.get(name, BYTES) for onnx, name in datatypes.NUMPY_TYPES.items()}

MAX_TRIED = 10_000
"""Models whose trials are remembered. One that was dropped and is loaded again needs no second trial."""


def loader(
    store: Blobs,
    trusted: Callable[[], TrustedKeys],
    trial: Callable[[bytes], None],
    processes: int = 1,
    batches: bool = False,
) -> Load:
    """The function that loads a version. It reads the trusted keys at each load, so a new key needs no restart.

    `trial` gets the model first and raises ModelUnusable when the model must not come into this process. So many
    `processes` share the memory for forwards. With `batches`, requests may run together where the export allows it.
    The function raises ModelUnusable, ArtifactUntrusted and the errors of the store. It is thread-safe if these are.
    """
    tried: set[str] = set()

    def load(model: str, version: int, artifact: facts.Artifact) -> LoadedVersion:
        if not artifact.manifest_sha256:
            raise ModelUnusable("the version has no artifact")
        files = unseal(store, artifact, version_name(model, version), trusted())
        if MODEL_FILE not in files:
            raise ModelUnusable(f"the artifact has no {MODEL_FILE}")
        onnx_bytes = store.get(files[MODEL_FILE])
        if files[MODEL_FILE] not in tried:
            trial(onnx_bytes)
            if len(tried) < MAX_TRIED:
                tried.add(files[MODEL_FILE])
        return load_onnx(model, version, onnx_bytes, processes, rows_apart=batches and _rows_apart(store, files))

    return load


def _rows_apart(store: Blobs, files: Mapping[str, str]) -> bool:
    """Whether the artifact has the record. Without it the version is sound, and its requests run alone."""
    try:
        return TRAINING_FILE in files and shown_in(store.get(files[TRAINING_FILE]))
    except ArtifactError:
        return False


def load_onnx(
    model: str, version: int, onnx_bytes: bytes, processes: int = 1, *, rows_apart: bool = False
) -> LoadedVersion:
    """Opens the model with one thread and calls it, so that no caller has to wait for the slow first call.

    `rows_apart` says whether its export has shown that it answers a row alone as beside others.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    register_extensions(options, onnx_bytes)
    _bound_memory(processes)
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Weights come and go with their version, so they are not taken from the memory that all forwards share.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    inputs = {node.name: _spec(node) for node in session.get_inputs()}
    outputs = tuple(_spec(node) for node in session.get_outputs())
    uses_bfloat16 = _uses_bfloat16(inputs.values(), outputs)
    takes_any_rows = all(bool(each.shape) and isinstance(each.shape[0], str) for each in (*inputs.values(), *outputs))
    may_be_batched = rows_apart and takes_any_rows and not uses_bfloat16
    loaded = LoadedVersion(
        model=model,
        version=version,
        session=session,
        inputs=inputs,
        outputs=outputs,
        uses_bfloat16=uses_bfloat16,
        answers_rows_apart=may_be_batched,
        pace=Pace(LOOP not in onnx_bytes, SLOW_SECONDS_OF_BATCHES if may_be_batched else SLOW_SECONDS),
    )
    _warm_up(loaded)
    return loaded


@cache
def _bound_memory(processes: int) -> None:
    """Limits the memory that the forwards of all sessions use together. ONNX Runtime takes such a limit once."""
    cpu = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    limit = onnxruntime.OrtArenaCfg({"max_mem": bytes_for_forwards(processes)})
    onnxruntime.create_and_register_allocator(cpu, limit)


def _warm_up(loaded: LoadedVersion) -> None:
    """Calls the model and measures it. A short first call is not the measure, because the first takes longest."""
    arrays = _example(loaded)
    outputs = [spec.name for spec in loaded.outputs]
    seconds = _cpu_seconds(lambda: loaded.predict(arrays, outputs))
    if seconds < MEASURED_AGAIN_SECONDS:
        seconds = _cpu_seconds(lambda: loaded.predict(arrays, outputs))
    loaded.pace.observe(size_class(sum(array.size for array in arrays.values())), seconds)


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _uses_bfloat16(inputs: Collection[TensorSpec], outputs: Collection[TensorSpec]) -> bool:
    """Raises ModelUnusable for a model that takes text beside it: ONNX Runtime gets both from no program in Python."""
    brain = CARRIED_TYPES[BFLOAT16]
    uses = any(spec.datatype == brain for spec in (*inputs, *outputs))
    if uses and any(spec.datatype == BYTES for spec in inputs):
        raise ModelUnusable("it takes text and has inputs or outputs of bfloat16; make these float32, by a Cast")
    return uses


def _spec(node: onnxruntime.NodeArg) -> TensorSpec:
    if node.type not in ONNX_TYPES:
        raise ModelUnusable(f"{node.name!r} has the type {node.type}, which the inference protocol does not support")
    shape = tuple(size if isinstance(size, int) else (size or "") for size in node.shape)
    return TensorSpec(node.name, ONNX_TYPES[node.type], shape)


def _example(loaded: LoadedVersion) -> Mapping[str, Array]:
    """A row that the version can run: zeros and empty texts, or one that the trainer has run. Raises ModelUnusable."""
    text = loaded.session.get_modelmeta().custom_metadata_map.get(EXAMPLE_ROW)
    if text is None:
        sizes = _example_sizes(loaded.session)
        return {name: _zeros(spec, sizes) for name, spec in loaded.inputs.items()}
    try:
        row = json.loads(text)
        return {name: np.array(row[name], NUMPY_TYPES[spec.datatype]) for name, spec in loaded.inputs.items()}
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise ModelUnusable(f"the graph's {EXAMPLE_ROW} is not a JSON object with a row of each input") from error


def _example_sizes(session: onnxruntime.InferenceSession) -> Mapping[str, int]:
    """For variable dimensions a size that the trainer has run. Raises ModelUnusable."""
    text = session.get_modelmeta().custom_metadata_map.get(EXAMPLE_SIZES, "{}")
    try:
        return {str(name): int(size) for name, size in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelUnusable(f"the graph's {EXAMPLE_SIZES} is not a JSON object of sizes: {error}") from error


def _zeros(spec: TensorSpec, sizes: Mapping[str, int]) -> Array:
    shape = [size if isinstance(size, int) else sizes.get(size, WARM_UP_SIZE) for size in spec.shape]
    if spec.datatype == BYTES:
        return np.full(shape, "", np.object_)
    return np.zeros(shape, NUMPY_TYPES[spec.datatype])
