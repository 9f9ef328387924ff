"""What a caller sees in lists is what it may read one by one."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from headgate.access.decision import decide
from headgate.access.grants import ALL, NONE, Bound, Grant, Grants, Target
from headgate.access.subject import Subject
from headgate.access.table import row_of
from headgate.access.visibility import WHOLE, Visibility, visibility_of
from tests.access.test_bounds import BOUNDS, LABELS, NAMES
from tests.access.test_decision import GRANTS, SUBJECTS

LIST, GET = (row_of(f"/headgate.v1.RegistryService/{method}") for method in ("ListModels", "GetModel"))
HELD = st.builds(
    lambda grants, bounds: [replace(grant, models=Bound(text)) for grant, text in zip(grants, bounds, strict=False)],
    GRANTS,
    st.lists(BOUNDS, min_size=6, max_size=6),
)


@given(SUBJECTS, HELD, NAMES, LABELS)
def test_a_model_is_in_sight_exactly_when_it_may_be_read(
    subject: Subject, held: list, name: str, labels: dict[str, str]
):
    grants = Grants(held)
    visibility = visibility_of(subject, grants, LIST)
    may_read = decide(subject, grants, GET, Target(name, NONE, labels)) is None
    assert visibility.shows(name, labels) == may_read
    assert may_read or not visibility.is_whole


@given(SUBJECTS, HELD)
def test_who_sees_something_may_list(subject: Subject, held: list[Grant]):
    grants = Grants(held)
    visibility = visibility_of(subject, grants, LIST)
    if any(visibility.shows(name, {}) for name in ("a", "a.b", "b")):
        assert decide(subject, grants, LIST, Target()) is None


def test_equal_bounds_are_one_sight():
    assert Visibility(frozenset({Bound(ALL)})) == WHOLE
    assert Visibility(frozenset({Bound("a.*")})) != WHOLE
