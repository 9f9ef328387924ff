"""The line in the log for callers who did not agree on TLS."""

import logging
import ssl

import pytest

from headgate.runtime.refused_handshakes import MAX_REASONS, REPEAT_SECONDS, RefusedHandshakes

CALLER = ("10.0.0.7", 40_000)


def refusal(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def test_the_same_reason_is_said_once_in_a_while_with_the_number_of_those_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    refused = RefusedHandshakes("REST", lambda: now[0])
    for _ in range(5):
        refused.note(refusal("WRONG_VERSION_NUMBER"), CALLER)
    refused.note(refusal("NO_SHARED_CIPHER"), CALLER)
    now[0] = REPEAT_SECONDS
    refused.note(refusal("WRONG_VERSION_NUMBER"), CALLER)
    said = [(record.getMessage().rpartition(": ")[2], getattr(record, "suppressed", 0)) for record in caplog.records]
    assert said == [("wrong version number", 0), ("no shared cipher", 0), ("wrong version number", 4)]
    assert {(record.port, record.caller) for record in caplog.records} == {("REST", str(CALLER))}


def test_a_caller_that_goes_away_is_no_refusal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for error in (ConnectionResetError(), TimeoutError(), ssl.SSLEOFError(8, "EOF")):
        RefusedHandshakes("REST").note(error, CALLER)
    assert caplog.records == []


def test_no_number_of_reasons_fills_the_memory() -> None:
    refused = RefusedHandshakes("REST")
    for number in range(3 * MAX_REASONS):
        refused.note(refusal(f"REASON_{number}"), CALLER)
    assert len(refused._said) <= MAX_REASONS
