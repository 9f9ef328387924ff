"""The option --at of the commands that read: the moment in the past of which they show the state."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer

from headgate.cli.printing import report
from headgate.cli.session import session, usage
from headgate.cli.times import duration_ms
from headgate.domain.words import time_text
from headgate.v1 import resources_pb2 as resources

MAX_DIGITS = 18
AT_FORM = (
    "expected a time such as 2026-03-03T14:05 (in your time zone) or 2026-03-03T13:05Z, a duration such as 2h for two"
    " hours ago, or the number of a fact, as `headgate model history` shows it"
)


def at_option(context: typer.Context, text: str) -> str:
    """Lets all calls of this run read the state as of the moment, and says which one it is. Raises CommandFailed."""
    if text and not context.resilient_parsing:
        stubs = session(context).stubs
        moment = as_of(text, stubs.log_time.now_ms)
        stubs.as_of.moment = moment
        report(f"as it was {moment_text(moment)}")
    return text


At = Annotated[
    str,
    typer.Option(
        "--at",
        callback=at_option,
        metavar="MOMENT",
        help="As it was then: 2026-03-03T14:05, 2h (ago), or the number of a fact. Without it, now.",
    ),
]


def as_of(text: str, now_ms: Callable[[], int]) -> resources.AsOf:
    """The moment in a text. Raises CommandFailed."""
    if text.isdecimal() and text.isascii() and len(text) <= MAX_DIGITS:
        return resources.AsOf(sequence=int(text))
    return resources.AsOf(time_ms=past_ms(text, now_ms))


def past_ms(text: str, now_ms: Callable[[], int]) -> int:
    """A time in ms since the epoch: with its zone, in the caller's zone, or so long ago. Raises CommandFailed."""
    milliseconds = duration_ms("--at", text)
    if milliseconds is not None:
        return now_ms() - milliseconds
    try:
        time = datetime.fromisoformat(text)
        return round(time.timestamp() * 1000)  # a time without a zone is of the caller's
    except (ValueError, OverflowError, OSError):
        usage(f"--at {text!r}: {AT_FORM}")


def moment_text(moment: resources.AsOf) -> str:
    """The moment for people, in their time zone and in UTC."""
    if moment.WhichOneof("moment") == "sequence":
        return f"after fact {moment.sequence}"
    try:
        own = datetime.fromtimestamp(moment.time_ms / 1000, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return f"at {time_text(moment.time_ms)}"
    return f"at {own:%Y-%m-%d %H:%M:%S} UTC{own:%z} ({time_text(moment.time_ms)} UTC)"
