"""Who is signed in: a browser holds a random name, and the token stays here. One-time links stand beside it.

All of it is in memory: after a restart people sign in again. Every method may be called on any thread.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Generic, TypeVar

MAX_SESSIONS = 10_000
"""With one more, the one that was used longest ago ends."""
MAX_OF_ONE = 100
"""Sessions of one token, or of one person of a provider. With one more, the oldest of these ends, and no other."""
IDLE_SECONDS = 12 * 3_600.0
LINK_SECONDS = 600.0
"""How long a one-time link or a sign-in at a provider may take."""
MAX_LINKS = 1_000
NAME_BYTES = 32

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Renewed:
    """Whose token somebody renews, and the newest one, for which the caller may wait."""

    subject: str
    token: Callable[[], str]


@dataclass(slots=True)
class Session:
    """The token of one signed-in browser, and the word that its forms must repeat."""

    token: str
    form_word: str
    used_at: float = field(default=0.0)
    renewed: Renewed | None = None

    @property
    def owner(self) -> str:
        """Whose session it is: a provider gives one person many tokens."""
        return self.renewed.subject if self.renewed else self.token

    def newest_token(self) -> str:
        """The token that counts now. It may wait for an identity provider."""
        if self.renewed is not None:
            self.token = self.renewed.token()
        return self.token


class Once(Generic[Value]):
    """Values that are taken once, within their time. The oldest gives way when there are too many."""

    def __init__(self, monotonic: Callable[[], float], most: int = MAX_LINKS, seconds: float = LINK_SECONDS) -> None:
        self._monotonic, self._most, self._seconds = monotonic, most, seconds
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()

    def put(self, name: str, value: Value) -> None:
        """Keeps the value under this name until it is taken."""
        with self._lock:
            self._kept[_digest(name)] = (self._monotonic() + self._seconds, value)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def take(self, name: str) -> Value | None:
        """The value; None when there is none, when it was taken, or when its time is over."""
        with self._lock:
            found = self._kept.pop(_digest(name), None)
        return found[1] if found and self._monotonic() < found[0] else None


class Sessions:
    """The sessions by the digest of their names, the one that was used longest ago first."""

    def __init__(self, monotonic: Callable[[], float], new_name: Callable[[], str], most: int = MAX_SESSIONS) -> None:
        self._monotonic, self._new_name, self._most = monotonic, new_name, most
        self._lock = threading.Lock()
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, token: str, renewed: Renewed | None = None) -> str:
        """A new session with this token. Returns its name, which the browser's cookie holds."""
        name, session = self._new_name(), Session(token, self._new_name(), self._monotonic(), renewed)
        with self._lock:
            # A sign-in is rare, so it may look at all sessions.
            own = [digest for digest, each in self._sessions.items() if each.owner == session.owner]
            if len(own) >= MAX_OF_ONE:
                del self._sessions[own[0]]
            self._sessions[_digest(name)] = session
            if len(self._sessions) > self._most:
                self._sessions.popitem(last=False)
        return name

    def find(self, name: str) -> Session | None:
        """The session; None when there is none, or when nobody has used it for too long."""
        digest, now = _digest(name), self._monotonic()
        with self._lock:
            found = self._sessions.get(digest)
            if found is None:
                return None
            if now - found.used_at > IDLE_SECONDS:
                del self._sessions[digest]
                return None
            found.used_at = now
            self._sessions.move_to_end(digest)
            return found

    def end(self, name: str) -> None:
        """Ends the session, if there is one."""
        with self._lock:
            self._sessions.pop(_digest(name), None)


def _digest(name: str) -> bytes:
    return sha256(name.encode(errors="surrogatepass")).digest()
