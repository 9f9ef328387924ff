from services.gateway.pace import QUICK_SHARE, SLOW_SECONDS, SURELY_SLOW_SECONDS, Pace, size_class

SMALL, LARGE = size_class(3), size_class(3_000_000)
BETWEEN = (QUICK_SHARE + 1) / 2 * SLOW_SECONDS


def observed(*seconds, pace=None):
    pace = pace or Pace()
    for each in seconds:
        pace.observe(SMALL, each)
    return pace


def test_a_size_that_was_never_measured_is_not_quick():
    pace = observed(0.00001)
    assert pace.is_quick(SMALL)
    assert not pace.is_quick(LARGE)
    assert pace.average_seconds(LARGE) == 0


def test_the_first_measure_decides_whether_a_size_is_quick():
    assert observed(SLOW_SECONDS).is_quick(SMALL)
    assert not observed(SLOW_SECONDS * 1.01).is_quick(SMALL)


def test_one_size_does_not_decide_for_another():
    pace = observed(0.00001)
    pace.observe(LARGE, 1.0)
    assert (pace.is_quick(SMALL), pace.is_quick(LARGE)) == (True, False)


def test_a_version_that_becomes_slow_leaves_the_event_loop_after_few_forwards():
    pace = observed(0.0001)
    forwards = 0
    while pace.is_quick(SMALL):
        pace.observe(SMALL, SLOW_SECONDS * 2)
        forwards += 1
    assert 1 < forwards <= 8


def test_one_forward_of_seconds_is_enough_to_leave_the_event_loop():
    assert not observed(0.0001, 1.0).is_quick(SMALL)


def test_one_delay_of_a_quick_version_changes_nothing():
    assert observed(0.0001, SLOW_SECONDS * 4).is_quick(SMALL)


def test_between_the_limits_requests_stay_where_they_are():
    assert observed(*[BETWEEN] * 100).is_quick(SMALL)
    assert not observed(1.0, *[BETWEEN] * 100).is_quick(SMALL)


def test_a_version_that_is_quick_again_returns_to_the_event_loop():
    assert observed(*[0.0001] * 100, pace=observed(1.0)).is_quick(SMALL)


def test_requests_of_similar_size_share_a_class():
    assert size_class(65) == size_class(127)
    assert size_class(64) != size_class(128)


def test_no_size_is_quick_when_the_values_say_how_long_a_forward_takes():
    assert not observed(*[0.00001] * 50, pace=Pace(depends_on_size=False)).is_quick(SMALL)


def test_a_delay_by_the_clock_alone_is_doubted_until_the_cpu_time_is_measured():
    pace = observed(0.0001)
    pace.observe_clock(SMALL, SLOW_SECONDS * 50)
    assert (pace.is_quick(SMALL), pace.is_doubted) == (True, True)
    pace.observe(SMALL, 0.0001)
    assert (pace.is_quick(SMALL), pace.is_doubted) == (True, False)


def test_a_forward_that_took_very_long_by_the_clock_is_not_doubted():
    pace = observed(0.0001)
    pace.observe_clock(SMALL, SURELY_SLOW_SECONDS)
    assert not pace.is_quick(SMALL)


def test_a_version_whose_requests_may_run_together_leaves_the_event_loop_sooner():
    assert observed(0.0004).is_quick(SMALL)
    assert not observed(0.0004, pace=Pace(slow_seconds=0.00025)).is_quick(SMALL)
