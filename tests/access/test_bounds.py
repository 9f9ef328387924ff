"""Which names a bound covers: a prefix never reaches into another project."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.access.grants import ALL, NONE, Bound, project_bound
from headgate.domain.bounds import DEFAULT_BOUND, covers
from headgate.domain.names import DEFAULT_PROJECT, is_model_name, project_of

PART = st.text("ab-", min_size=1, max_size=3).filter(lambda text: text[0] != "-")
NAMES = st.one_of(PART, st.builds("{}.{}".format, PART, PART))
BOUNDS = st.one_of(
    NAMES,
    NAMES.map(lambda name: name + ALL),
    PART.map(project_bound),
    st.sampled_from((ALL, DEFAULT_BOUND, "team=risk", "default*", "d*")),
)
LABELS = st.sampled_from(({}, {"team": "risk"}))


@given(BOUNDS, NAMES)
def test_a_bound_without_a_dot_covers_no_model_of_a_project(text: str, name: str):
    if "." not in text and "=" not in text and text != ALL and Bound(text).covers(name, {}):
        assert project_of(name) == DEFAULT_PROJECT
        assert name.startswith(text.removesuffix(ALL))


@given(st.one_of(PART, st.just(DEFAULT_PROJECT)), NAMES)
def test_the_bound_of_a_project_covers_exactly_its_models(project: str, name: str):
    assert is_model_name(name)
    assert Bound(project_bound(project)).covers(name, {}) == (project_of(name) == project)


@given(BOUNDS)
def test_only_the_bound_for_all_covers_all_names_and_none(text: str):
    for name in (ALL, NONE):
        assert Bound(text).covers(name, {}) == (text == ALL)


@given(BOUNDS, BOUNDS, NAMES)
def test_who_holds_a_prefix_holds_each_name_of_it(held: str, asked: str, name: str):
    if asked.endswith(ALL) and Bound(held).covers(asked, {}) and Bound(asked).covers(name, {}):
        assert Bound(held).covers(name, {})


@given(BOUNDS, BOUNDS, NAMES, LABELS)
def test_a_bound_touches_a_prefix_when_they_share_a_name(denied: str, asked: str, name: str, labels: dict[str, str]):
    if asked.endswith(ALL) and Bound(asked).covers(name, {}) and Bound(denied).covers(name, labels):
        assert Bound(denied).touches(asked, {})


@given(BOUNDS, st.one_of(NAMES, NAMES.map(lambda name: f"a.{name}.b"), BOUNDS), LABELS)
def test_decisions_of_the_registry_agree(text: str, name: str, labels: dict[str, str]):
    assert covers(text, name, labels) == Bound(text).covers(name, labels)


@given(BOUNDS, NAMES, LABELS)
def test_of_one_model_a_bound_touches_what_it_covers(text: str, name: str, labels: dict[str, str]):
    assert Bound(text).touches(name, labels) == Bound(text).covers(name, labels)
