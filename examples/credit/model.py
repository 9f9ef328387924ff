"""Whether a loan will be repaid late: words, a code and numbers in, probabilities out, by trees of scikit-learn."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
from onnx import ModelProto
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

WORDS = ("purpose", "home")
CODES = ("branch",)
NUMBERS = ("amount", "months", "income", "arrears")
ENDS = {"train": 1_500, "validation": 1_800, "test": 2_400}

Columns = dict[str, np.ndarray]


def datasets(context: Any) -> dict[str, tuple[Columns, np.ndarray]]:
    with context.data["loans"].open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    starts = dict(zip(ENDS, (0, *ENDS.values()), strict=False))
    return {name: (columns(rows[starts[name] : end]), answers(rows[starts[name] : end])) for name, end in ENDS.items()}


def columns(rows: list[dict[str, str]]) -> Columns:
    """The inputs by name, each with one row for each loan."""
    texts = {name: np.array([[row[name]] for row in rows], np.object_) for name in WORDS}
    codes = {name: np.array([[int(row[name])] for row in rows], np.int64) for name in CODES}
    numbers = np.array([[float(row[name]) for name in NUMBERS] for row in rows], np.float32)
    return {**texts, **codes, "numbers": numbers}


def answers(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([int(row["late"]) for row in rows], np.int64)


def build(context: Any) -> ModelProto:
    features, late = context.rows["train"]
    return graph(trained(features, late, context.seed, context.parameters["trees"]))


def trained(features: Columns, late: np.ndarray, seed: int, trees: dict[str, Any]) -> Pipeline:
    """A word or code that the training has not seen counts as none of the known ones."""
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    places = {name: place for place, name in enumerate((*WORDS, *CODES, *NUMBERS))}
    encoded = ColumnTransformer(
        [
            ("words", one_hot, [places[name] for name in WORDS]),
            ("codes", one_hot, [places[name] for name in CODES]),
            ("numbers", "passthrough", [places[name] for name in NUMBERS]),
        ]
    )
    return make_pipeline(encoded, GradientBoostingClassifier(random_state=seed, **trees)).fit(table(features), late)


def table(features: Columns) -> np.ndarray:
    """The inputs side by side, as scikit-learn takes columns of different kinds."""
    return np.concatenate([features[name].astype(np.object_) for name in (*WORDS, *CODES, "numbers")], axis=1)


def graph(pipeline: Pipeline) -> ModelProto:
    """The pipeline with an input for each word and code, and one for all numbers."""
    inputs = [
        *((name, StringTensorType([None, 1])) for name in WORDS),
        *((name, Int64TensorType([None, 1])) for name in CODES),
        ("numbers", FloatTensorType([None, len(NUMBERS)])),
    ]
    return to_onnx(pipeline, initial_types=inputs, options={"zipmap": False})
