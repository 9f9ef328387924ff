from dataclasses import replace

from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway import evidence
from services.gateway.evidence import EvidenceBook
from services.gateway.routes import Route

CANARY = Route("fraud", stable=1, candidate=2, candidate_bps=500, release=3, epoch=17)


def counts(epoch, arm):
    return next(each for each in epoch.evidence("production").arms if each.arm == arm)


def test_a_key_counts_once_however_often_it_asks_or_fails():
    epoch = EvidenceBook().open(CANARY)
    for bad in (False, True, True):
        epoch.count(telemetry.ARM_CANDIDATE, key_hash=7, bad=bad)
    epoch.count(telemetry.ARM_CANDIDATE, key_hash=8, bad=False)
    seen = counts(epoch, telemetry.ARM_CANDIDATE)
    assert (seen.requests, seen.bad_requests, seen.keys, seen.bad_keys) == (4, 2, 2, 1)


def test_beyond_the_limit_a_key_enters_neither_key_count(monkeypatch):
    monkeypatch.setattr(evidence, "MAX_KEYS_PER_RELEASE", 2)
    epoch = EvidenceBook().open(CANARY)
    for key_hash in range(5):
        epoch.count(telemetry.ARM_STABLE, key_hash, bad=True)
    seen = counts(epoch, telemetry.ARM_STABLE)
    assert (seen.requests, seen.bad_requests, seen.keys, seen.bad_keys) == (5, 5, 2, 2)


def judged(epoch, arm):
    seen = counts(epoch, arm)
    return (seen.keys, seen.bad_keys), (seen.new_keys, seen.new_bad_keys, seen.first_bad_keys)


def test_a_key_that_comes_back_at_the_next_weight_counts_there_but_is_not_new():
    book = EvidenceBook()
    first, second = book.open(CANARY), book.open(replace(CANARY, candidate_bps=2_500, epoch=18))
    for epoch in (first, second):
        epoch.count(telemetry.ARM_STABLE, key_hash=7, bad=True)
    assert judged(first, telemetry.ARM_STABLE) == ((1, 1), (1, 1, 1))
    assert judged(second, telemetry.ARM_STABLE) == ((1, 1), (0, 0, 0))


def test_a_bad_key_that_moves_to_the_candidate_is_new_to_it_but_not_bad_for_the_first_time():
    book = EvidenceBook()
    first, second = book.open(CANARY), book.open(replace(CANARY, candidate_bps=2_500, epoch=18))
    first.count(telemetry.ARM_STABLE, key_hash=7, bad=True)
    first.count(telemetry.ARM_STABLE, key_hash=8, bad=False)
    for key_hash in (7, 8):
        second.count(telemetry.ARM_CANDIDATE, key_hash, bad=True)
    assert judged(second, telemetry.ARM_CANDIDATE) == ((2, 2), (2, 2, 1))


def test_the_first_bad_keys_are_named_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(evidence, "MAX_NAMED_KEYS", 2)
    epoch = EvidenceBook().open(CANARY)
    for key_hash in (7, 7, 2**64 - 1, 9):
        epoch.count(telemetry.ARM_CANDIDATE, key_hash, bad=True)
    seen = counts(epoch, telemetry.ARM_CANDIDATE)
    assert (list(seen.first_bad_key_hashes), seen.first_bad_keys) == ([7, 2**64 - 1], 3)


def test_a_late_answer_of_an_epoch_that_is_over_does_not_count_its_key_twice():
    book = EvidenceBook()
    first, second = book.open(CANARY), book.open(replace(CANARY, candidate_bps=2_500, epoch=18))
    for epoch in (first, second, first, second):
        epoch.count(telemetry.ARM_STABLE, key_hash=7, bad=False)
    assert judged(first, telemetry.ARM_STABLE) == ((1, 0), (1, 0, 0))
    assert judged(second, telemetry.ARM_STABLE) == ((1, 0), (0, 0, 0))


def test_the_next_release_begins_with_new_keys_and_the_last_one_takes_no_more():
    book = EvidenceBook()
    last = book.open(CANARY)
    last.count(telemetry.ARM_STABLE, key_hash=7, bad=True)
    book.open(replace(CANARY, release=4, epoch=30)).count(telemetry.ARM_STABLE, key_hash=7, bad=True)
    last.count(telemetry.ARM_STABLE, key_hash=9, bad=True)
    seen = counts(last, telemetry.ARM_STABLE)
    assert (seen.requests, seen.keys, seen.first_bad_keys) == (2, 1, 1)
    (following,) = [each for each in book.unreported() if each.route.release == 4]
    assert judged(following, telemetry.ARM_STABLE) == ((1, 1), (1, 1, 1))


def test_a_release_that_ends_on_a_known_route_is_forgotten_too():
    book = EvidenceBook()
    book.open(Route("fraud", stable=1))
    canary = book.open(CANARY)
    canary.count(telemetry.ARM_STABLE, key_hash=7, bad=False)
    book.open(Route("fraud", stable=1))
    assert canary.release_keys.met == {}


def test_outside_a_release_requests_are_counted_and_keys_are_not():
    epoch = EvidenceBook().open(Route("fraud", stable=1))
    epoch.count(telemetry.ARM_STABLE, key_hash=7, bad=False)
    (seen,) = epoch.evidence("production").arms
    assert (seen.version, seen.requests, seen.keys) == (1, 1, 0)


def test_only_what_changed_since_the_last_report_is_reported():
    book = EvidenceBook()
    epoch = book.open(CANARY)
    assert book.unreported() == []
    epoch.count(telemetry.ARM_STABLE, 1, bad=False)
    assert book.unreported() == [epoch]
    book.mark_reported(epoch, epoch.requests)
    assert book.unreported() == []
    epoch.count(telemetry.ARM_CANDIDATE, 2, bad=False)
    assert book.unreported() == [epoch]


def test_a_route_that_comes_again_goes_on_with_its_totals():
    book = EvidenceBook()
    assert book.open(CANARY) is book.open(CANARY)


def test_only_the_last_epochs_of_a_model_are_kept(monkeypatch):
    monkeypatch.setattr(evidence, "MAX_EPOCHS_PER_MODEL", 2)
    book = EvidenceBook()
    other = book.open(Route("churn", stable=1))
    other.count(telemetry.ARM_STABLE, 1, bad=False)
    for number in range(4):
        book.open(Route("fraud", stable=1, release=1, epoch=number)).count(telemetry.ARM_STABLE, 1, bad=False)
    assert [(each.route.model, each.route.epoch) for each in book.unreported()] == [
        ("churn", 0),
        ("fraud", 2),
        ("fraud", 3),
    ]
