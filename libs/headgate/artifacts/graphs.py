"""Inspects an ONNX file before anything runs it: what it takes and answers, and that it needs nothing but itself.

A graph that passes has operators of ONNX, of its machine learning domain and of onnxruntime-extensions only. It names
no file beside it, and takes and answers tensors that the inference protocol can carry.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message

from headgate.artifacts import extensions
from headgate.artifacts.datatypes import PROTOCOL_TYPES, STRING
from headgate.artifacts.foreign_models import HEAD_BYTES, foreign_format
from headgate.artifacts.store import MAX_FILE_BYTES
from headgate.network_table import BATCH, MAX_DIMENSIONS, MAX_NAME, MAX_TENSORS, is_output_name

OPERATORS = ("", "ai.onnx")
"""Both name the operators of ONNX itself."""
DOMAINS = (*OPERATORS, "ai.onnx.ml", extensions.DOMAIN)
MAX_GRAPH_BYTES = MAX_FILE_BYTES
MAX_NODES = 500_000
"""In the graph, its subgraphs and its functions together."""
OLDEST_OPSET = 7
"""ONNX Runtime promises no older one."""
MAX_LISTED = 5
ONE_VS_REST = "for several labels, OneVsRestClassifier of scikit-learn answers [rows, labels]"
JOIN = f". Join its tensors into one, with a row for each row, by the operator ConcatFromSequence; {ONE_VS_REST}"
TOKENIZER = "com.microsoft.Tokenizer"
WORDS = (
    ". This one comes from a text vectorizer of scikit-learn: split the text by ONNX's StringSplit (opset 20) or by an"
    " operator of onnxruntime-extensions, and give the words or their numbers to the rest"
)
ZIPMAP = "; convert with options={'zipmap': False}, or with zipmap=False for LightGBM, so that it answers a tensor"

SIZED_BY_VALUES = ("NonMaxSuppression", "NonZero", "Unique", "Compress", "Loop", "StringSplit")
"""Operators whose answer has a size that follows from the values they get. So is TopK, unless its k is a constant."""

ELEMENT_TYPES = {
    getattr(onnx.TensorProto, {"float32": "FLOAT", "float64": "DOUBLE"}.get(name, name.upper())): name
    for name in PROTOCOL_TYPES
} | {onnx.TensorProto.STRING: STRING}
"""numpy's name for each number of a datatype in a graph; text is an object there."""


class GraphRefused(Exception):
    """The file is not taken as a model. The text says what is wrong, where, and what to do."""


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """An input or an output. A dimension is its size, or its name where it varies; an empty name when it has none."""

    name: str
    datatype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """What a file takes and answers, by its own words."""

    inputs: tuple[GraphTensor, ...]
    outputs: tuple[GraphTensor, ...]
    may_be_ragged: bool = False
    """Whether the size of an answer may follow from what is in a row, as that of a detector does."""


def read_graph(file: Path) -> bytes:
    """The bytes of the file. Raises GraphRefused when it is too large or is known to be something else."""
    size = file.stat().st_size
    if size > MAX_GRAPH_BYTES:
        raise GraphRefused(too_large(size))
    with file.open("rb") as content:
        head = content.read(HEAD_BYTES)
        refuse_foreign(head)
        return head + content.read()


def too_large(size: int) -> str:
    return (
        f"it has {size} bytes, and a model has at most {MAX_GRAPH_BYTES}."
        " Store its weights in a smaller datatype, or make a smaller model"
    )


def refuse_foreign(head: bytes) -> None:
    """Raises GraphRefused when a file that begins so is known to be no ONNX."""
    if found := foreign_format(head):
        raise GraphRefused(str(found))


def inspect(data: bytes) -> Graph:
    """Raises GraphRefused."""
    if len(data) > MAX_GRAPH_BYTES:
        raise GraphRefused(too_large(len(data)))
    refuse_foreign(data[:HEAD_BYTES])
    model = _parsed(data)
    _check_opsets(model)
    _check_parts(model)
    inputs, outputs = _inputs(model.graph), _tensors("output", model.graph.output)
    found = Graph(inputs, outputs, _has_free_size(inputs, outputs) and _is_sized_by_values(model))
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, RuntimeError, ValueError, TypeError) as error:
        raise GraphRefused(f"it is no valid ONNX: {_first_lines(error)}") from error
    return found


