"""What a service's log leaves out."""

import logging

from headgate.runtime.observability.logs import SELDOM_SECONDS, Seldom


def line(name: str, message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "", 0, message, arguments, None)


def test_a_library_that_says_the_same_at_every_attempt_is_heard_seldom_and_counted() -> None:
    now = [100.0]
    seldom = Seldom("kafka", lambda: now[0])
    first, again = line("kafka.cluster", "no node %s", 1), line("kafka.cluster", "no node %s", 2)
    assert seldom.filter(first)
    assert not any(seldom.filter(again) for _ in range(41))
    assert seldom.filter(line("kafka.cluster", "another"))
    assert all(seldom.filter(line("services.registry", "ours")) for _ in range(3))
    now[0] += SELDOM_SECONDS
    assert seldom.filter(again)
    assert (getattr(again, "suppressed", None), hasattr(first, "suppressed")) == (41, False)
