"""The log at the start of a process: what is not there yet is waited for, what is not as declared is refused."""

import logging
import time
from collections.abc import Callable

from headgate.log.open import is_embedded, open_log, without_passwords
from headgate.log.port import EventLog, LogUnavailable, TopicsMissing, refuse_mismatch
from headgate.log.topics import TOPICS

LOG_WAIT_SECONDS = 300.0
"""How long a service waits for its log. An attempt that is under way then is the last one."""
PAUSE_SECONDS = 1.0
SAY_SECONDS = 10.0
"""The wait is told of at once and then this often."""

logger = logging.getLogger(__name__)


def _nobody_stops_us(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def await_log(
    url: str,
    wait_seconds: float = LOG_WAIT_SECONDS,
    say: Callable[[str], None] = logger.warning,
    is_over: Callable[[float], bool] = _nobody_stops_us,
    prepare: Callable[[EventLog], None] | None = None,
) -> EventLog:
    """The log at this address, once it is there and `prepare` is content; without one, every declared topic is there.

    An embedded log is made with them; whoever runs another log makes its topics, and they are waited for as it is:
    how many copies of them are kept is not for the first service to choose. `is_over` pauses for some seconds and
    says whether to give up early. Raises LogUnavailable when the wait is over; at once LogRefused, TopicMismatch, and
    LogError for an address that is none.
    """
    began = time.monotonic()
    say_at = began
    while True:
        try:
            return _open(url, prepare or (create_declared if is_embedded(url) else check_declared))
        except LogUnavailable as error:
            waited = time.monotonic() - began
            left = wait_seconds - waited
            if left > 0 and time.monotonic() >= say_at:
                say(f"waiting for the log at {without_passwords(url)}, for {left:.0f} s more: {error}")
                say_at = time.monotonic() + SAY_SECONDS
            if left <= 0 or is_over(min(PAUSE_SECONDS, left)):
                given_up = f"gave up on the log at {without_passwords(url)} after {waited:.0f} s"
                raise LogUnavailable(f"{given_up}: {error}") from error


def create_declared(log: EventLog) -> None:
    """Makes the declared topics that are missing. Raises TopicMismatch."""
    log.create_topics(TOPICS)


def check_declared(log: EventLog) -> None:
    """Raises TopicMismatch, or TopicsMissing when some are not there."""
    states = log.describe_topics(TOPICS)
    refuse_mismatch(states)
    if missing := [state.name for state in states if not state.exists]:
        raise TopicsMissing(f"there is no {', '.join(missing)}; `headgate topics apply` makes the topics")


def _open(url: str, prepare: Callable[[EventLog], None]) -> EventLog:
    log = open_log(url)
    try:
        prepare(log)
    except BaseException:
        log.close()
        raise
    return log
