"""A tester chooses the arm by a header where the policy allows it, at any weight, and is never evidence."""

import grpc
import pytest

from headgate.runtime.errors import RpcRefused
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.arm_header import choice_by_header
from services.gateway.routes import Route
from services.gateway.table import Entry

IN_RELEASE = Route(model="fraud", stable=1, candidate=2, release=3, candidate_bps=0, arm_header=True)


def entry(route=IN_RELEASE, loaded=(1, 2), failures=None, withheld=None):
    versions = {number: f"version {number}" for number in loaded}
    return Entry(route, versions, failures or {}, counter=None, metrics=None, withheld=withheld or {})


@pytest.mark.parametrize(
    ("asked", "arm", "version"),
    [("stable", telemetry.ARM_STABLE, "version 1"), ("candidate", telemetry.ARM_CANDIDATE, "version 2")],
)
def test_the_arm_answers_whatever_its_weight_and_counts_for_nothing(asked, arm, version):
    choice = choice_by_header(entry(), asked, silent_seconds=0.0)
    assert (choice.version, choice.arm, choice.counted) == (version, arm, False)


@pytest.mark.parametrize(
    ("given", "asked", "silent_seconds", "code", "words"),
    [
        (entry(), "both", 0.0, grpc.StatusCode.INVALID_ARGUMENT, "expected stable or candidate, got 'both'"),
        (
            entry(Route(model="fraud", stable=1, candidate=2, release=3)),
            "stable",
            0.0,
            grpc.StatusCode.FAILED_PRECONDITION,
            "the policy of release 3 of fraud has no arm_header = true",
        ),
        (
            entry(Route(model="fraud", stable=1)),
            "candidate",
            0.0,
            grpc.StatusCode.FAILED_PRECONDITION,
            "fraud has no candidate version here now",
        ),
        (
            entry(loaded=(1,), failures={2: "Fail: no file"}),
            "candidate",
            0.0,
            grpc.StatusCode.FAILED_PRECONDITION,
            "the candidate version 2 of fraud failed to load: Fail: no file",
        ),
        (
            entry(withheld={2: "is quarantined"}),
            "candidate",
            0.0,
            grpc.StatusCode.FAILED_PRECONDITION,
            "the candidate version 2 of fraud is quarantined",
        ),
        (
            entry(),
            "candidate",
            61.0,
            grpc.StatusCode.FAILED_PRECONDITION,
            "has not read the log for too long",
        ),
    ],
)
def test_an_arm_that_cannot_answer_is_refused_with_its_reason(given, asked, silent_seconds, code, words):
    with pytest.raises(RpcRefused) as refused:
        choice_by_header(given, asked, silent_seconds)
    assert refused.value.code == code
    assert words in refused.value.rule


def test_without_a_release_stable_needs_no_policy():
    assert choice_by_header(entry(Route(model="fraud", stable=1)), "stable", 0.0).version == "version 1"
