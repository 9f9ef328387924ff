"""What a model takes and answers, as its ONNX graph says, and how that differs from another model."""

from collections.abc import Sequence

import onnxruntime


def signature_change(
    candidate: onnxruntime.InferenceSession, live: onnxruntime.InferenceSession, live_name: str
) -> str:
    """In a sentence; empty when both take and answer the same."""
    changes = [
        f"{what} {described(now)}; {live_name} has {described(before)}"
        for what, now, before in (
            ("the input is", candidate.get_inputs(), live.get_inputs()),
            ("the output is", candidate.get_outputs(), live.get_outputs()),
        )
        if described(now) != described(before)
    ]
    return "; ".join(changes)


def described(nodes: Sequence[onnxruntime.NodeArg]) -> str:
    """Name, datatype and shape of each; a dimension that varies is called n."""
    return ", ".join(
        f"{node.name} {node.type.removeprefix('tensor(').removesuffix(')')} "
        f"[{', '.join(str(size) if isinstance(size, int) else 'n' for size in node.shape)}]"
        for node in nodes
    )
