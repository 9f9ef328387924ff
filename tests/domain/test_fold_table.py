"""The tables that fold a fact know every fact of a model."""

from typing import get_args

from headgate.domain import build, model
from headgate.domain.fact import ModelFact


def test_every_fact_of_a_model_has_its_axis():
    assert set(model._FOLDS) == set(get_args(ModelFact))


def test_every_later_fact_of_the_build_has_its_fold():
    assert set(build._FOLDS) == set(get_args(build.Progress))
