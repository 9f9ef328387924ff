"""An imported version: the uploaded model and its test rows, in place of a repository's build and datasets.

The model is an ONNX file, or one of weights alone with an architecture that is declared beside it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from headgate.artifacts.graphs import GraphRefused, read_graph
from services.trainer.child.declared_network import declared_network
from services.trainer.child.failure import ExportFailure, TrainingFailure
from services.trainer.child.imported_rows import test_rows
from services.trainer.child.served_form import inspected
from services.trainer.job import Job

WORDS = (
    ("datasets(context): test: features: ", "the test rows: "),
    ("datasets(context): test: ", "the test rows: "),
    ("build(context): the file is refused: ", "the file is refused: "),
    ("build(context): the file ", "the file "),
    ("build(context): ", "the file: "),
    ("network: ", "the file: "),
    ("build(context), on ", "the file, on "),
)


def imported_module(job: Job) -> SimpleNamespace:
    """What a repository's module would define for the uploaded files."""

    def datasets(context: SimpleNamespace) -> dict[str, Any]:
        # The file comes first: its inputs say what the columns of the rows are.
        try:
            context.imported = model_of(context.data)
            _, graph = inspected(context.imported, job.input_names)
        except GraphRefused as error:
            raise ExportFailure(f"the file is refused: {error}") from error
        return {"test": test_rows(context.data["rows"], job.answers, graph)}

    return SimpleNamespace(datasets=datasets, build=lambda context: context.imported)


def model_of(files: Mapping[str, Path]) -> bytes:
    """The ONNX file. Raises GraphRefused, and ExportFailure when weights do not fit their architecture."""
    if "architecture" in files:
        return declared_network(files["architecture"], files["model"])
    return read_graph(files["model"])


@contextmanager
def worded_for(job: Job) -> Iterator[None]:
    """Failures of an imported version name its files, because it has no functions."""
    try:
        yield
    except (TrainingFailure, ExportFailure) as failure:
        if job.module:
            raise
        text = str(failure)
        for before, after in WORDS:
            text = text.replace(before, after)
        raise type(failure)(text) from failure
