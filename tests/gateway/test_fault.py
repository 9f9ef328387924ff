"""Whose error a failure is: what keeps callers from hurting a release, and what keeps a broken version from hiding."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.gateway.fault import MAX_UNCONFIRMED, Cause, Excuses, Fault, Opinion, fault_of

CAUSES = st.sampled_from(Cause)
ARMS = st.booleans()


@pytest.mark.parametrize("is_candidate", [False, True])
@pytest.mark.parametrize("cause", [Cause.VALUE, Cause.INPUT, Cause.UNCLEAR, Cause.SIZE])
def test_the_other_version_decides_whose_error_it_is(cause, is_candidate):
    assert fault_of(cause, Opinion.REJECTED, is_candidate, 0) is Fault.CALLER
    assert fault_of(cause, Opinion.ANSWERED, is_candidate, MAX_UNCONFIRMED) is Fault.VERSION


@pytest.mark.parametrize(
    ("cause", "opinion", "is_candidate", "excuses_left", "fault"),
    [
        # A first release has nobody beside it: only a value that was proven to be the cause excuses it.
        (Cause.VALUE, Opinion.ABSENT, True, 1, Fault.CALLER),
        (Cause.INPUT, Opinion.ABSENT, True, 1, Fault.VERSION),
        (Cause.UNCLEAR, Opinion.ABSENT, True, 1, Fault.VERSION),
        # A live version without a release: ONNX Runtime's words decide.
        (Cause.INPUT, Opinion.ABSENT, False, 1, Fault.CALLER),
        (Cause.UNCLEAR, Opinion.ABSENT, False, 1, Fault.VERSION),
        # The other version is too busy: both arms are treated alike, while excuses are left.
        (Cause.INPUT, Opinion.BUSY, True, 1, Fault.CALLER),
        (Cause.INPUT, Opinion.BUSY, False, 1, Fault.CALLER),
        (Cause.INPUT, Opinion.BUSY, True, 0, Fault.VERSION),
        (Cause.UNCLEAR, Opinion.BUSY, True, 1, Fault.VERSION),
        (Cause.SIZE, Opinion.BUSY, True, 1, Fault.VERSION),
        # Inputs that the version does not declare.
        (Cause.SIGNATURE, Opinion.ANSWERED, True, 1, Fault.VERSION),
        (Cause.SIGNATURE, Opinion.BUSY, True, 1, Fault.VERSION),
        (Cause.SIGNATURE, Opinion.ABSENT, True, 1, Fault.CALLER),
        (Cause.SIGNATURE, Opinion.ANSWERED, False, 1, Fault.CALLER),
        # No input causes this, whatever the other version does.
        (Cause.OTHER, Opinion.REJECTED, True, 1, Fault.VERSION),
    ],
)
def test_without_an_opinion_the_decision_is_careful(cause, opinion, is_candidate, excuses_left, fault):
    assert fault_of(cause, opinion, is_candidate, excuses_left) is fault


class Failing(RuleBasedStateMachine):
    """Any callers against any versions: the counts of one route."""

    def __init__(self):
        super().__init__()
        self.excuses = Excuses()
        self.bad_although_rejected = 0
        self.hidden_although_answered = 0
        self.hidden_without_opinion = 0
        self.confirmed = 0

    @rule(cause=CAUSES, opinion=st.sampled_from(Opinion), is_candidate=ARMS)
    def fail(self, cause, opinion, is_candidate):
        fault = fault_of(cause, opinion, is_candidate, self.excuses.left)
        self.excuses.note(opinion, fault)
        excused = fault is Fault.CALLER
        self.confirmed += opinion is Opinion.REJECTED and excused
        self.bad_although_rejected += opinion is Opinion.REJECTED and not excused and cause is not Cause.OTHER
        # What stable's own declared inputs refuse is the caller's, whoever else takes it.
        by_signature = cause is Cause.SIGNATURE and not is_candidate
        self.hidden_although_answered += opinion is Opinion.ANSWERED and excused and not by_signature
        self.hidden_without_opinion += opinion is Opinion.BUSY and excused and cause is Cause.INPUT

    @invariant()
    def no_caller_hurts_a_release_by_what_both_versions_reject(self):
        assert self.bad_although_rejected == 0

    @invariant()
    def no_version_hides_a_failure_on_what_the_other_answers(self):
        assert self.hidden_although_answered == 0

    @invariant()
    def a_busy_version_excuses_few_failures_more_than_it_confirms(self):
        assert self.hidden_without_opinion <= self.confirmed + MAX_UNCONFIRMED


Failing.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestFailing = Failing.TestCase


def test_a_version_whose_failures_nobody_confirms_runs_out_of_excuses():
    excuses, faults = Excuses(), []
    for _ in range(MAX_UNCONFIRMED + 3):
        faults.append(fault_of(Cause.INPUT, Opinion.BUSY, True, excuses.left))
        excuses.note(Opinion.BUSY, faults[-1])
    assert faults.count(Fault.CALLER) == MAX_UNCONFIRMED
    assert set(faults[-3:]) == {Fault.VERSION}