def with_metadata(data: bytes, key: str, value: str) -> bytes:
    """The same graph with one more property in its metadata; as it is when it has one of this name."""
    model = _parsed(data)
    if any(each.key == key for each in model.metadata_props):
        return data
    model.metadata_props.add(key=key, value=value)
    changed: bytes = model.SerializeToString(deterministic=True)
    return changed


def joined(file: Path) -> bytes | None:
    """The graph with the tensors that it has in files beside it, as MLflow writes them; None when it has none there.

    Raises GraphRefused.
    """
    model = _parsed(read_graph(file))
    outside = [part for part in _parts(model) if isinstance(part, onnx.TensorProto) and _is_outside(part)]
    if not outside:
        return None
    lengths = (int(entry.value) for tensor in outside for entry in tensor.external_data if entry.key == "length")
    size = file.stat().st_size + sum(lengths)
    if size > MAX_GRAPH_BYTES:
        raise GraphRefused(too_large(size))
    try:
        onnx.load_external_data_for_model(model, str(file.parent))
    except (onnx.checker.ValidationError, OSError, ValueError, RuntimeError) as error:
        raise GraphRefused(f"its weights lie in files beside it and cannot be read: {_first_lines(error)}") from error
    for tensor in outside:
        tensor.ClearField("data_location")
    whole: bytes = model.SerializeToString(deterministic=True)
    return whole


def _parsed(data: bytes) -> Any:
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise GraphRefused("it is no ONNX file: its bytes cannot be read as one. Export the model anew") from error
    if not model.ir_version or not model.graph.node:
        raise GraphRefused("it is no ONNX file, or its graph has no operator. Export the model anew")
    return model


def _check_opsets(model: Any) -> None:
    for function in (model, *model.functions):
        for opset in function.opset_import:
            if opset.domain in OPERATORS and opset.version < OLDEST_OPSET:
                found = f"it uses version {opset.version} of ONNX's operators; the oldest that runs is {OLDEST_OPSET}"
                raise GraphRefused(f"{found}. Convert it with onnx.version_converter.convert_version(model, 21)")


def _check_parts(model: Any) -> None:
    """Checks every node and tensor of the graph, of its subgraphs and of its functions. Raises GraphRefused."""
    own = {(function.domain, function.name) for function in model.functions}
    nodes = 0
    strangers: dict[str, None] = {}
    for part in _parts(model):
        if isinstance(part, onnx.TensorProto):
            _require_inside(part)
        elif isinstance(part, onnx.NodeProto):
            nodes += 1
            if nodes > MAX_NODES:
                raise GraphRefused(f"it has more than {MAX_NODES} operators. Make a smaller model")
            if part.domain not in DOMAINS and (part.domain, part.op_type) not in own:
                strangers[f"{part.domain}.{part.op_type}"] = None
    if strangers:
        listed = ", ".join(list(strangers)[:MAX_LISTED])
        raise GraphRefused(
            f"it uses the operators {listed}. Allowed are those of ai.onnx, ai.onnx.ml and {extensions.DOMAIN}"
            " (onnxruntime-extensions). Export it without operators of a runtime's own or of your own"
            f"{WORDS if TOKENIZER in strangers else ''}"
        )


