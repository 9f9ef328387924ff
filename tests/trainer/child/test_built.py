"""A repository whose build(context) leaves an ONNX file: what its artifact holds, and what is refused with which words.

Runs in this process, because no torch is needed.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from headgate.artifacts import layout
from headgate.artifacts.findings import FINDINGS
from headgate.artifacts.plots.by_task import PLOTS_OF
from headgate.artifacts.row_file import rows_from_bytes
from headgate.artifacts.rows_apart import shown_in
from services.gateway.loading.onnx_loading import load_onnx
from services.gateway.onnx_errors import MODEL_ERRORS
from services.trainer.child.built import build_artifact
from services.trainer.child.failure import ExportFailure, TrainingFailure
from services.trainer.job import Job
from tests.artifacts.graph_material import categories, tree

JOB = Job(
    checkout="",
    module="",
    task="binary",
    data={},
    parameters={},
    loss="",
    optimizer="",
    learning_rate=0.0,
    momentum=0.0,
    weight_decay=0.0,
    epochs=0,
    batch_size=16,
    seed=7,
    environment={"python": "3"},
    checkpoint_seconds=0.0,
    kind="onnx",
)
COMMON = """
import numpy as np
import onnx
from onnx import TensorProto, helper
from tests.artifacts import graph_material as material
ROWS = np.linspace(0, 1, 20, dtype=np.float32).reshape(10, 2)
YES = (ROWS[:, 0] > 0.5).astype(np.int64)
def datasets(context): return {"test": (ROWS, YES)}
def build(context): return material.tree()
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]
    sys.modules.pop("built_model", None)


def built(checkout: Path, text: str = "", **job: Any) -> dict[str, bytes]:
    """The files of the artifact."""
    (checkout / "built_model.py").write_text(COMMON + text)
    files = checkout / "artifact"
    files.mkdir()
    build_artifact(files, replace(JOB, checkout=str(checkout), module="built_model", **job))
    return {file.name: file.read_bytes() for file in files.iterdir()}


def test_the_artifact_holds_the_file_as_it_was_left_with_its_signature_and_the_test_rows(checkout: Path) -> None:
    files = built(checkout)

    pictures = {layout.plot_file(plot) for plot in PLOTS_OF["binary"]}
    assert set(files) == {*layout.BUILT_FILES, layout.PLOTS_FILE, *pictures}
    assert files[layout.MODEL_FILE] == tree().SerializeToString()
    assert json.loads(files[layout.SIGNATURE_FILE]) == {
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        ],
    }
    rows = rows_from_bytes(files[layout.TEST_ROWS_FILE])
    assert rows["X.input"].dtype == np.float32
    assert rows["y"].tolist() == [0] * 5 + [1] * 5


@pytest.mark.parametrize(
    "left",
    [
        "def build(context): return material.tree().SerializeToString()",
        "def build(context): onnx.save(material.tree(), context.onnx_file)",
        "def build(context):\n    onnx.save(material.tree(), context.onnx_file.with_name('my'))\n    return 'my'",
    ],
)
def test_the_file_may_be_left_as_bytes_at_the_given_path_or_at_a_path_of_its_own(checkout: Path, left: str) -> None:
    assert built(checkout, left)[layout.MODEL_FILE] == tree().SerializeToString()


def test_what_an_exporter_wrote_of_its_machine_is_left_out_and_what_the_author_wrote_stays(checkout: Path) -> None:
    text = """
def build(context):
    left = material.tree()
    left.doc_string = "for the counter"
    left.metadata_props.add(key="team", value="risk")
    left.graph.doc_string = trace = f"File {context.onnx_file.parent}/model.py, line 3"
    for part in (*left.graph.node, *left.graph.input):
        part.doc_string = trace
        part.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=trace)
    return left
"""
    model = onnx.load_from_string(built(checkout, text)[layout.MODEL_FILE])

    expected = tree()
    expected.doc_string = "for the counter"
    expected.metadata_props.add(key="team", value="risk")
    assert model == expected


def test_build_gets_the_rows_the_data_the_parameters_and_a_seeded_generator(checkout: Path) -> None:
    text = """
import random
def build(context):
    features, answers = context.rows["test"]
    assert features is ROWS and answers is YES
    assert context.parameters == {"depth": 3} and context.seed == 7
    (context.onnx_file.parent / "drawn").write_text(f"{random.random()} {np.random.rand()}")
    return material.tree()
"""
    built(checkout, text, parameters={"depth": 3})
    first = (checkout / "drawn").read_text()
    (checkout / "artifact").rename(checkout / "first")
    sys.modules.pop("built_model")
    built(checkout, text, parameters={"depth": 3})

    assert (checkout / "drawn").read_text() == first


