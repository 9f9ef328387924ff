"""Gives an ONNX file the inputs and the output that callers of the live version know, as [network] asks for.

Without it a model of another framework has names of its framework's, and answers labels and probabilities. A torch
network that Headgate exports has one output in the form that the task takes.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from headgate.artifacts.answers import BINARY, MULTICLASS
from headgate.artifacts.graphs import ELEMENT_TYPES, OPERATORS, Graph, inspect
from services.trainer.child.failure import ExportFailure

INPUTS, SERVED_AS = "network.inputs", "network.served_as"
FIRST_OPSET_OF_MAX = 8
"""The first version of ONNX's operators whose Max takes a number beside a tensor."""
NEWEST_OPSET_HERE = 21
"""What a file is converted to when its own version is too old for what is added."""


def inspected(data: bytes, names: Mapping[str, str]) -> tuple[bytes, Graph]:
    """The file once it has passed the rules, with the names that callers know. Raises GraphRefused, ExportFailure."""
    graph = inspect(data)
    if not names:
        return data, graph
    renamed = with_input_names(data, names)
    return renamed, inspect(renamed)


def with_input_names(data: bytes, names: Mapping[str, str]) -> bytes:
    """The file with other names for its inputs: what callers say, by what the file says. Raises ExportFailure."""
    model = onnx.load_model_from_string(data)
    constants = {tensor.name for tensor in model.graph.initializer}
    taken = [value.name for value in model.graph.input if value.name not in constants]
    for name in names:
        if name not in taken:
            raise ExportFailure(f"{INPUTS}: the file takes no {name}; it takes {', '.join(taken)}")
    after = [names.get(name, name) for name in taken]
    if len(set(after)) != len(after):
        raise ExportFailure(f"{INPUTS}: two inputs would have one name: {', '.join(after)}. Give each its own")
    # All get a name of their own first, so that two of them may change places.
    passing = {name: _unused(model.graph, f"input.{place}") for place, name in enumerate(names)}
    for name, between in passing.items():
        _rename(model.graph, name, between)
    for name, between in passing.items():
        _take_name(model.graph, between, names[name])
    return _bytes_of(model)


def with_one_output(data: bytes, measured: str, name: str, *, are_probabilities: bool, task: str) -> bytes:
    """The file with the measured output alone, under this name. Raises ExportFailure.

    Where it is a row with a probability for each class: for `binary` that of the class 1, in the shape [batch, 1], and
    for `multiclass` their logarithms, whose softmax they are.
    """
    model = onnx.load_model_from_string(data)
    graph = model.graph
    if name in {value.name for value in graph.input}:
        raise ExportFailure(f"{SERVED_AS}: an input is called {name}. Give the output another name")
    output = next(value for value in graph.output if value.name == measured)
    served = onnx.ValueInfoProto()
    served.CopyFrom(output)
    convert = CONVERSIONS.get(task) if are_probabilities else None
    if convert is not None:
        _operators(model)  # the conversion adds some
        served.name = _unused(graph, f"{measured}.served")
        convert(model, measured, served)
    del graph.output[:]
    graph.output.append(served)
    _take_name(graph, served.name, name)
    return _bytes_of(model)


def _second_class(model: Any, measured: str, served: Any) -> None:
    graph = model.graph
    second = _constant(graph, "second", np.array([1], np.int64))
    graph.node.append(helper.make_node("Gather", [measured, second], [served.name], axis=1))
    served.type.tensor_type.shape.dim[1].Clear()
    served.type.tensor_type.shape.dim[1].dim_value = 1


def _logarithms(model: Any, measured: str, served: Any) -> None:
    graph = model.graph
    _require_max(model)
    datatype = np.dtype(ELEMENT_TYPES[served.type.tensor_type.elem_type])
    smallest = _constant(graph, "smallest", np.array(np.finfo(datatype).tiny, datatype))
    positive = _unused(graph, f"{measured}.positive")
    graph.node.append(helper.make_node("Max", [measured, smallest], [positive]))
    graph.node.append(helper.make_node("Log", [positive], [served.name]))


CONVERSIONS: Mapping[str, Callable[[Any, str, Any], None]] = {BINARY: _second_class, MULTICLASS: _logarithms}


def _require_max(model: Any) -> None:
    version = _operators(model).version
    if version < FIRST_OPSET_OF_MAX:
        advice = f"Convert it with onnx.version_converter.convert_version(model, {NEWEST_OPSET_HERE})"
        raise ExportFailure(f"{SERVED_AS}: the file uses version {version} of ONNX's operators, too old. {advice}")


def _operators(model: Any) -> Any:
    """The version of ONNX's operators. A file of trees alone may name none, and gets one for what is added."""
    for each in model.opset_import:
        if each.domain in OPERATORS:
            return each
    return model.opset_import.add(domain="", version=NEWEST_OPSET_HERE)


def _constant(graph: Any, what: str, value: np.ndarray[Any, Any]) -> str:
    name = _unused(graph, f"served.{what}")
    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def _take_name(graph: Any, old: str, new: str) -> None:
    """Calls a tensor by another name; whatever else is called so inside the graph makes way."""
    if old != new:
        if new in set(_names(graph)):
            _rename(graph, new, _unused(graph, f"{new}.inner"))
        _rename(graph, old, new)


def _unused(graph: Any, wanted: str) -> str:
    used = set(_names(graph))
    name = wanted
    while name in used:
        name += "_"
    return name


def _names(graph: Any) -> Iterator[str]:
    """Of every tensor in the graph and in its subgraphs."""
    for node in graph.node:
        yield from (*node.input, *node.output)
        for inner in _subgraphs(node):
            yield from _names(inner)
    yield from (value.name for value in _values(graph))


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
        for inner in _subgraphs(node):
            _rename(inner, old, new)
    for value in _values(graph):
        if value.name == old:
            value.name = new


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        yield from ((attribute.g,) if attribute.HasField("g") else ())
        yield from attribute.graphs


def _values(graph: Any) -> tuple[Any, ...]:
    sparse = (tensor.values for tensor in graph.sparse_initializer)
    return (*graph.input, *graph.output, *graph.value_info, *graph.initializer, *sparse)


def _bytes_of(model: Any) -> bytes:
    data: bytes = model.SerializeToString(deterministic=True)
    return data