def _parts(message: Message) -> Iterator[Message]:
    """Every node and tensor in a message, however deep, in no order."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        if isinstance(part, onnx.NodeProto | onnx.TensorProto):
            yield part
        if isinstance(part, onnx.TensorProto):
            continue
        for field, value in part.ListFields():
            if field.message_type is not None:
                waiting.extend(value if field.is_repeated else (value,))


def _has_free_size(inputs: Iterable[GraphTensor], outputs: Iterable[GraphTensor]) -> bool:
    """Whether an output has a size, besides the rows, that is not said by the sizes of the inputs."""
    known = {size for tensor in inputs for size in tensor.shape if isinstance(size, str)}
    sizes = [size for tensor in outputs for size in tensor.shape[1:] if isinstance(size, str)]
    return any(not known & set(re.findall(r"\w+", size)) for size in sizes)


def _is_sized_by_values(model: Any) -> bool:
    nodes = [part for part in _parts(model) if isinstance(part, onnx.NodeProto)]
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {node.output[0] for node in nodes if node.op_type == "Constant"}
    return any(
        node.domain == extensions.DOMAIN
        or node.op_type in SIZED_BY_VALUES
        or (node.op_type == "TopK" and len(node.input) > 1 and node.input[1] not in constants)
        for node in nodes
    )


def _is_outside(tensor: Any) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data)


def _require_inside(tensor: Any) -> None:
    if _is_outside(tensor):
        places = [entry.value for entry in tensor.external_data if entry.key == "location"]
        beside = f" ({places[0][:MAX_NAME]})" if places else ""
        raise GraphRefused(
            f"its tensor {tensor.name[:MAX_NAME]} lies in a file beside it{beside}, and a model is one file."
            " Save it with onnx.save_model(onnx.load('model.onnx'), 'whole.onnx')"
        )


def _inputs(graph: Any) -> tuple[GraphTensor, ...]:
    constants = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    found = _tensors("input", [value for value in graph.input if value.name not in constants])
    for tensor in found:
        if not tensor.shape:
            raise GraphRefused(
                f"its input {tensor.name} is a single value, and the first dimension of an input is the {BATCH}."
                " Export it with an input for each row"
            )
        if isinstance(tensor.shape[0], int):
            raise GraphRefused(
                f"its input {tensor.name} has the shape {list(tensor.shape)}: the first dimension is the {BATCH}, which"
                " varies. Export it with a first dimension of no fixed size, such as None"
            )
    return found


def _tensors(what: str, values: Iterable[Any]) -> tuple[GraphTensor, ...]:
    found = tuple(_tensor(what, value) for value in values)
    if not 0 < len(found) <= MAX_TENSORS:
        raise GraphRefused(f"it has {len(found)} {what}s, and a model has 1 to {MAX_TENSORS}")
    if len({tensor.name for tensor in found}) != len(found):
        raise GraphRefused(f"two of its {what}s have one name. Give each a name of its own")
    return found


def _tensor(what: str, value: Any) -> GraphTensor:
    if not is_output_name(value.name):
        raise GraphRefused(f"the name {value.name[:MAX_NAME]!r} of an {what} is no text of 1 to {MAX_NAME} characters")
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        found = (kind or "nothing").removesuffix("_type")
        advice = _advice_on(value.type)
        raise GraphRefused(f"its {what} {value.name} is a {found}, and only tensors are served{advice}")
    tensor = value.type.tensor_type
    if tensor.elem_type not in ELEMENT_TYPES:
        number = tensor.elem_type
        datatype = onnx.TensorProto.DataType.Name(number) if number in onnx.TensorProto.DataType.values() else number
        allowed = ", ".join(ELEMENT_TYPES.values()).replace(STRING, "text")
        raise GraphRefused(f"its {what} {value.name} is of {datatype}, and what is served is one of {allowed}")
    if not tensor.HasField("shape"):
        raise GraphRefused(f"its {what} {value.name} says no shape. Export it with one; a size that varies has a name")
    shape = tuple(each.dim_value if each.HasField("dim_value") else each.dim_param for each in tensor.shape.dim)
    if len(shape) > MAX_DIMENSIONS:
        raise GraphRefused(f"its {what} {value.name} has {len(shape)} dimensions; the limit is {MAX_DIMENSIONS}")
    return GraphTensor(value.name, ELEMENT_TYPES[tensor.elem_type], shape)


def _advice_on(kind: Any) -> str:
    """What makes a tensor of it."""
    if kind.HasField("sequence_type") and kind.sequence_type.elem_type.HasField("tensor_type"):
        return JOIN
    return ZIPMAP if kind.HasField("sequence_type") or kind.HasField("map_type") else ""


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:500] or type(error).__name__
