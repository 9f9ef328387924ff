import threading
from dataclasses import replace

from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway import evidence
from services.gateway.evidence import EvidenceCounters
from services.gateway.routes import Route
from tests.gateway.threads import run_together

CANARY = Route("fraud", stable=1, candidate=2, candidate_bps=500, release=3, epoch=17)


def counts(epoch, arm):
    return next(each for each in epoch.evidence("production").arms if each.arm == arm)


def test_a_key_counts_once_however_many_requests_and_bad_answers_it_has():
    epoch = EvidenceCounters().counter_of(CANARY)
    for bad in (False, True, True):
        epoch.count(telemetry.ARM_CANDIDATE, key_hash=7, bad=bad)
    epoch.count(telemetry.ARM_CANDIDATE, key_hash=8, bad=False)
    seen = counts(epoch, telemetry.ARM_CANDIDATE)
    assert (seen.requests, seen.bad_requests, seen.keys, seen.bad_keys) == (4, 2, 2, 1)


def test_a_late_answer_is_a_bad_one():
    epoch = EvidenceCounters().counter_of(CANARY)
    epoch.count(telemetry.ARM_CANDIDATE, key_hash=7, bad=False, late=True)
    epoch.count(telemetry.ARM_CANDIDATE, key_hash=8, bad=True)
    seen = counts(epoch, telemetry.ARM_CANDIDATE)
    assert (seen.requests, seen.bad_requests, seen.late_requests, seen.bad_keys) == (2, 2, 1, 2)


def test_a_key_beyond_the_limit_is_in_no_count_of_keys(monkeypatch):
    monkeypatch.setattr(evidence, "MAX_KEYS_PER_RELEASE", 2)
    epoch = EvidenceCounters().counter_of(CANARY)
    for key_hash in range(5):
        epoch.count(telemetry.ARM_STABLE, key_hash, bad=True)
    seen = counts(epoch, telemetry.ARM_STABLE)
    assert (seen.requests, seen.bad_requests, seen.keys, seen.bad_keys) == (5, 5, 2, 2)


def key_counts(epoch, arm):
    seen = counts(epoch, arm)
    return (seen.keys, seen.bad_keys), (seen.new_keys, seen.new_bad_keys, seen.first_bad_keys)


def test_a_key_that_comes_back_at_the_next_weight_is_counted_again_but_is_not_new():
    counters = EvidenceCounters()
    first, second = counters.counter_of(CANARY), counters.counter_of(replace(CANARY, candidate_bps=2_500, epoch=18))
    for epoch in (first, second):
        epoch.count(telemetry.ARM_STABLE, key_hash=7, bad=True)
    assert key_counts(first, telemetry.ARM_STABLE) == ((1, 1), (1, 1, 1))
    assert key_counts(second, telemetry.ARM_STABLE) == ((1, 1), (0, 0, 0))


def test_a_bad_key_that_moves_to_the_candidate_is_a_new_bad_key_but_not_a_first_bad_key():
    counters = EvidenceCounters()
    first, second = counters.counter_of(CANARY), counters.counter_of(replace(CANARY, candidate_bps=2_500, epoch=18))
    first.count(telemetry.ARM_STABLE, key_hash=7, bad=True)
    first.count(telemetry.ARM_STABLE, key_hash=8, bad=False)
    for key_hash in (7, 8):
        second.count(telemetry.ARM_CANDIDATE, key_hash, bad=True)
    assert key_counts(second, telemetry.ARM_CANDIDATE) == ((2, 2), (2, 2, 1))


def test_the_hashes_of_the_first_bad_keys_are_reported_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(evidence, "MAX_NAMED_KEYS", 2)
    epoch = EvidenceCounters().counter_of(CANARY)
    for key_hash in (7, 7, 2**64 - 1, 9):
        epoch.count(telemetry.ARM_CANDIDATE, key_hash, bad=True)
    seen = counts(epoch, telemetry.ARM_CANDIDATE)
    assert (list(seen.first_bad_key_hashes), seen.first_bad_keys) == ([7, 2**64 - 1], 3)


def test_a_late_answer_of_an_earlier_epoch_does_not_count_its_key_twice():
    counters = EvidenceCounters()
    first, second = counters.counter_of(CANARY), counters.counter_of(replace(CANARY, candidate_bps=2_500, epoch=18))
    for epoch in (first, second, first, second):
        epoch.count(telemetry.ARM_STABLE, key_hash=7, bad=False)
    assert key_counts(first, telemetry.ARM_STABLE) == ((1, 0), (1, 0, 0))
    assert key_counts(second, telemetry.ARM_STABLE) == ((1, 0), (0, 0, 0))


