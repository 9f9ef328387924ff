"""The table that folds a fact knows every fact of a model."""

from typing import get_args

from headgate.domain import model
from headgate.domain.fact import ModelFact


def test_every_fact_of_a_model_has_its_axis():
    assert set(model._FOLDS) == set(get_args(ModelFact))