def test_text_features_are_stored_and_read_as_they_were(checkout: Path) -> None:
    text = """
TEXTS = np.array(["good", "", "sehr schön", "😀 fine"])
def datasets(context): return {"test": (TEXTS, np.array([4.0, 0.0, 10.0, 6.0], np.float32))}
def build(context): return material.tokenizer()
"""
    files = built(checkout, text, task="regression")

    rows = rows_from_bytes(files[layout.TEST_ROWS_FILE])
    assert rows["X.text"].tolist() == ["good", "", "sehr schön", "😀 fine"]
    assert json.loads(files[layout.SIGNATURE_FILE])["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]


def test_columns_of_a_table_are_the_inputs_of_the_same_names(checkout: Path) -> None:
    text = """
class Column:
    def __init__(self, values): self.values = values
    def to_numpy(self): return self.values
class Table(dict):
    columns = property(lambda self: list(self))
def datasets(context):
    age, town = np.arange(4, dtype=np.int64), np.array(["a", "b", "a", "c"], object)
    return {"test": (Table(age=Column(age), town=Column(town)), np.arange(4.0))}
def build(context):
    cast = helper.make_node("Cast", ["age"], ["prediction"], to=TensorProto.DOUBLE)
    same = helper.make_node("Identity", ["town"], ["town_out"])
    outputs = [helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, [None, 1])]
    inputs = [material.whole("age", None, 1), material.text("town", None, 1)]
    return material.model([cast, same], inputs, [*outputs, material.text("town_out", None, 1)])
"""
    rows = rows_from_bytes(built(checkout, text, task="regression")[layout.TEST_ROWS_FILE])

    assert rows["X.age"].shape == (4, 1)
    assert rows["X.town"].tolist() == [["a"], ["b"], ["a"], ["c"]]


def test_a_threshold_leakage_and_own_metrics_are_found_out(checkout: Path) -> None:
    text = """
def datasets(context):
    other = ROWS + np.float32(0.001)
    return {"train": (np.concatenate([ROWS[:3], other]), np.concatenate([YES[:3], YES])),
            "validation": (other, YES), "test": (ROWS, YES)}
def metrics(context, prediction, answers): return {"caught": float((prediction["label"] == answers).sum())}
"""
    files = built(checkout, text, own_metrics=["caught"], threshold_choice={"best": "f1"})

    assert shown_in(files[layout.TRAINING_FILE]), "a gateway may run its requests together"
    found = json.loads(files[layout.TRAINING_FILE])[FINDINGS]
    assert found["own_metrics"] == {"caught": 10.0}
    assert found["leaked_rows"] == 3
    assert found["threshold"] == pytest.approx(0.5)


def test_a_file_that_knows_certain_categories_alone_is_loaded_with_one_of_them(checkout: Path) -> None:
    text = """
def datasets(context): return {"test": (np.array(["bern", "zug"] * 5), np.ones(10))}
def build(context): return material.categories("bern", "zug")
"""
    files = built(checkout, text, task="regression")

    assert load_onnx("towns", 1, files[layout.MODEL_FILE]).inputs["town"].datatype == "BYTES"
    with pytest.raises(MODEL_ERRORS, match="Unknown Category"):
        load_onnx("towns", 1, categories("bern", "zug").SerializeToString())


DETECTOR = """
FOUND = np.random.default_rng(3).random((10, 5)).astype(np.float32)
FOUND[3] = 0.1
def datasets(context): return {"test": (FOUND, np.zeros(10))}
def build(context): return material.detector()
def metrics(context, prediction, answers):
    assert [len(row) for row in prediction["scores"]] == (FOUND > 0.5).sum(1).tolist()
    return {"lowest": min(row.min() for row in prediction["scores"] if len(row))}
"""


@pytest.mark.parametrize("batch_size", [16, 3])
def test_own_metrics_get_as_many_boxes_as_each_row_has_and_its_requests_run_alone(
    checkout: Path, batch_size: int
) -> None:
    files = built(checkout, DETECTOR, task="custom", own_metrics=["lowest"], batch_size=batch_size)

    training = json.loads(files[layout.TRAINING_FILE])
    assert 0.5 < training[FINDINGS]["own_metrics"]["lowest"] < 0.6
    assert not shown_in(files[layout.TRAINING_FILE])
    assert json.loads(files[layout.SIGNATURE_FILE])["outputs"][0]["shape"] == [-1, -1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DETECTOR, "on the test rows: the output scores: its size follows from what is in a row"),
        (
            """
def datasets(context):
    boxes = np.tile(np.arange(16, dtype=np.float32).reshape(1, 4, 4), (10, 1, 1))
    return {"test": ({"boxes": boxes, "scores": np.ones((10, 1, 4), np.float32)}, np.zeros(10))}
def build(context): return material.suppression()
""",
            "expected an answer for each row, got selected of the shape [30, 3] for a batch of 10 rows. The first"
            " dimension of an output is the rows. Where each row has a number of answers of its own",
        ),
    ],
)
def test_boxes_that_no_metric_of_a_task_can_compare_are_refused(checkout: Path, text: str, reason: str) -> None:
    with pytest.raises(ExportFailure) as refused:
        built(checkout, text, task="regression", measured="scores" if text is DETECTOR else "")

    assert reason in str(refused.value)


