"""What the training process cannot make a version of. The text says what was wrong, where, and what to do."""

import traceback
from collections.abc import Callable
from pathlib import Path


class TrainingFailure(Exception):
    """The repository's code, its rows or its training did something that cannot become a version."""


class ExportFailure(Exception):
    """The network has no ONNX graph that answers as it does, or it answers in a form that its task does not take."""


class NotResumable(Exception):
    """The training has a state that a checkpoint cannot hold, or the checkpoint belongs to another training."""


def raised(where: str, error: BaseException, checkout: str) -> str:
    """What foreign code raised, and at which line of the repository."""
    message = " ".join(str(error).split()) if isinstance(error, ImportError) else str(error)
    return f"{where}: {type(error).__name__}: {message}{line_of(error, checkout)}{_advice(error)}"


def line_of_function(function: Callable[..., object], checkout: str) -> str:
    """Where in the repository the function stands, as " (model.py, line 9)"; empty when it stands elsewhere."""
    code = getattr(function, "__code__", None)
    return _place(code.co_filename, code.co_firstlineno, Path(checkout).resolve()) if code else ""


def _advice(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return ". Put the module into the repository, or add its package to requirements.txt or uv.lock and lock again"
    if isinstance(error, ImportError) and error.name is None:
        # Python names what it cannot import. A library that says by itself what it lacks names nothing: so does pandas
        # for Parquet without pyarrow.
        return ". Add the package that it needs to requirements.txt or uv.lock and lock again"
    return ""


def line_of(error: BaseException, directory: str) -> str:
    """The last line of the repository that the error came through, in brackets; empty when it came through none."""
    checkout = Path(directory).resolve()
    frames = traceback.extract_tb(error.__traceback__)
    # Code without a file has a name such as <frozen importlib._bootstrap>, which would stand in the working directory.
    files = [frame for frame in frames if not frame.filename.startswith("<")]
    inside = [frame for frame in files if Path(frame.filename).resolve().is_relative_to(checkout)]
    if isinstance(error, SyntaxError) or not inside:
        return ""
    return _place(inside[-1].filename, inside[-1].lineno, checkout)


def _place(file: str, line: int | None, checkout: Path) -> str:
    path = Path(file).resolve()
    return f" ({path.relative_to(checkout)}, line {line})" if path.is_relative_to(checkout) else ""
