"""The JSON files of an artifact, as equal bytes for equal content."""

import json
from collections.abc import Sequence
from pathlib import Path

from headgate.artifacts.datatypes import BYTES, PROTOCOL_TYPES
from headgate.artifacts.graphs import Graph, GraphTensor


def write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")


def signature(graph: Graph) -> dict[str, object]:
    """What the graph takes and answers. A dimension that varies is -1.

    Where more than the batch varies, the names of the dimensions stand beside the shape.
    """
    return {"inputs": _described(graph.inputs), "outputs": _described(graph.outputs)}


def _described(tensors: Sequence[GraphTensor]) -> list[dict[str, object]]:
    return [{"name": each.name, "datatype": _kind(each), **_form(each.shape)} for each in tensors]


def _kind(tensor: GraphTensor) -> str:
    return PROTOCOL_TYPES.get(tensor.datatype, BYTES)


def _form(sizes: Sequence[int | str]) -> dict[str, object]:
    shape: dict[str, object] = {"shape": [size if isinstance(size, int) else -1 for size in sizes]}
    varies = any(isinstance(size, str) for size in sizes[1:])
    return shape | ({"dimensions": list(sizes)} if varies else {})