def test_a_file_with_a_length_that_varies_says_which_one_it_can_run(checkout: Path) -> None:
    text = """
def datasets(context): return {"test": (np.arange(50, dtype=np.int64).reshape(10, 5), ROWS[:, 0])}
def build(context):
    nodes = [
        helper.make_node("Cast", ["tokens"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["prediction"], axes=[1], keepdims=0),
    ]
    inputs = [material.whole("tokens", "batch", "length")]
    return material.model(nodes, inputs, [material.floats("prediction", "batch")])
"""
    files = built(checkout, text, task="regression")

    properties = onnx.load_from_string(files[layout.MODEL_FILE]).metadata_props
    assert {each.key: each.value for each in properties} == {layout.EXAMPLE_SIZES: '{"length": 5}'}


@pytest.mark.parametrize(
    ("task", "outputs", "answers"),
    [
        ("multiclass", "helper.make_node('Softmax', ['x'], ['prediction'])", "np.arange(10) % 2"),
        ("multiclass", "helper.make_node('Identity', ['x'], ['prediction'])", "np.arange(10) % 2"),
        ("regression", "helper.make_node('Identity', ['x'], ['prediction'])", "ROWS.astype(np.float64)"),
        ("multilabel", "helper.make_node('Sigmoid', ['x'], ['prediction'])", "np.stack([YES, 1 - YES], 1)"),
    ],
)
def test_every_task_takes_what_its_frameworks_answer(checkout: Path, task: str, outputs: str, answers: str) -> None:
    text = f"""
def datasets(context): return {{"test": (ROWS, {answers})}}
def build(context):
    return material.model([{outputs}], [material.floats("x", None, 2)], [material.floats("prediction", None, 2)])
"""
    assert built(checkout, text, task=task)


def test_answers_of_a_multilabel_task_that_are_no_rows_of_labels_are_refused(checkout: Path) -> None:
    with pytest.raises(TrainingFailure, match=r"the shape \[10\]: expected a row of labels for each row"):
        built(checkout, task="multilabel")


