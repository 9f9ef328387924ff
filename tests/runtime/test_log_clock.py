"""The log's time, for any delays of its answers and for any clock of the host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.runtime.log_clock import LogClock, LogTimeUnknown

LOG_AT_ZERO_MS = 1_700_000_000_000
"""The log's time when the monotonic clock shows 0."""
DAY_SECONDS = 86_400.0
waits = st.floats(0, 100, allow_nan=False)
probes = st.lists(st.tuples(waits, waits, waits), min_size=1, max_size=20)
"""For each probe: seconds until it is sent, until the log stamps it, and until its answer arrives."""


class Host:
    """A monotonic clock, and the time of a log whose clock may be set."""

    def __init__(self) -> None:
        self.now = 5.0
        self.set_by_seconds = 0.0
        self.clock = LogClock(lambda: self.now)

    def log_ms(self) -> int:
        return int(LOG_AT_ZERO_MS + (self.now + self.set_by_seconds) * 1000)

    def probe(self, out: float = 0.0, back: float = 0.0) -> float:
        sent_at = self.now
        self.now += out
        timestamp_ms = self.log_ms()
        self.now += back
        return self.clock.observe(timestamp_ms, sent_at, self.now)


@given(probes)
def test_for_any_delays_the_time_is_never_ahead_of_the_log_and_behind_by_no_more_than_the_shortest_delay(
    delays: list[tuple[float, float, float]],
) -> None:
    host, shortest, last_ms = Host(), DAY_SECONDS, 0
    for wait, out, back in delays:
        host.now += wait
        host.probe(out, back)
        shortest = min(shortest, back)
        found_ms = host.clock.now_ms()
        assert last_ms <= found_ms <= host.log_ms()
        assert host.log_ms() - found_ms <= shortest * 1000 + 2
        last_ms = found_ms


@given(st.lists(st.tuples(st.floats(-DAY_SECONDS, DAY_SECONDS), waits, waits), min_size=1, max_size=20))
def test_the_time_never_runs_backwards_whatever_happens_to_the_logs_clock(
    changes: list[tuple[float, float, float]],
) -> None:
    host, last_ms = Host(), 0
    for set_by, out, back in changes:
        host.set_by_seconds = set_by
        host.probe(out, back)
        found_ms = host.clock.now_ms()
        assert found_ms >= last_ms
        last_ms = found_ms


def test_the_time_goes_on_while_the_log_is_quiet() -> None:
    host = Host()
    host.probe()
    host.now += 3 * DAY_SECONDS
    assert host.clock.now_ms() == host.log_ms()


@pytest.mark.parametrize("seconds", [6.0, 600.0, DAY_SECONDS])
def test_a_logs_clock_that_is_set_forward_is_followed_at_once(seconds: float) -> None:
    host = Host()
    host.probe()
    host.set_by_seconds = seconds
    assert host.probe() == pytest.approx(seconds, abs=0.01)
    assert host.clock.now_ms() == host.log_ms()


def test_after_the_logs_clock_was_set_back_the_time_stands_still_until_the_log_has_reached_it() -> None:
    host = Host()
    host.probe()
    before_ms = host.clock.now_ms()
    host.set_by_seconds = -600.0
    assert host.probe() == pytest.approx(-600.0, abs=0.01)
    host.now += 599.0
    assert host.clock.now_ms() == before_ms
    host.now += 2.0
    assert host.clock.now_ms() == pytest.approx(before_ms + 1_000, abs=2)


def test_after_the_logs_clock_was_set_back_a_new_record_is_not_old() -> None:
    host = Host()
    host.probe()
    host.set_by_seconds = -3_600.0
    host.probe()
    assert host.clock.age_seconds(host.log_ms() - 2_000) == pytest.approx(2.0, abs=0.01)


def test_a_slow_answer_does_not_set_the_time_back() -> None:
    host = Host()
    host.probe()
    assert host.probe(out=30.0, back=30.0) == 0
    assert host.clock.now_ms() == host.log_ms()


def test_a_monotonic_clock_that_runs_a_little_fast_does_not_run_away_from_the_log() -> None:
    host = Host()
    for _ in range(1_000):
        host.now += 10.0
        host.set_by_seconds -= 0.001
        host.probe(out=0.003, back=0.003)
        assert abs(host.clock.now_ms() - host.log_ms()) < 10


def test_before_the_log_took_a_record_the_time_is_unknown_and_the_reason_is_named() -> None:
    clock = LogClock()
    clock.failed("the disk of the log is full")
    with pytest.raises(LogTimeUnknown, match=r"is not known yet: the disk of the log is full"):
        clock.now_ms()
    assert not clock.is_known()
    assert clock.age_seconds(0) == 0.0


def test_an_age_is_never_negative() -> None:
    host = Host()
    host.probe()
    assert host.clock.age_seconds(host.log_ms() - 1_500) == pytest.approx(1.5, abs=0.01)
    assert host.clock.age_seconds(host.log_ms() + 1_500) == 0.0
