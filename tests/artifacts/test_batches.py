"""Every row is in one batch, in order. A batch is limited by rows and bytes, and the last row is not alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.artifacts.batches import MAX_BATCH_BYTES, batches, rows_at_once


@pytest.mark.parametrize(
    ("rows", "at_most", "sizes"),
    [(0, 4, []), (1, 4, [1]), (4, 4, [4]), (5, 4, [5]), (6, 4, [4, 2]), (9, 4, [4, 5]), (3, 1, [1, 1, 1])],
)
def test_a_last_row_joins_the_batch_before_it(rows: int, at_most: int, sizes: list[int]) -> None:
    assert [part.stop - part.start for part in batches(rows, at_most)] == sizes


@given(rows=st.integers(0, 300), at_most=st.integers(1, 50))
def test_every_row_is_in_one_batch_and_in_order(rows: int, at_most: int) -> None:
    parts = batches(rows, at_most)
    assert [row for part in parts for row in range(rows)[part]] == list(range(rows))
    assert all(part.stop - part.start <= at_most + 1 for part in parts)


@given(row_bytes=st.integers(0, 2**40), batch_size=st.integers(1, 10**6))
def test_a_batch_is_limited_by_the_batch_of_the_training_and_by_bytes(row_bytes: int, batch_size: int) -> None:
    rows = rows_at_once(row_bytes, batch_size)
    assert 1 <= rows <= batch_size
    assert rows == 1 or rows * row_bytes <= MAX_BATCH_BYTES
