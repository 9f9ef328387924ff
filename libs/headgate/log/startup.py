"""Opens the log at the start of a process. It waits for a missing log or topic and refuses topics that differ."""

import logging
import time
from collections.abc import Callable

from headgate.domain.credentials import without_credentials
from headgate.log.open import is_embedded, open_log
from headgate.log.port import EventLog, LogUnavailable, TopicsMissing, refuse_mismatch
from headgate.log.topics import TOPICS

LOG_WAIT_SECONDS = 300.0
"""How long a service waits for its log. An attempt that has started by then is the last one."""
PAUSE_SECONDS = 1.0
REPORT_EVERY_SECONDS = 10.0
"""The first report of a wait comes at once, and the next ones at this interval."""

logger = logging.getLogger(__name__)


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def await_log(
    url: str,
    wait_seconds: float = LOG_WAIT_SECONDS,
    report: Callable[[str], None] = logger.warning,
    wait_for_stop: Callable[[float], bool] = _pause,
    prepare: Callable[[EventLog], None] | None = None,
) -> EventLog:
    """Waits until the log at this address can be opened and `prepare` succeeds, and returns it.

    Without `prepare`, the declared topics are created in an embedded log. In any other log this function waits for
    them: its operator creates the topics, because the number of copies is the operator's choice.
    `wait_for_stop` waits some seconds and returns whether to give up early.

    Raises LogUnavailable when the wait is over. Raises LogRefused, TopicMismatch, or LogError for a wrong address at
    once.
    """
    began = time.monotonic()
    report_at = began
    while True:
        try:
            return _open(url, prepare or (create_declared if is_embedded(url) else check_declared))
        except LogUnavailable as error:
            waited = time.monotonic() - began
            left = wait_seconds - waited
            if left > 0 and time.monotonic() >= report_at:
                report(f"waiting for the log at {without_credentials(url)}, for {left:.0f} s more: {error}")
                report_at = time.monotonic() + REPORT_EVERY_SECONDS
            if left <= 0 or wait_for_stop(min(PAUSE_SECONDS, left)):
                stopped = f"stopped waiting for the log at {without_credentials(url)} after {waited:.0f} s"
                raise LogUnavailable(f"{stopped}: {error}") from error


def create_declared(log: EventLog) -> None:
    """Creates the declared topics that are missing. Raises TopicMismatch."""
    log.create_topics(TOPICS)


def check_declared(log: EventLog) -> None:
    """Raises TopicMismatch, or TopicsMissing when a declared topic does not exist."""
    states = log.describe_topics(TOPICS)
    refuse_mismatch(states)
    if missing := [state.name for state in states if not state.exists]:
        raise TopicsMissing(f"missing topics: {', '.join(missing)}; `headgate topics apply` creates them")


def _open(url: str, prepare: Callable[[EventLog], None]) -> EventLog:
    log = open_log(url)
    try:
        prepare(log)
    except BaseException:
        log.close()
        raise
    return log
