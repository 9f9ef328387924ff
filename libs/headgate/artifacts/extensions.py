"""The one library of operators that graphs may use besides ONNX's own: onnxruntime-extensions, such as tokenizers."""

import os
from functools import cache
from typing import Any

DOMAIN = "ai.onnx.contrib"
"""Of these operators in a graph."""
SLOW_PROTOBUF = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"


def register_extensions(options: Any, graph: bytes) -> None:
    """Lets a session with these options run the operators, if the graph names their domain.

    The library is loaded for such a graph only.
    """
    if DOMAIN.encode() not in graph:
        return
    options.register_custom_ops_library(_library_path())


@cache
def _library_path() -> str:
    """The path of the library. Its import sets a variable that would make protobuf slow in every child process."""
    before = os.environ.get(SLOW_PROTOBUF)
    try:
        from onnxruntime_extensions import get_library_path
    finally:
        if before is None:
            os.environ.pop(SLOW_PROTOBUF, None)
        else:
            os.environ[SLOW_PROTOBUF] = before
    path: str = get_library_path()
    return path
