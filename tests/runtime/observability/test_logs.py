"""The filter for repeated log lines."""

import logging

from headgate.runtime.observability.logs import REPEAT_SECONDS, RepeatFilter


def line(name: str, message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "", 0, message, arguments, None)


def test_repeated_lines_of_a_library_are_held_back_and_counted() -> None:
    now = [100.0]
    repeats = RepeatFilter("kafka", lambda: now[0])
    first, again = line("kafka.cluster", "no node %s", 1), line("kafka.cluster", "no node %s", 2)
    assert repeats.filter(first)
    assert not any(repeats.filter(again) for _ in range(41))
    assert repeats.filter(line("kafka.cluster", "another"))
    assert all(repeats.filter(line("services.registry", "ours")) for _ in range(3))
    now[0] += REPEAT_SECONDS
    assert repeats.filter(again)
    assert (getattr(again, "suppressed", None), hasattr(first, "suppressed")) == (41, False)
