"""The names of an artifact's files and tensors. The trainer writes them, and other services read them."""

from collections.abc import Collection

MODEL_FILE = "model.onnx"
"""The network as ONNX. The evaluator measures it and the gateway serves it."""
WEIGHTS_FILE = "weights.safetensors"
"""The weights as torch has them."""
SIGNATURE_FILE = "signature.json"
"""Inputs and outputs of the network, with datatypes and shapes."""
TRAINING_FILE = "training.json"
"""How the network was trained: epochs with their losses, seed, libraries."""
TEST_ROWS_FILE = "test.safetensors"
"""The rows that were not used in the training, with their true answers."""
PROVENANCE_FILE = "provenance.json"
"""The sources of the other files, as an in-toto statement."""

BUILT_FILES = (MODEL_FILE, SIGNATURE_FILE, TRAINING_FILE, TEST_ROWS_FILE)
"""The files that the training process writes when the repository builds its ONNX file itself."""
EXPORTED_FILES = (*BUILT_FILES, WEIGHTS_FILE)
"""The files that it writes otherwise. The provenance has their digests, so it is written after them."""
PLOTS_FILE = "plots.json"
"""The plots of the version as data: curves on the test rows, and the losses of the epochs."""
PLOT_NAMES = ("roc", "precision_recall", "calibration", "confusion", "residuals", "ndcg_at", "learning_curve")
"""Those that a version may have. Each is a PNG too."""

INPUT = "features"
"""The input of a graph that takes one tensor without a name. The first dimension of every input is the batch."""
OUTPUT = "prediction"
"""The output of a graph that answers one tensor without a name: one prediction for each row of the batch."""
PROBABILITIES = "probabilities"
"""What the usual converters call the output of a classifier that has the probability of each class."""

EXAMPLE_SIZES = "headgate.example_sizes"
"""In the metadata of the graph: as JSON a size, for each dimension that varies besides the batch, that it can run."""

EXAMPLE_ROW = "headgate.example_row"
"""In the metadata of the graph: as JSON a row, for each input, of a graph that fails on zeros and empty texts."""

FEATURES_TENSOR = "X"
"""The features in the test rows: this tensor, or one for each input NAME of the graph, which is called X.NAME."""
ANSWERS_TENSOR = "y"
"""The true answers in the test rows: this tensor, or one for each NAME that the repository gave, called y.NAME."""


def plot_file(plot: str) -> str:
    return f"plot.{plot}.png"


OPTIONAL_FILES = (PLOTS_FILE, *(plot_file(name) for name in PLOT_NAMES))
"""The files that the training process writes where a version has them."""


class Unclear(Exception):
    """There are several tensors, and nothing says which one the task is about."""


def features_tensor(name: str) -> str:
    """The tensor in the test rows that holds the rows of this input."""
    return FEATURES_TENSOR if name == INPUT else f"{FEATURES_TENSOR}.{name}"


def answers_tensor(name: str) -> str:
    """The tensor in the test rows that holds the true answers of this name."""
    return ANSWERS_TENSOR if name == OUTPUT else f"{ANSWERS_TENSOR}.{name}"


def features_in(tensors: Collection[str]) -> dict[str, str]:
    """For each input of the graph the tensor in the test rows."""
    return _named(tensors, FEATURES_TENSOR, INPUT)


def answers_in(tensors: Collection[str]) -> dict[str, str]:
    """For each name of an answer the tensor in the test rows."""
    return _named(tensors, ANSWERS_TENSOR, OUTPUT)


def measured(names: Collection[str], declared: str) -> str:
    """The output, or the answer, that the task is about: the declared one, the only one, or one of a usual name.

    Raises Unclear.
    """
    if declared in names:
        return declared
    if len(names) == 1:
        return next(iter(names))
    for usual in () if declared else (OUTPUT, PROBABILITIES):
        if usual in names:
            return usual
    raise Unclear(f"{', '.join(names)}: " + (f"none is {declared}" if declared else f"none is {OUTPUT}"))


def _named(tensors: Collection[str], stored: str, unnamed: str) -> dict[str, str]:
    prefix = f"{stored}."
    found = {tensor.removeprefix(prefix): tensor for tensor in sorted(tensors) if tensor.startswith(prefix)}
    return ({unnamed: stored} if stored in tensors else {}) | found
