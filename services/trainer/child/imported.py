"""An imported version: the uploaded ONNX file and its test rows, in place of a repository's build and datasets."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from headgate.artifacts.graphs import GraphRefused, read_graph
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
            _, graph = inspected(read_graph(context.data["model"]), job.input_names)
        except GraphRefused as error:
            raise ExportFailure(f"the file is refused: {error}") from error
        return {"test": test_rows(context.data["rows"], job.answers, graph)}

    return SimpleNamespace(datasets=datasets, build=lambda context: context.data["model"])


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
