"""Reads architecture.toml: the layers, in sequence, of a network whose weights lie in a safetensors file.

The file says what the weights alone do not: which input there is, which layers follow each other, and which tensor of
the weights belongs to which. The kinds of layers are those of torch, with the names of their parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.network_table import DIMENSIONS, are_dimensions, is_output_name
from headgate.toml_tables import REQUIRED, Table, is_whole, read

FILE_NAME = "architecture.toml"
MAX_BYTES = 256 * 1024
MAX_LAYERS = 1000
MAX_UNUSED = 1000
LARGEST = 2**31 - 1
INPUT_DATATYPES = ("float32", "int64", "int32")


@dataclass(frozen=True, slots=True)
class Setting:
    """A number of a layer. With several axes it may be one number for all of them, or a list with one for each."""

    low: float
    high: float
    default: Any = REQUIRED
    axes: int = 0
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class LayerKind:
    """The tensors that a layer has, those that it may lack, and its numbers."""

    tensors: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """`tensors` has for each parameter the name of the tensor in the file."""

    place: str
    kind: str
    tensors: Mapping[str, str]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A dimension is its size, or its name where it varies. `output_shape` is empty when none is declared."""

    input_name: str
    input_datatype: str
    input_shape: tuple[int | str, ...]
    output_name: str
    output_shape: tuple[int | str, ...]
    layers: tuple[Layer, ...]
    unused: tuple[str, ...]


def _convolution(axes: int) -> LayerKind:
    steps = {
        "stride": Setting(1, LARGEST, 1, axes),
        "padding": Setting(0, LARGEST, 0, axes),
        "dilation": Setting(1, LARGEST, 1, axes),
    }
    return LayerKind(("weight",), ("bias",), steps | {"groups": Setting(1, LARGEST, 1)})


def _pool(axes: int) -> LayerKind:
    size = Setting(1, LARGEST, axes=axes)
    return LayerKind(
        settings={"size": size, "stride": Setting(1, LARGEST, 0, axes), "padding": Setting(0, LARGEST, 0, axes)}
    )


EPSILON = {"epsilon": Setting(0, 1, 1e-5, is_whole=False)}
KINDS: Mapping[str, LayerKind] = {
    "linear": LayerKind(("weight",), ("bias",)),
    "conv1d": _convolution(1),
    "conv2d": _convolution(2),
    "embedding": LayerKind(("weight",)),
    "layer_norm": LayerKind(("weight",), ("bias",), EPSILON),
    "batch_norm": LayerKind(("running_mean", "running_var"), ("weight", "bias"), EPSILON),
    "relu": LayerKind(),
    "gelu": LayerKind(),
    "sigmoid": LayerKind(),
    "tanh": LayerKind(),
    "softmax": LayerKind(settings={"axis": Setting(-15, 15, -1)}),
    "max_pool1d": _pool(1),
    "max_pool2d": _pool(2),
    "avg_pool1d": _pool(1),
    "avg_pool2d": _pool(2),
    "mean": LayerKind(settings={"axis": Setting(1, 15)}),
    "flatten": LayerKind(),
    "reshape": LayerKind(),
    "dropout": LayerKind(),
}


def parse(text: bytes) -> Architecture:
    """Raises InvalidToml with every problem."""
    root = read(text, FILE_NAME, MAX_BYTES)
    taken, answered = root.table("input"), root.table("output", optional=True)
    is_name = "a name"
    architecture = Architecture(
        input_name=taken.value("name", is_name, is_output_name, "features") or "",
        input_datatype=taken.choice("datatype", INPUT_DATATYPES) if "datatype" in taken.values else "float32",  # type: ignore[arg-type]
        input_shape=tuple(taken.value("shape", DIMENSIONS, are_dimensions) or ()),
        output_name=answered.value("name", is_name, is_output_name, "prediction") or "",
        output_shape=tuple(answered.value("shape", DIMENSIONS, are_dimensions, []) or ()),
        layers=tuple(_layer(table) for table in root.tables("layers")[:MAX_LAYERS]),
        unused=tuple(root.value("unused", "a list of names of tensors", _are_names, []) or ()),
    )
    taken.no_more(("name", "datatype", "shape"))
    answered.no_more(("name", "shape"))
    root.no_more(("input", "output", "layers", "unused"))
    if not 0 < len(root.tables("layers")) <= MAX_LAYERS:
        root.wrong("layers", f"1 to {MAX_LAYERS} tables, each under [[layers]]", len(root.tables("layers")))
    if architecture.input_name == architecture.output_name:
        answered.wrong("name", "another name than that of the input", architecture.output_name)
    root.refuse_problems()
    return architecture


def _layer(table: Table) -> Layer:
    kind = table.choice("kind", KINDS)
    if kind is None:
        return Layer(table.name, "", {}, {})
    known = KINDS[kind]
    tensors = {
        name: table.value(
            name, "the name of a tensor of the file", _is_tensor, REQUIRED if name in known.tensors else ""
        )
        for name in (*known.tensors, *known.optional)
    }
    settings = {name: _number(table, name, setting) for name, setting in known.settings.items()}
    keys = ["kind", *tensors, *settings]
    if kind == "reshape":
        settings["shape"] = table.value("shape", "the sizes besides the batch, of which one may be -1", _is_shape)
        keys.append("shape")
    table.no_more(keys)
    return Layer(table.name, kind, {name: found for name, found in tensors.items() if found}, settings)


def _number(table: Table, name: str, setting: Setting) -> Any:
    low, high, default = setting.low, setting.high, setting.default
    if not setting.is_whole:
        return table.number(name, low, high, default)
    if not setting.axes:
        return table.whole(name, int(low), int(high), default)
    several = "" if setting.axes == 1 else f", or a list of {setting.axes}"
    expected = f"a whole number from {low} to {high}{several}"

    def fits(value: Any) -> bool:
        each = value if isinstance(value, list) else [value] * setting.axes
        return len(each) == setting.axes and all(is_whole(one) and low <= one <= high for one in each)

    found = table.value(name, expected, fits, default)
    return tuple(found) if isinstance(found, list) else (found,) * setting.axes


def _is_tensor(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 4096


def _are_names(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MAX_UNUSED and all(map(_is_tensor, value))


def _is_shape(value: object) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) < 16
        and all(is_whole(size) and (size == -1 or 0 < size <= LARGEST) for size in value)
        and value.count(-1) <= 1
    )
