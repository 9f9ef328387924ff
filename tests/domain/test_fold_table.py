"""The table of fold functions has an entry for every fact of a model."""

from typing import get_args

from headgate.domain import model
from headgate.domain.fact import ModelFact


def test_every_fact_of_a_model_has_a_fold_function():
    assert set(model._FOLDS) == set(get_args(ModelFact))
