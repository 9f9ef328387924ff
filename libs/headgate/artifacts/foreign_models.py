"""Recognises by their first bytes the files that people bring as a model and that are no ONNX, and says how to convert.

None of them is ever loaded: a pickle, for example, runs code when it is read.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from headgate.artifacts.data_files import LFS_POINTER
from headgate.artifacts.mlflow_flavors import ONNX, conversion_of, flavors_in

HEAD_BYTES = 4096
"""How much of the beginning of a file is enough to know what it is."""

FROM_TORCH = "load it where it was made and export it with torch.onnx.export(model, example, 'model.onnx', dynamo=True)"
FROM_PYTHON = (
    "load it where it was made and export it: scikit-learn with skl2onnx.to_onnx(model, rows[:1]), PyTorch with"
    " torch.onnx.export(model, example, 'model.onnx', dynamo=True)"
)
FROM_KERAS = "convert it with python -m tf2onnx.convert, or in Keras with model.export('model.onnx', format='onnx')"
FROM_TREES = "load it where it was made and convert it with onnxmltools.convert_xgboost or convert_lightgbm"
DECLARE = "give its layers with headgate version import --architecture architecture.toml"
UNPACK = "unpack it and give the ONNX file that is in it"
ZIP, EMPTY_ZIP = b"PK\x03\x04", b"PK\x05\x06"
OLD_PICKLE = re.compile(rb"c[\w.]+\n[\w.]+\n|[(](?:lp|dp|c[\w.]+)")
LENGTH_BYTES = 8
"""Of a safetensors file: as many bytes say how long its header is."""
NO_SAFETENSORS = "it is no safetensors file, and --architecture belongs to one; an ONNX file needs none"
LARGEST_HEADER_BYTES = 100_000_000
"""Of a safetensors file; the format's own limit."""


@dataclass(frozen=True, slots=True)
class ForeignFormat:
    """What a file is, why it is not taken, and how it becomes an ONNX file."""

    name: str
    reason: str
    conversion: str

    def __str__(self) -> str:
        return f"it is {self.name}, {self.reason}. To convert, {self.conversion}"


CODE = "which runs code when it is read"
NO_GRAPH = "which has weights and no graph that could be run"
NOT_OPENED = "and archives are never opened"
FORMATS: tuple[tuple[Callable[[bytes], bool], ForeignFormat], ...] = (
    (lambda head: _is_pickle(head), ForeignFormat("a pickle (as of joblib or torch.save)", CODE, FROM_PYTHON)),
    (lambda head: _is_zlib(head), ForeignFormat("a compressed joblib file", CODE, FROM_PYTHON)),
    (
        lambda head: _is_of_torch(head),
        ForeignFormat("a file of PyTorch (TorchScript, .pt, .pt2 or torch.save)", CODE, FROM_TORCH),
    ),
    (
        lambda head: head[:4] == ZIP and b"config.json" in head[:256],
        ForeignFormat("a .keras archive", NOT_OPENED, FROM_KERAS),
    ),
    (
        lambda head: head[:4] in (ZIP, EMPTY_ZIP) or _is_packed(head),
        ForeignFormat("an archive or a compressed file", NOT_OPENED, UNPACK),
    ),
    (lambda head: is_safetensors(head), ForeignFormat("a safetensors file", NO_GRAPH, f"{DECLARE}, or {FROM_TORCH}")),
    (lambda head: head[:4] == b"GGUF", ForeignFormat("a GGUF file", NO_GRAPH, FROM_TORCH)),
    (
        lambda head: head[:8] == b"\x89HDF\r\n\x1a\n",
        ForeignFormat("an HDF5 file (as of Keras)", "which may hold code", FROM_KERAS),
    ),
    (lambda head: head[4:8] == b"TFL3", ForeignFormat("a TensorFlow Lite model", "which is not served", FROM_KERAS)),
    (lambda head: head[:6] == b"\x93NUMPY", ForeignFormat("an array of numpy", NO_GRAPH, FROM_PYTHON)),
    (
        lambda head: head[:5] == b"tree\n" or _is_xgboost(head),
        ForeignFormat("a model of LightGBM or XGBoost in its own format", "which is not served", FROM_TREES),
    ),
    (
        lambda head: head.startswith(LFS_POINTER),
        ForeignFormat(
            "a pointer of Git LFS",
            "which stands for the file",
            "run git lfs pull where it lies and give the file itself",
        ),
    ),
)


def foreign_format(head: bytes) -> ForeignFormat | None:
    """What a file is that begins so; None when nothing known to be wrong begins so."""
    found = next((found for begins, found in FORMATS if begins(head)), None)
    return found or _of_mlflow(flavors_in(head))


def _of_mlflow(flavors: Collection[str]) -> ForeignFormat | None:
    if not flavors:
        return None
    if ONNX in flavors:
        where = "give that folder, or the URL of the ONNX file that it names under flavors, onnx, data"
        return ForeignFormat("the MLmodel of a folder of MLflow", "which describes a model and is none", where)
    reason = f"which has no flavour onnx, only {', '.join(flavors)}"
    return ForeignFormat("the MLmodel of a folder of MLflow", reason, conversion_of(flavors))


def _is_pickle(head: bytes) -> bool:
    # Protocols 2 to 5 name themselves. The older ones have no mark, but an object begins with the name of its class.
    named = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return named or OLD_PICKLE.match(head) is not None


def _is_zlib(head: bytes) -> bool:
    return head[:1] == b"\x78" and head[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda")


def _is_packed(head: bytes) -> bool:
    magic = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf\x27\x1c", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"Rar!")
    return head.startswith(magic) or head[257:262] == b"ustar"


def _is_of_torch(head: bytes) -> bool:
    # PyTorch aligns each file of its archives by an extra field of this name.
    after_name = 30 + int.from_bytes(head[26:28], "little")
    return head[:4] == ZIP and head[after_name : after_name + 2] == b"FB"


def is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= LARGEST_HEADER_BYTES


def _is_xgboost(head: bytes) -> bool:
    return head[:1] == b"{" and b"learner" in head[:256]