OWN = "def build(context): return material.model([{}], [material.floats('x', None, 2)], [{}])"
REFUSED = {
    "no file": ("def build(context): pass", "build(context): expected an ONNX file at context.onnx_file"),
    "an estimator": ("def build(context): return object()", "got object. Convert it, as with skl2onnx"),
    "a folder": ("def build(context): return context.onnx_file.parent", "there is no file"),
    "raises": (
        "def build(context): return 1 / 0",
        "build(context): ZeroDivisionError: division by zero (built_",
    ),
    "a pickle": (
        "import pickle\ndef build(context): return pickle.dumps({'a': 1})",
        "build(context): the file is refused: it is a pickle",
    ),
    "no onnx": ("def build(context): return b'hello'", "it is no ONNX file"),
    "zipmap": ("def build(context): return material.with_zipmap()", "options={'zipmap': False}"),
    "beside": ("def build(context): return material.beside()", "lies in a file beside it"),
    "no test rows": (
        "def datasets(context): return {'train': (ROWS, YES)}",
        "datasets(context): expected a dict with test as (features, answers)",
    ),
    "not a pair": ("def datasets(context): return {'test': ROWS}", "expected (features, answers), got ndarray"),
    "an empty split": ("def datasets(context): return {'test': (ROWS[:0], YES[:0])}", "there are no rows"),
    "one answer less": (
        "def datasets(context): return {'test': (ROWS, YES[1:])}",
        "expected as many answers as rows, got 10 rows of input and 9 answers",
    ),
    "a class too many": (
        "def datasets(context): return {'test': (ROWS, YES + 1)}",
        "which is not one of the classes 0 to 1",
    ),
    "labels as text": (
        "def datasets(context): return {'test': (ROWS, np.array(['no', 'yes'] * 5))}",
        "the answers are text; give each class its number",
    ),
    "doubles": (
        "def datasets(context): return {'test': (ROWS.astype(np.float64) / 3, YES)}",
        "the file takes float32 as input, and these are float64; convert them, as by rows.astype(np.float32)",
    ),
    "three columns": (
        "def datasets(context): return {'test': (np.zeros((10, 3), np.float32), YES)}",
        "the file takes rows of [2] as input, where -1 is any size, and these are [3]",
    ),
    "another input": (
        "def datasets(context): return {'test': ({'rows': ROWS}, YES)}",
        "the file takes input, and these are rows: input is missing",
    ),
    "a missing text": (
        "def build(context): return material.tokenizer()\n"
        "def datasets(context): return {'test': (np.array(['a', None], object), np.ones(2))}",
        "expected numbers, or text in every row: row 1 is None",
    ),
    "rows beside": (
        OWN.format(
            "helper.make_node('ReduceMean', ['x'], ['m'], axes=[0]), helper.make_node('Sub', ['x', 'm'], ['d']),"
            "helper.make_node('ReduceMax', ['d'], ['s'], axes=[1]), helper.make_node('Sigmoid', ['s'], ['y'])",
            "material.floats('y', None, 1)",
        ),
        "depends on the rows beside it",
    ),
    "another number of rows": (
        OWN.format(
            "helper.make_node('ReduceMean', ['x'], ['y'], axes=[0])",
            "material.floats('y', None, 2)",
        ),
        "expected an answer for each row, got y of the shape [1, 2] for a batch of 10 rows",
    ),
    "labels first": (
        "def build(context): return material.model([helper.make_node('Unsqueeze', ['x', 'zero'], ['y'])],"
        " [material.floats('x', None, 2)], [material.floats('y', 1, None, 2)],"
        " [helper.make_tensor('zero', TensorProto.INT64, [1], [0])])",
        "got y of the shape [1, 10, 2] for a batch of 10 rows. For several labels, OneVsRestClassifier of scikit-learn",
    ),
    "no probability": (
        OWN.format(
            "helper.make_node('ReduceSum', ['x'], ['s']), helper.make_node('Exp', ['x'], ['e']),"
            "helper.make_node('ReduceMax', ['e'], ['y'], axes=[1])",
            "material.floats('y', None, 1)",
        ),
        "a binary model must return a probability from 0 to 1",
    ),
    "nothing measured": (
        OWN.format(
            "helper.make_node('Sigmoid', ['x'], ['a']), helper.make_node('Sigmoid', ['x'], ['b'])",
            "material.floats('a', None, 2), material.floats('b', None, 2)",
        ),
        "Name it in headgate.toml, as [network] measured",
    ),
    "no build": ("del build", "code.module: built_model defines no build(context)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_become_a_version_is_refused_with_the_reason(checkout: Path, case: str) -> None:
    text, reason = REFUSED[case]

    with pytest.raises((TrainingFailure, ExportFailure)) as refused:
        built(checkout, text)

    assert reason in str(refused.value)


def test_numbers_in_a_list_become_what_the_file_takes(checkout: Path) -> None:
    text = "def datasets(context): return {'test': ([[0, 1], [0.75, 2]], [0, 1])}"

    assert rows_from_bytes(built(checkout, text)[layout.TEST_ROWS_FILE])["X.input"].dtype == np.float32


def test_numbers_in_a_list_that_would_be_rounded_are_refused(checkout: Path) -> None:
    with pytest.raises(TrainingFailure, match="the file takes float32 as input, and these are float64"):
        built(checkout, "def datasets(context): return {'test': ([[0.1, 1], [0.7, 2]], [0, 1])}")


def test_a_tree_is_served_as_the_network_that_its_callers_know(checkout: Path) -> None:
    files = built(checkout, input_names={"input": "features"}, served_as="prediction")

    signature = json.loads(files[layout.SIGNATURE_FILE])
    assert signature["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 2]}]
    assert signature["outputs"] == [{"name": "prediction", "datatype": "FP32", "shape": [-1, 1]}]
    assert set(rows_from_bytes(files[layout.TEST_ROWS_FILE])) == {layout.FEATURES_TENSOR, layout.ANSWERS_TENSOR}
