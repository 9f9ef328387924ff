"""The one library of operators that graphs may use besides ONNX's own: onnxruntime-extensions, such as tokenizers."""

from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any

DOMAIN = "ai.onnx.contrib"
"""Of these operators in a graph."""
PACKAGE, LIBRARY = "onnxruntime_extensions", "_extensions_pydll"


def register_extensions(options: Any, graph: bytes) -> None:
    """Lets a session with these options run the operators, if the graph names their domain.

    The library is loaded for such a graph only.
    """
    if DOMAIN.encode() not in graph:
        return
    options.register_custom_ops_library(_library_path())


@cache
def _library_path() -> str:
    """The path of the library, in the package. Raises ImportError when there is none.

    The package is not imported: it would load torch where that is installed, which takes two seconds, and it would set
    a variable that makes protobuf slow in every child process.
    """
    package = find_spec(PACKAGE)
    library = PathFinder.find_spec(LIBRARY, package.submodule_search_locations) if package else None
    if library is None or library.origin is None:
        raise ImportError(f"{PACKAGE} is not installed, or has no {LIBRARY}")
    return library.origin
