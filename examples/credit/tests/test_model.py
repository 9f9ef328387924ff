"""Tests that a commit must pass before it is trained."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

import model

ROOT = Path(__file__).parent.parent
FEW = {"n_estimators": 5, "max_depth": 3}


@pytest.fixture(scope="module")
def parts() -> dict[str, tuple[model.Columns, np.ndarray]]:
    config = tomllib.loads((ROOT / "headgate.toml").read_text())
    data = {name: ROOT / file["uri"] for name, file in config["data"].items()}
    return model.datasets(SimpleNamespace(data=data))


def test_every_loan_is_in_one_part(parts: dict[str, tuple[model.Columns, np.ndarray]]) -> None:
    assert {name: len(late) for name, (_, late) in parts.items()} == {"train": 1500, "validation": 300, "test": 600}


def test_the_graph_answers_as_scikit_learn_does(parts: dict[str, tuple[model.Columns, np.ndarray]]) -> None:
    pipeline = model.trained(*parts["train"], seed=7, trees=FEW)
    asked = parts["test"][0]
    expected = pipeline.predict_proba(model.table(asked))
    np.testing.assert_allclose(answered(pipeline, asked), expected, atol=1e-5)


def test_an_unknown_purpose_and_branch_are_answered(parts: dict[str, tuple[model.Columns, np.ndarray]]) -> None:
    pipeline = model.trained(*parts["train"], seed=7, trees=FEW)
    first = {name: values[:1] for name, values in parts["test"][0].items()}
    unknown = {**first, "purpose": np.array([["boat"]], np.object_), "branch": np.array([[999]])}
    (answer,) = answered(pipeline, unknown)
    assert answer.sum() == pytest.approx(1.0)


def answered(pipeline: model.Pipeline, features: model.Columns) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.graph(pipeline).SerializeToString())
    (probabilities,) = session.run(["probabilities"], features)
    return probabilities
