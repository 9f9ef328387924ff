"""A tensor, or several by name, as a network takes and answers them. The first dimension of each is the rows."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from headgate.artifacts.datatypes import PROTOCOL_TYPES
from headgate.artifacts.layout import INPUT, OUTPUT
from headgate.domain.words import counted

Tensors = Tensor | Mapping[str, Tensor]
Named = dict[str, Tensor]
Rows = tuple[Tensors, Tensors]
"""Features and answers."""
Call = Callable[[Tensors], Any]


def by_name(tensors: Tensors, name: str) -> Named:
    """The tensors by name; one without a name gets this one."""
    return {name: tensors} if isinstance(tensors, Tensor) else dict(tensors)


def inputs(features: Tensors) -> Named:
    return by_name(features, INPUT)


def answers_by_name(answers: Tensors) -> Named:
    return by_name(answers, OUTPUT)


def count_rows(tensors: Tensors) -> int:
    return len(_first(tensors))


def row_bytes(features: Tensors) -> int:
    """The bytes of one row of all inputs together."""
    return sum(tensor[:1].nbytes for tensor in inputs(features).values())


def row_shapes(features: Tensors) -> dict[str, tuple[int, ...]]:
    """The shape of one row of each input."""
    return {name: tuple(tensor.shape[1:]) for name, tensor in inputs(features).items()}


def part_of(tensors: Tensors, rows: slice | Tensor) -> Tensors:
    """Some of the rows."""
    return changed(tensors, lambda tensor: tensor[rows])


def changed(tensors: Tensors, change: Callable[[Tensor], Tensor]) -> Tensors:
    if isinstance(tensors, Tensor):
        return change(tensors)
    return {name: change(tensor) for name, tensor in tensors.items()}


def changed_by_name(features: Tensors, change: Callable[[str, Tensor], Tensor]) -> Tensors:
    if isinstance(features, Tensor):
        return change(INPUT, features)
    return {name: change(name, tensor) for name, tensor in features.items()}


def caller(network: nn.Module, features: Tensors) -> Call:
    """How the network is called with such features: with the one tensor, or with each input by its name.

    A network whose forward takes one parameter of another name gets the dictionary.
    """
    if isinstance(features, Tensor) or _takes_the_dictionary(network, features):
        return network
    return lambda named: network(**inputs(named))


def outputs_of(answer: Any, names: Sequence[str]) -> Named:
    """What a network answered, by name; `names` are those that the repository gives to the parts of a tuple.

    Raises TypeError for anything but tensors.
    """
    if isinstance(answer, Mapping):
        found = {str(name): value for name, value in answer.items() if value is not None}
    elif isinstance(answer, tuple | list):
        found = dict(zip(_names_of(answer, names), answer, strict=True))
    else:
        found = {OUTPUT: answer}
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise TypeError(type(answer).__name__ if value is answer else f"{type(value).__name__} as {name}")
    if not found:
        raise TypeError(f"{type(answer).__name__} without a tensor")
    return found


def described(tensors: Tensors) -> str:
    """Shapes and datatypes for an error, where they are not those of one float32 tensor."""
    if isinstance(tensors, Tensor):
        return _shape_and_type(tensors)
    return ", ".join(f"{name} of {_shape_and_type(tensor)}" for name, tensor in tensors.items())


def datatype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def is_storable(tensor: Tensor) -> bool:
    """Whether graphs, safetensors and the protocol can hold its datatype."""
    return datatype(tensor) in PROTOCOL_TYPES


def _shape_and_type(tensor: Tensor) -> str:
    kind = datatype(tensor)
    return f"the shape {tuple(tensor.shape)}" + (f" and the datatype {kind}" if kind != "float32" else "")


def _names_of(answer: tuple[Any, ...] | list[Any], names: Sequence[str]) -> Sequence[str]:
    fields: Sequence[str] = names or getattr(answer, "_fields", ())
    if fields and len(fields) != len(answer):
        raise TypeError(f"{counted(len(answer), 'tensor')} for the names {', '.join(fields)}")
    return fields or [OUTPUT if number == 1 else f"output_{number}" for number in range(1, len(answer) + 1)]


def _takes_the_dictionary(network: nn.Module, features: Mapping[str, Tensor]) -> bool:
    parameters = inspect.signature(network.forward).parameters.values()
    required = [each.name for each in parameters if each.default is each.empty and each.kind is not each.VAR_KEYWORD]
    return len(required) == 1 and required[0] not in features and not any(p.kind is p.VAR_KEYWORD for p in parameters)


def _first(tensors: Tensors) -> Tensor:
    return tensors if isinstance(tensors, Tensor) else next(iter(tensors.values()))
