"""Tests that a commit must pass before it is trained."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from onnxruntime_extensions import get_library_path

import model

ROOT = Path(__file__).parent.parent
TEXTS = np.array(["The soup was NOT good!", "the room was very charming...", "", "Nobody knows these 3 words"])


@pytest.fixture(scope="module")
def context() -> SimpleNamespace:
    config = tomllib.loads((ROOT / "headgate.toml").read_text())
    return SimpleNamespace(
        data={name: ROOT / file["uri"] for name, file in config["data"].items()},
        parameters=config["parameters"],
    )


def test_every_review_is_in_one_part(context: SimpleNamespace) -> None:
    assert {name: len(texts) for name, (texts, _) in model.datasets(context).items()} == {
        "train": 480,
        "validation": 120,
        "test": 200,
    }


def test_the_graph_reads_text_as_the_training_does(context: SimpleNamespace) -> None:
    texts, _ = model.datasets(context)["train"]
    numbers = model.vocabulary(texts)
    torch.manual_seed(7)
    reader = model.Reader(len(numbers) + 2, **context.parameters["reader"]).eval()
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(get_library_path())
    session = onnxruntime.InferenceSession(model.graph(reader, numbers).SerializeToString(), options)
    asked = np.concatenate([TEXTS, texts[:20]])
    (answers,) = session.run(None, {"text": asked.astype(object)})
    with torch.no_grad():
        expected = reader(model.tokens(asked, numbers)).numpy()
    np.testing.assert_allclose(answers[:, 0], expected, rtol=1e-4, atol=1e-5)