def test_the_next_release_counts_keys_from_zero_and_the_last_one_counts_no_more_keys():
    counters = EvidenceCounters()
    last = counters.counter_of(CANARY)
    last.count(telemetry.ARM_STABLE, key_hash=7, bad=True)
    counters.counter_of(replace(CANARY, release=4, epoch=30)).count(telemetry.ARM_STABLE, key_hash=7, bad=True)
    last.count(telemetry.ARM_STABLE, key_hash=9, bad=True)
    seen = counts(last, telemetry.ARM_STABLE)
    assert (seen.requests, seen.keys, seen.first_bad_keys) == (2, 1, 1)
    (following,) = [each for each in counters.unreported() if each.route.release == 4]
    assert key_counts(following, telemetry.ARM_STABLE) == ((1, 1), (1, 1, 1))


def test_the_keys_of_a_release_are_dropped_when_the_model_returns_to_an_earlier_route():
    counters = EvidenceCounters()
    counters.counter_of(Route("fraud", stable=1))
    canary = counters.counter_of(CANARY)
    canary.count(telemetry.ARM_STABLE, key_hash=7, bad=False)
    counters.counter_of(Route("fraud", stable=1))
    assert canary.release_keys.flags == {}


def test_without_a_release_requests_are_counted_and_keys_are_not():
    epoch = EvidenceCounters().counter_of(Route("fraud", stable=1))
    epoch.count(telemetry.ARM_STABLE, key_hash=7, bad=False)
    (seen,) = epoch.evidence("production").arms
    assert (seen.version, seen.requests, seen.keys) == (1, 1, 0)


def test_counters_are_reported_only_when_they_changed_since_the_last_report():
    counters = EvidenceCounters()
    epoch = counters.counter_of(CANARY)
    assert counters.unreported() == []
    epoch.count(telemetry.ARM_STABLE, 1, bad=False)
    assert counters.unreported() == [epoch]
    counters.mark_reported(epoch, epoch.requests)
    assert counters.unreported() == []
    epoch.count(telemetry.ARM_CANDIDATE, 2, bad=False)
    assert counters.unreported() == [epoch]


def test_the_same_route_gets_the_same_counters_again():
    counters = EvidenceCounters()
    assert counters.counter_of(CANARY) is counters.counter_of(CANARY)


def test_only_the_last_epochs_of_a_model_are_kept(monkeypatch):
    monkeypatch.setattr(evidence, "MAX_EPOCHS_PER_MODEL", 2)
    counters = EvidenceCounters()
    other = counters.counter_of(Route("churn", stable=1))
    other.count(telemetry.ARM_STABLE, 1, bad=False)
    for number in range(4):
        counters.counter_of(Route("fraud", stable=1, release=1, epoch=number)).count(telemetry.ARM_STABLE, 1, bad=False)
    assert [(each.route.model, each.route.epoch) for each in counters.unreported()] == [
        ("churn", 0),
        ("fraud", 2),
        ("fraud", 3),
    ]


def test_a_key_that_several_threads_count_at_once_counts_once(often_switched):
    epoch, keys, threads = EvidenceCounters().counter_of(CANARY), range(2_000), 4

    def count():
        for key_hash in keys:
            epoch.count(telemetry.ARM_STABLE, key_hash, bad=True)

    run_together([count] * threads)
    seen = counts(epoch, telemetry.ARM_STABLE)
    assert (seen.requests, seen.bad_requests) == (threads * len(keys),) * 2
    assert (seen.keys, seen.bad_keys, seen.first_bad_keys) == (len(keys),) * 3


def test_new_routes_and_reports_come_from_two_threads_at_once(often_switched):
    counters, failures = EvidenceCounters(), []
    routes = [replace(CANARY, model=f"model-{number}") for number in range(300)]
    ended = threading.Event()

    def report():
        try:
            while not ended.is_set():
                for epoch in counters.unreported():
                    counters.mark_reported(epoch, epoch.requests)
        except RuntimeError as error:
            failures.append(error)

    reporter = threading.Thread(target=report)
    reporter.start()
    try:
        for route in routes:
            counters.counter_of(route).count(telemetry.ARM_STABLE, key_hash=7, bad=False)
    finally:
        ended.set()
        reporter.join()
    assert failures == []
