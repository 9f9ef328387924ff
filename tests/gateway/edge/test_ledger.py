"""What a device has counted only grows, over reboots too, and each answer is reported once."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.telemetry.counters import OF_A_DEVICE
from headgate.v1 import edge_state_pb2 as edge_state
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.edge.ledger import MAX_ENTRIES, Ledger, ledger_of
from services.gateway.evidence import EvidenceCounters
from services.gateway.routes import Route

SERVED = {("fraud", 1, 7)}


def route(epoch=7, release=1, model="fraud"):
    return Route(model, stable=1, candidate=2, candidate_bps=500, release=release, epoch=epoch, salt="s")


def counted(*answers, where=None):
    """The counters of a process after these answers, each with whether it was bad and late."""
    evidence = EvidenceCounters()
    counter = evidence.counter_of(where or route())
    for bad, late in answers:
        counter.count(telemetry.ARM_STABLE, 5, bad, late)
    return evidence


def reported(ledger):
    return [tuple(getattr(each, name) for name in OF_A_DEVICE) for each in ledger.unreported(10)]


def rebooted(ledger, served=SERVED):
    return ledger_of(edge_state.DeviceLedger.FromString(ledger.message().SerializeToString()), served)


def test_the_counters_of_a_release_are_reported_until_a_gateway_takes_them():
    ledger = Ledger("i")
    ledger.note(counted((False, False), (True, False), (True, True)).epochs())
    assert reported(ledger) == [(3, 2, 1)]
    for totals in ledger.unreported(10):
        ledger.settle(totals)
    assert reported(ledger) == []


def test_answers_without_a_release_are_not_reported():
    ledger = Ledger("i")
    ledger.note(counted((False, False), where=route(release=0)).epochs())
    assert reported(ledger) == []


def test_what_was_counted_while_a_report_was_on_its_way_is_reported_next():
    ledger, evidence = Ledger("i"), counted((False, False))
    ledger.note(evidence.epochs())
    (totals,) = ledger.unreported(10)
    evidence.counter_of(route()).count(telemetry.ARM_STABLE, 5, bad=True)
    ledger.note(evidence.epochs())
    ledger.settle(totals)
    assert reported(ledger) == [(2, 1, 0)]


def test_a_reported_entry_of_another_route_is_forgotten_at_the_next_start():
    ledger = Ledger("i")
    ledger.note(counted((False, False)).epochs())
    assert rebooted(ledger, served=set()).entries
    for totals in ledger.unreported(10):
        ledger.settle(totals)
    assert rebooted(ledger).entries
    assert not rebooted(ledger, served=set()).entries


def test_of_too_many_entries_reported_ones_go_first_and_only_others_count_as_dropped():
    ledger = Ledger("i")
    for number in range(MAX_ENTRIES + 1):
        ledger.note(counted((False, False), where=route(epoch=number)).epochs())
        if number == 3:
            (totals,) = (each for each in ledger.unreported(10) if each.epoch == 3)
            ledger.settle(totals)
    assert (len(ledger.entries), ledger.dropped) == (MAX_ENTRIES, 0)
    ledger.note(counted((False, False), where=route(epoch=MAX_ENTRIES + 1)).epochs())
    assert (len(ledger.entries), ledger.dropped) == (MAX_ENTRIES, 1)


STEPS = st.one_of(
    st.tuples(st.booleans(), st.booleans()),
    st.sampled_from(["written", "reported", "reported without an answer", "power cut"]),
)


@given(st.lists(STEPS, max_size=40))
def test_a_gateway_hears_totals_that_only_grow_and_in_the_end_all_that_reached_the_disk(steps):
    ledger, evidence, heard, made, on_disk = Ledger("i"), EvidenceCounters(), 0, 0, 0
    disk = ledger.message()
    for step in steps:
        if isinstance(step, tuple):
            evidence.counter_of(route()).count(telemetry.ARM_STABLE, 5, *step)
            made += 1
        elif step == "power cut":
            ledger, evidence, made = ledger_of(disk, SERVED), EvidenceCounters(), on_disk
        else:
            ledger.note(evidence.epochs())
            disk, on_disk = ledger.message(), made
            for totals in ledger.unreported(10) if step != "written" else ():
                assert heard <= totals.requests == made
                heard = totals.requests
                if step == "reported":
                    ledger.settle(totals)
    ledger.note(evidence.epochs())
    assert max([heard, *(totals.requests for totals in ledger.unreported(10))]) == made
