"""The token of a session that a provider has begun, renewed before it ends as long as the provider agrees."""

import logging
import threading
from collections.abc import Callable

from headgate.client.identity_provider import CALL_SECONDS, LoginEnded, LoginFailed, Tokens

EARLY_SECONDS = 30.0
"""So long before its end a token is renewed."""
RETRY_SECONDS = 10.0
"""After a failure, while the provider may come back."""

logger = logging.getLogger(__name__)


class Renewal:
    """Every method may be called on any thread. A provider takes a refresh token once, so one thread renews."""

    def __init__(self, tokens: Tokens, renew: Callable[[Tokens], Tokens], monotonic: Callable[[], float]) -> None:
        self._renew, self._monotonic = renew, monotonic
        self._renewing = threading.Lock()
        self._keep(tokens)

    def token(self) -> str:
        """The newest token, which may have ended when nobody renews it. It may wait for the provider."""
        if self._is_due() and self._renewing.acquire(timeout=CALL_SECONDS if self._has_ended() else 0):
            try:
                if self._is_due():
                    self._try()
            finally:
                self._renewing.release()
        return self._tokens.token

    def _is_due(self) -> bool:
        return self._monotonic() >= self._due_at

    def _has_ended(self) -> bool:
        return self._monotonic() >= self._ends_at

    def _try(self) -> None:
        try:
            self._keep(self._renew(self._tokens))
        except LoginEnded as error:
            self._due_at = float("inf")
            logger.info("a session of the console is not renewed", extra={"why": str(error)})
        except LoginFailed as error:
            self._due_at = self._monotonic() + RETRY_SECONDS
            logger.warning("a session of the console cannot be renewed now", extra={"why": str(error)})

    def _keep(self, tokens: Tokens) -> None:
        now = self._monotonic()
        # Of a token that holds for less than a minute the second half is early.
        early_seconds = min(EARLY_SECONDS, tokens.seconds / 2)
        self._tokens, self._ends_at = tokens, now + tokens.seconds
        self._due_at = self._ends_at - early_seconds if tokens.refresh_token else float("inf")
