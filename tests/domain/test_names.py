"""The names of models with and without a project."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.names import (
    DEFAULT_PROJECT,
    NAME,
    is_model_name,
    is_model_prefix,
    is_name,
    model_stream,
    project_of,
    split_numbered,
    split_stream,
    version_name,
)

NAMES = st.from_regex(NAME, fullmatch=True)
SHORT = NAMES.map(lambda name: name[:31]).filter(lambda name: name != DEFAULT_PROJECT)


@given(NAMES)
def test_a_name_without_a_dot_names_a_model_of_the_default_project(name: str):
    assert is_model_name(name)
    assert project_of(name) == DEFAULT_PROJECT


@given(SHORT, SHORT)
def test_a_model_of_a_project_has_a_stream_and_resource_names_like_any_other(project: str, name: str):
    model = f"{project}.{name}"
    assert is_model_name(model)
    assert project_of(model) == project
    assert split_stream(model_stream(model)) == ("models", model)
    assert split_numbered(version_name(model, 3), "versions") == (model, 3)
    assert is_model_prefix(f"{project}.*")
    assert is_model_prefix(f"{model}*")


@pytest.mark.parametrize(
    "text",
    ["a.b.c", ".a", "a.", ".", "a..b", "-a.b", "a.-b", "A.b", "a.b\n", "default.a", f"{'a' * 32}.{'b' * 31}", "*"],
)
def test_other_texts_with_dots_name_no_model(text: str):
    assert not is_model_name(text)
    assert split_stream(f"models/{text}") == ("", "")


def test_nothing_but_a_model_has_a_dot_in_its_name():
    assert not is_name("risk.fraud")
    assert split_stream("environments/risk.production") == ("", "")
    assert split_stream("access/risk.default") == ("", "")
