"""Token buckets: which calls they allow, and how long the others must wait."""

import math

from hypothesis import given
from hypothesis import strategies as st

from headgate.runtime.rpc.rate_limit import MAX_BUCKETS, LocalBuckets, Rate, caller_of, take

rates = st.builds(Rate, st.floats(0.1, 1_000), st.integers(1, 50))
gaps = st.lists(st.floats(0, 2), min_size=1, max_size=60)


@given(rates, gaps)
def test_no_window_allows_more_than_the_burst_and_the_rate(rate: Rate, waits: list[float]) -> None:
    arrival, now, allowed = -math.inf, 0.0, []
    for wait in waits:
        now += wait
        arrival, seconds = take(arrival, now, rate)
        if seconds == 0:
            allowed.append(now)
    for first in range(len(allowed)):
        for last in range(first, len(allowed)):
            window = allowed[last] - allowed[first]
            assert last - first + 1 <= rate.burst + window * rate.per_second + 1e-6


@given(rates, gaps)
def test_a_caller_that_waits_for_the_given_time_is_allowed(rate: Rate, waits: list[float]) -> None:
    arrival, now = -math.inf, 0.0
    for wait in waits:
        now += wait
        arrival, seconds = take(arrival, now, rate)
        if seconds > 0:
            now += seconds
            arrival, seconds = take(arrival, now, rate)
            assert seconds == 0


def test_callers_have_buckets_of_their_own_and_fill_them_by_waiting() -> None:
    clock = [0.0]
    buckets = LocalBuckets(Rate(2.0, 2), lambda: clock[0])
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0.5]
    assert buckets.take("b") == 0
    clock[0] = 0.5
    assert [buckets.take("a") for _ in range(2)] == [0, 0.5]


def test_buckets_are_bounded() -> None:
    buckets = LocalBuckets(Rate(1.0, 1), lambda: 0.0)
    for number in range(MAX_BUCKETS + 1):
        buckets.take(str(number))
    assert buckets.take(str(MAX_BUCKETS)) == 1
    assert buckets.take("0") == 0  # the bucket that was unused longest was removed


def test_a_caller_is_its_actor_or_its_address() -> None:
    assert caller_of({"x-actor": "ada"}, "ipv4:10.0.0.1:5000") == "actor:ada"
    assert caller_of({}, "ipv4:10.0.0.1:5000") == "ipv4:10.0.0.1"
    assert caller_of({"x-actor": "x" * 1_000}, "") == "actor:" + "x" * 128
