"""Says in the log why callers and a server did not agree on TLS, and never floods it."""

import logging
import ssl
import time
from collections.abc import Callable

REPEAT_SECONDS = 30.0
"""How long further refusals for the same reason are only counted."""
MAX_REASONS = 100

_logger = logging.getLogger(__name__)


class RefusedHandshakes:
    """Those of one port. Every method may be called on any thread, at the cost of a line too many."""

    def __init__(self, port: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`port` is what the log calls the port, such as REST."""
        self._port, self._clock = port, clock
        self._said: dict[str, tuple[float, int]] = {}

    def note(self, error: BaseException, caller: object) -> None:
        """Logs the refusal. A caller that only went away is none."""
        if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
            return
        reason, now = _reason(error), self._clock()
        said_at, suppressed = self._said.get(reason, (now - REPEAT_SECONDS, 0))
        if now - said_at < REPEAT_SECONDS:
            self._said[reason] = said_at, suppressed + 1
            return
        if len(self._said) >= MAX_REASONS:
            self._said.clear()
        self._said[reason] = now, 0
        more = {"suppressed": suppressed} if suppressed else {}
        what = {"port": self._port, "caller": str(caller), **more}
        _logger.warning("a caller and the port did not agree on TLS: %s", reason, extra=what)


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    return (error.reason or str(error)).lower().replace("_", " ")
