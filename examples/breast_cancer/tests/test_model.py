"""Tests that a commit must pass before it is trained."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import model

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def context() -> SimpleNamespace:
    config = tomllib.loads((ROOT / "headgate.toml").read_text())
    return SimpleNamespace(
        data={name: ROOT / file["uri"] for name, file in config["data"].items()},
        seed=config["train"]["seed"],
        parameters=config.get("parameters", {}),
    )


def test_every_sample_is_in_exactly_one_part(context: SimpleNamespace) -> None:
    parts = model.datasets(context)
    rows = [tuple(row) for features, _ in parts.values() for row in features.tolist()]
    assert len(rows) == 569
    assert len(set(rows)) == len(rows)


def test_every_part_has_the_same_share_of_malignant_samples(context: SimpleNamespace) -> None:
    for _, labels in model.datasets(context).values():
        assert labels.mean().item() == pytest.approx(212 / 569, abs=0.01)


def test_every_held_out_sample_gets_a_probability(context: SimpleNamespace) -> None:
    torch.manual_seed(context.seed)
    features, _ = model.datasets(context)["test"]
    with torch.no_grad():
        answers = model.network(context)(features)
    assert answers.shape == (len(features), 1)
    assert bool(((answers >= 0.0) & (answers <= 1.0)).all())
