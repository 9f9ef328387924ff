"""Turns a version's signed model.onnx into a warm ONNX Runtime session. Bytes that do not verify are never loaded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime

from headgate.artifacts.keys import TrustedKeys
from headgate.artifacts.layout import MODEL_FILE
from headgate.artifacts.manifest import unseal
from headgate.artifacts.store import ArtifactStore
from headgate.domain.names import version_name
from headgate.v1 import facts_pb2 as facts
from services.gateway.tensors import BYTES, NUMPY_TYPES, Array, TensorSpec

WARM_UP_SIZE = 1
"""Size that a varying dimension has in the warm-up call."""

ERRORS_ONLY = 3

ONNX_TYPES: Mapping[str, str] = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": BYTES,
}


class ModelUnusable(Exception):
    """The version cannot be served: there is no artifact, or its model needs what the protocol cannot carry."""


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that has answered its warm-up call."""

    model: str
    version: int
    session: onnxruntime.InferenceSession
    inputs: Mapping[str, TensorSpec]
    outputs: tuple[TensorSpec, ...]

    def predict(self, arrays: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        results: list[Array] = self.session.run(outputs, arrays)
        return results


Load = Callable[[str, int, facts.Artifact], LoadedVersion]


def loader(store: ArtifactStore, trusted: Callable[[], TrustedKeys]) -> Load:
    """Asks for the trusted keys at each load, so that a new one counts without a restart."""

    def load(model: str, version: int, artifact: facts.Artifact) -> LoadedVersion:
        if not artifact.manifest_sha256:
            raise ModelUnusable("the version has no artifact")
        files = unseal(store, artifact, version_name(model, version), trusted())
        if MODEL_FILE not in files:
            raise ModelUnusable(f"the artifact has no {MODEL_FILE}")
        return load_onnx(model, version, store.get(files[MODEL_FILE]))

    return load


def load_onnx(model: str, version: int, onnx_bytes: bytes) -> LoadedVersion:
    """Opens the model on one thread and calls it once, so that no caller pays for the first call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    loaded = LoadedVersion(
        model=model,
        version=version,
        session=session,
        inputs={node.name: _spec(node) for node in session.get_inputs()},
        outputs=tuple(_spec(node) for node in session.get_outputs()),
    )
    loaded.predict({name: _zeros(spec) for name, spec in loaded.inputs.items()}, [spec.name for spec in loaded.outputs])
    return loaded


def _spec(node: onnxruntime.NodeArg) -> TensorSpec:
    if node.type not in ONNX_TYPES:
        raise ModelUnusable(f"{node.name!r} is {node.type}, which the protocol cannot carry")
    shape = tuple(size if isinstance(size, int) else (size or "") for size in node.shape)
    return TensorSpec(node.name, ONNX_TYPES[node.type], shape)


def _zeros(spec: TensorSpec) -> Array:
    shape = [size if isinstance(size, int) else WARM_UP_SIZE for size in spec.shape]
    if spec.datatype == BYTES:
        return np.full(shape, "", np.object_)
    return np.zeros(shape, NUMPY_TYPES[spec.datatype])
