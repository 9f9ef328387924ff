"""What the training process cannot make a version of. The text says what was wrong, where, and what to do."""

import traceback
from pathlib import Path


class TrainingFailure(Exception):
    """The repository's code, its rows or its training did something that cannot become a version."""


class ExportFailure(Exception):
    """The network has no ONNX graph that answers as it does, or it answers in a form that its task does not take."""


def raised(where: str, error: BaseException, checkout: str) -> str:
    """What foreign code raised, and at which line of the repository."""
    return f"{where}: {type(error).__name__}: {error}{line_of(error, checkout)}{_advice(error)}"


def _advice(error: BaseException) -> str:
    if not isinstance(error, ModuleNotFoundError):
        return ""
    return ". Put the module into the repository, or ask the trainer's operator to install it"


def line_of(error: BaseException, directory: str) -> str:
    """The last line of the repository that the error came through, in brackets; empty when it came through none."""
    checkout = Path(directory).resolve()
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(checkout)]
    if isinstance(error, SyntaxError) or not inside:
        return ""
    return f" ({Path(inside[-1].filename).resolve().relative_to(checkout)}, line {inside[-1].lineno})"
