"""Durations and times as people write them on the command line: 12h, 2026-12-24T18:00:00Z."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import typer

from headgate.cli.session import usage
from headgate.runtime.settings import MAX_SECONDS

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
MAX_DIGITS = 6
DURATION = re.compile(r"(\d+)([smhd])", re.ASCII)


def since_ms(text: str, at_ms: int) -> int:
    """The time that lies a duration such as `12h` before `at_ms`, in ms since the epoch; 0 for an empty text.

    Raises CommandFailed.
    """
    if not text:
        return 0
    milliseconds = duration_ms("--since", text)
    if milliseconds is None:
        usage(f"--since {text!r}: expected a whole number with s, m, h or d, for example 12h")
    return at_ms - milliseconds


def time_ms(option: str, text: str, now_ms: Callable[[], int]) -> int:
    """A time in ms since the epoch, written as RFC 3339 or as a duration such as `12h` from now.

    A time without a zone is UTC. Raises CommandFailed that names the option.
    """
    milliseconds = duration_ms(option, text)
    if milliseconds is not None:
        return now_ms() + milliseconds
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        usage(
            f"{option} {text!r}: expected a time such as 2026-12-24T18:00:00Z, or a whole number with s, m, h or d"
            " that counts from now, for example 12h"
        )
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return int(time.timestamp() * 1000)


def wait_seconds(seconds: float) -> float:
    """How long an option says to wait. Raises BadParameter for NaN and for more than a thread can wait."""
    if not 0 <= seconds <= MAX_SECONDS:
        raise typer.BadParameter(f"{seconds:g} is not in the range 0<=x<={MAX_SECONDS}.")
    return seconds


def duration_ms(option: str, text: str) -> int | None:
    """A duration such as `12h` in ms; None for a text of another form. Raises CommandFailed for one too long."""
    parts = DURATION.fullmatch(text)
    if parts is not None and len(parts[1]) > MAX_DIGITS:
        usage(f"{option}: the number of a duration has at most {MAX_DIGITS} digits, and this one has {len(parts[1])}")
    return None if parts is None else int(parts[1]) * SECONDS[parts[2]] * 1_000
