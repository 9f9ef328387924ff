"""The one library of operators that graphs may use besides ONNX's own: onnxruntime-extensions, such as tokenizers."""

from typing import Any

DOMAIN = "ai.onnx.contrib"
"""Of these operators in a graph."""


def register_extensions(options: Any, graph: bytes) -> None:
    """Lets a session with these options run the operators, if the graph names their domain.

    The library is loaded for such a graph only.
    """
    if DOMAIN.encode() not in graph:
        return
    from onnxruntime_extensions import get_library_path

    options.register_custom_ops_library(get_library_path())
