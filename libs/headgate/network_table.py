"""Reads the table [network] of headgate.toml: what a network takes and answers, where one tensor is not enough."""

import re

from headgate.toml_tables import Table, is_whole
from headgate.v1 import configuration_pb2 as configuration

BATCH = "batch"
"""The name of the first dimension of every tensor."""
MAX_TENSORS = 64
MAX_DIMENSIONS = 16
MAX_NAME = 256
"""Of an input or an output in an ONNX file that Headgate has not exported."""
DIMENSIONS = f'a list such as ["{BATCH}", "length", 3]: {BATCH}, then a size, or a name where the size varies'
TENSOR_NAME = re.compile(r"[A-Za-z_]\w{0,62}", re.ASCII)


def network(table: Table, into: configuration.ModelConfiguration, from_graph: bool = False) -> None:
    """`from_graph`: an ONNX file says the names and dimensions itself, so only what is measured is left to say."""
    if not table.present:
        return
    if from_graph:
        graph(table, into.network)
        return
    expected = f"a list of up to {MAX_TENSORS} names of letters, digits and _"
    into.network.outputs.extend(table.value("outputs", expected, are_tensor_names, []) or [])
    name = "a name of letters, digits and _"
    into.network.measured = table.value("measured", name, is_tensor_name, "") or ""
    dimensions = table.table("dimensions", optional=True)
    for tensor in dimensions.values:
        if not is_tensor_name(tensor):
            dimensions.wrong(tensor, name, tensor)
        sizes = dimensions.value(tensor, DIMENSIONS, are_dimensions) or []
        into.network.dimensions.add(input=tensor, sizes=[str(size) for size in sizes])
    table.no_more(("outputs", "measured", "dimensions"))


def graph(table: Table, into: configuration.NetworkConfiguration) -> None:
    into.measured = table.value("measured", "the name of an output", is_output_name, "") or ""
    into.served_as = table.value("served_as", "the name of an output", is_output_name, "") or ""
    names = table.table("inputs", optional=True)
    for name in names.values:
        if not is_output_name(name):
            names.wrong(name, "the name of an input of the file", name)
        callers = names.value(name, "the name by which callers know this input", is_output_name) or ""
        into.input_names.add(file=name, callers=callers)
    if len(into.input_names) > MAX_TENSORS:
        table.wrong("inputs", f"at most {MAX_TENSORS} inputs", len(into.input_names))
    table.no_more(("measured", "served_as", "inputs"))


def is_tensor_name(value: object) -> bool:
    return isinstance(value, str) and bool(TENSOR_NAME.fullmatch(value))


def is_output_name(value: object) -> bool:
    """Whether an ONNX file may call an output so; other tools write names such as dense/Sigmoid:0."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def are_tensor_names(value: object) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= MAX_TENSORS
        and all(is_tensor_name(name) for name in value)
        and len(set(value)) == len(value)
    )


def are_dimensions(value: object) -> bool:
    """Whether this is the batch and then for each dimension a size, or a name when the size varies."""
    return (
        isinstance(value, list)
        and 0 < len(value) <= MAX_DIMENSIONS
        and value[0] == BATCH
        and all(is_tensor_name(size) or (is_whole(size) and 0 < size < 2**31) for size in value[1:])
        and BATCH not in value[1:]
    )
