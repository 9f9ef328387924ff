"""The login of a person or a machine: a file of the user's with a token of its provider, renewed before it ends."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from headgate.client.identity_provider import LoginEnded, LoginFailed, Tokens, ask_as_machine, refresh
from headgate.runtime.clock import now_ms
from headgate.shared_files import PRIVATE, replace_file, try_lock

EARLY_MS = 30_000
"""So long before its end a token is renewed."""
LOCK_SECONDS = 30.0
"""How long a command waits for another one that renews the token."""
TICK_SECONDS = 0.05
AGAIN = "log in again with `headgate login`"


@dataclass(frozen=True, slots=True)
class Login:
    """Who is logged in where, by which token until when, and how the next one is got."""

    issuer: str
    client_id: str
    token_url: str
    token: str
    expire_time_ms: int
    refresh_token: str = ""
    secret_file: str = ""
    """The file with the secret of a machine; empty for a person."""
    scope: str = ""
    audience: str = ""


def login_file() -> Path:
    """Where the login of this user is."""
    configured = os.environ.get("XDG_CONFIG_HOME") or ""
    folder = Path(configured) if Path(configured).is_absolute() else Path.home() / ".config"
    return folder / "headgate" / "login.json"


def with_tokens(login: Login, tokens: Tokens, at_ms: int) -> Login:
    """The login with new tokens. Pure."""
    return replace(
        login, token=tokens.token, refresh_token=tokens.refresh_token, expire_time_ms=at_ms + tokens.seconds * 1000
    )


def keep(login: Login, file: Path) -> None:
    """Writes the login for this user alone."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(file, json.dumps(asdict(login)).encode())


def read_login(file: Path) -> Login | None:
    """The login in the file; None without one. Raises LoginFailed."""
    try:
        found = json.loads(file.read_bytes())
        return Login(**{field.name: found[field.name] for field in fields(Login)})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise LoginFailed(f"{file} holds no login: {AGAIN}") from error


def present_token(file: Path, clock: Callable[[], int] = now_ms) -> str:
    """A token that holds, renewed when it is about to end; empty without a login. Raises LoginFailed."""
    found = read_login(file)
    if _is_about_to_end(found, clock):
        with _locked(file):
            # Another command may have renewed it meanwhile, and a provider takes a refresh token once.
            found = read_login(file)
            if found is not None and _is_about_to_end(found, clock):
                found = with_tokens(found, _renewed(found), clock())
                keep(found, file)
    return found.token if found else ""


def _is_about_to_end(login: Login | None, clock: Callable[[], int]) -> bool:
    return login is not None and clock() >= login.expire_time_ms - EARLY_MS


def _renewed(login: Login) -> Tokens:
    try:
        if login.secret_file:
            secret = read_secret(Path(login.secret_file))
            return ask_as_machine(login.token_url, login.client_id, secret, login.scope, login.audience)
        if login.refresh_token:
            return refresh(login.token_url, login.client_id, login.refresh_token)
    except LoginEnded as error:
        raise LoginFailed(f"the login at {login.issuer} has ended: {AGAIN} ({error})") from error
    raise LoginFailed(f"the login at {login.issuer} has ended: {AGAIN}")


def read_secret(file: Path) -> str:
    """The secret of a machine. Raises LoginFailed."""
    try:
        secret = file.read_text().strip()
    except (OSError, ValueError) as error:
        raise LoginFailed(f"{file}: {getattr(error, 'strerror', None) or 'it is no text'}") from error
    if not secret:
        raise LoginFailed(f"{file}: it is empty")
    return secret


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Holds the login. Raises LoginFailed."""
    deadline = time.monotonic() + LOCK_SECONDS
    with open(os.open(file.with_name("login.lock"), os.O_RDWR | os.O_CREAT, PRIVATE)) as lock:
        while not try_lock(lock.fileno()):
            if time.monotonic() > deadline:
                raise LoginFailed(f"another command has been renewing {file} for {LOCK_SECONDS:g} s")
            time.sleep(TICK_SECONDS)
        yield
