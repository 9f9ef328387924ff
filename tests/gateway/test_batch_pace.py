"""How many rows run together follows what each number of rows was measured to cost."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.batch_pace import MAX_ROWS, TRIED_EVERY, BatchPace

SIZE = 5


def measured(*seconds_by_rows):
    pace = BatchPace()
    for rows, seconds in seconds_by_rows:
        pace.observe(SIZE, rows, seconds)
    return pace


def usual(pace, size=SIZE):
    """What it says to most batches."""
    said = [pace.most_rows(size) for _ in range(TRIED_EVERY)]
    return max(said, key=said.count)


def test_all_rows_run_together_before_anything_was_measured():
    assert usual(BatchPace()) == MAX_ROWS
    assert usual(measured((1, 0.001)), SIZE + 1) == MAX_ROWS


def test_rows_run_alone_where_a_batch_costs_more_for_each():
    assert usual(measured((1, 0.001), (8, 0.009), (32, 0.040))) == 1


def test_as_many_rows_run_together_as_cost_least_each():
    assert usual(measured((1, 0.001), (8, 0.004), (32, 0.020))) == 15
    assert usual(measured((1, 0.001), (8, 0.004), (MAX_ROWS, 0.008))) == MAX_ROWS


def test_more_rows_than_were_measured_may_run_together_while_more_have_cost_less():
    assert usual(measured((1, 0.001))) == MAX_ROWS
    assert usual(measured((1, 0.001), (8, 0.004))) == MAX_ROWS


def test_every_number_of_rows_is_tried_again_from_time_to_time():
    pace = measured((1, 0.001), (32, 0.040))
    said = {pace.most_rows(SIZE) for _ in range(TRIED_EVERY * 8)}
    assert said == {1, 3, 7, 15, 31, 63, MAX_ROWS}


def test_one_slow_measure_changes_little_and_one_quick_measure_much():
    pace = measured((1, 0.0010), (8, 0.0072), (32, 0.064))
    pace.observe(SIZE, 8, 0.0088)
    assert usual(pace) == 15
    pace.observe(SIZE, 1, 0.0005)
    assert usual(pace) == 1


@given(st.lists(st.tuples(st.integers(1, MAX_ROWS), st.floats(1e-6, 1.0))))
def test_it_allows_from_one_row_to_the_most_whatever_was_measured(measures):
    assert 1 <= usual(measured(*measures)) <= MAX_ROWS
