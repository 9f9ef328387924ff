"""Answers of a stream leave in the order of its requests, whatever order they come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.stream_window import StreamWindow


@given(st.data(), st.integers(1, 8), st.integers(0, 40))
def test_answers_leave_once_and_in_order_and_few_requests_are_in_progress(data, limit, requests):
    window, left, open_, begun = StreamWindow(limit), [], [], 0
    while begun < requests or open_:
        if begun < requests and not window.is_full and (not open_ or data.draw(st.booleans())):
            open_.append(window.begin())
            begun += 1
        else:
            number = open_.pop(data.draw(st.integers(0, len(open_) - 1))) if open_ else window.begin()
            left += window.end(number, number)
        assert window.in_progress <= limit
        assert left == list(range(len(left)))
    assert left == list(range(requests))


def test_a_full_window_takes_no_request_until_the_first_one_is_answered():
    window = StreamWindow(2)
    first, second = window.begin(), window.begin()
    assert window.end(second, "b") == []
    assert window.is_full
    with pytest.raises(AssertionError):
        window.begin()
    assert window.end(first, "a") == ["a", "b"]
    assert not window.is_full
