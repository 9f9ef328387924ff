"""The index that a caller sent is found again, also when the graph has moved it below every table."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.artifacts.negative_indices import BELOW_EVERY_TABLE, indices_of_caller

WHOLE = 2**64


def as_int64(number: int) -> int:
    """As an integer of 64 bits, which begins again where it ends."""
    return (number + WHOLE // 2) % WHOLE - WHOLE // 2


@given(st.integers(-(2**63), 2**63 - 1))
def test_the_callers_index_is_among_those_that_a_graph_may_mean(index: int) -> None:
    moved = as_int64(index - BELOW_EVERY_TABLE) if index < 0 else index
    assert index in indices_of_caller(moved)
    assert index in indices_of_caller(index)


@given(st.integers(-(2**31), 2**31))
def test_an_index_that_was_not_moved_means_itself_alone(index: int) -> None:
    assert indices_of_caller(index) == (index,)
