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


def test_every_point_is_in_exactly_one_part(context: SimpleNamespace) -> None:
    points = [x for features, _ in model.datasets(context).values() for x in features.flatten().tolist()]
    assert len(points) == 400
    assert len(set(points)) == len(points)


def test_every_answer_is_the_square(context: SimpleNamespace) -> None:
    for x, y in model.datasets(context).values():
        torch.testing.assert_close(y, x.square(), rtol=1e-5, atol=1e-5)


def test_every_held_out_point_gets_one_number(context: SimpleNamespace) -> None:
    torch.manual_seed(context.seed)
    x, _ = model.datasets(context)["test"]
    with torch.no_grad():
        assert model.network(context)(x).shape == (len(x), 1)
