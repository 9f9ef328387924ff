"""Adds the caller's name to each call, as the header x-actor. The registry records it in the log."""

import getpass
import os

from headgate.client.added_header import AddedHeader
from headgate.runtime.rpc.headers import ACTOR

MAX_CHARACTERS = 128


class ActorHeader(AddedHeader):
    """Adds the header to every call with one request."""

    def __init__(self, actor: str) -> None:
        super().__init__(ACTOR, as_header(actor))


def as_header(actor: str) -> str:
    """The name as a header value: without spaces around it, which make no other person, and cut to MAX_CHARACTERS.

    `?` stands for each character that a header cannot carry.
    """
    return "".join(char if " " < char < "\x7f" else "?" for char in actor.strip()[:MAX_CHARACTERS])


def logged_in() -> str:
    """The name of the logged-in user. A user without a name, as in many containers, is named by number: `uid-1000`."""
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):
        return f"uid-{os.getuid()}"
