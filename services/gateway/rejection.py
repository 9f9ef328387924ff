"""Reads how ONNX Runtime says that a graph rejects its inputs, and says it to a caller, with what came."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from services.gateway.fault import Cause
from services.gateway.tensors import Array

MAX_INPUTS_SHOWN = 8
MAX_SAID_CHARACTERS = 300

_STATUS = re.compile(r"while running (\w+) node\. Name:'.*?' Status Message: (.*)", re.DOTALL)
_LOCATION = re.compile(r"^\S+\.(?:h|cc|hpp|cpp):\d+ (?:.* was false\. |(?:.*[)\]] )?(?:\w+ (?=[A-Z]))?)", re.DOTALL)
"""The place in the source of ONNX Runtime that it puts before some messages."""
_VALUES_OR_SIZES = re.compile(
    r"bounds|out of range|invalid (?:index|indice|input|expand)|reshaped|broadcast|mismatch|incompatible|must |exceed"
    r"|dimension|shape|split|channels|feature size|greater than|negative|zero|token|utf-?8|not a number",
    re.IGNORECASE,
)
"""Words in which operators speak of the values or sizes of their inputs."""
_TEXT_IN_PLACE_OF_NUMBER = {"stod", "stof", "stoi", "stol", "stoll", "stoul", "stoull"}
"""Functions of C++ that read numbers. Such a name is all that ONNX Runtime says of a text that is none."""


class Rejection(NamedTuple):
    """The operator that ended the run, and why, without places in the source of ONNX Runtime."""

    operator: str
    said: str


def rejection(error: BaseException | None) -> Rejection | None:
    """The rejection by an operator, or None for any other failure."""
    found = _STATUS.search(str(error)) if _is_rejection(error) else None
    if found is None:
        return None
    said = " ".join(_LOCATION.sub("", found[2].strip()).split())
    if said in _TEXT_IN_PLACE_OF_NUMBER:
        said = "a text is not a number"
    return Rejection(found[1], said[:MAX_SAID_CHARACTERS].rstrip("."))


def cause_of(error: BaseException | None) -> Cause:
    """What ONNX Runtime says of a run that failed."""
    found = rejection(error)
    if found is None:
        return Cause.UNCLEAR if _is_rejection(error) else Cause.OTHER
    return Cause.INPUT if _VALUES_OR_SIZES.search(found.said) else Cause.UNCLEAR


def rejected_inputs(error: BaseException | None, arrays: Mapping[str, Array]) -> str:
    """For the caller: which operator takes the inputs not, what it expects, and what came. Empty for other failures."""
    found = rejection(error)
    if found is None:
        return ""
    shown = [_shown(name, array) for name, array in arrays.items()]
    got = ", ".join(shown[:MAX_INPUTS_SHOWN]) + (", ..." if len(shown) > MAX_INPUTS_SHOWN else "")
    return f"inputs: the model's operator {found.operator} does not take these values or sizes: {found.said}; got {got}"


def _is_rejection(error: BaseException | None) -> bool:
    from services.gateway.onnx_errors import REJECTIONS

    return isinstance(error, REJECTIONS)


def _shown(name: str, array: Array) -> str:
    """The input's name and shape, and the range of whole numbers, because those are often an index."""
    text = f"{name!r} of shape {list(array.shape)}"
    if array.dtype.kind in "iu" and array.size:
        text += f" with values from {array.min()} to {array.max()}"
    return text
