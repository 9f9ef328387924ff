"""The first administrator's token, made of a secret in a file of the operator's. It is for giving the first roles."""

import itertools
import logging
from pathlib import Path

from headgate.access.grants import ALL
from headgate.client.bearer import TokenUnusable, digest_in
from headgate.domain.access import DAY_MS
from headgate.domain.names import ACCESS_STREAM, TOKEN_PREFIX
from headgate.domain.refusal import Refused
from headgate.domain.state import AccessState
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.stream import Stream
from headgate.runtime.settings import SettingsError
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from services.registry.decider import Decider

ACTOR = "registry"
NAME = "administrator"
LIFETIME_MS = 365 * DAY_MS
SETTING = "HEADGATE_AUTHENTICATION_FIRST_TOKEN"

logger = logging.getLogger(__name__)


def first_digest(file: Path | None) -> str:
    """The digest of the secret in the file; empty without a file. Raises SettingsError."""
    if file is None:
        return ""
    try:
        return digest_in(file)
    except TokenUnusable as error:
        raise SettingsError([f"{SETTING}: {error}"]) from error


def make_first_token(decider: Decider, fold: LifecycleFold, sha256: str, at_ms: int) -> None:
    """Makes the token unless this secret has made one before. Raises LogError and Contended."""
    with fold.lock:
        access = fold.streams.get(ACCESS_STREAM) or Stream(ACCESS_STREAM, fold.access)
        command = first_token(access, sha256, at_ms)
    outcome = decider.execute(command) if command else None
    if isinstance(outcome, Refused):
        logger.warning("there is no token of the first administrator", extra={"why": outcome.message})


def first_token(access: Stream, sha256: str, at_ms: int) -> commands.Command | None:
    """The command that makes the token; None when this secret has made one before. Pure.

    So a token that was revoked stays revoked: the operator takes another secret.
    """
    command_id = f"first-token/{sha256}"
    if access.knows(command_id) or not isinstance(access.state, AccessState):
        return None
    token = commands.CreateToken(
        token=_free_name(access.state),
        sha256=sha256,
        role=facts.ROLE_ADMINISTRATOR,
        models=ALL,
        environments=ALL,
        expire_time_ms=at_ms + LIFETIME_MS,
        reason=SETTING,
    )
    return commands.Command(command_id=command_id, stream=ACCESS_STREAM, actor=ACTOR, create_token=token)


def _free_name(state: AccessState) -> str:
    """A name without a token and without grants from before."""
    granted = {each.subject for each in state.grants.values()}
    names = itertools.chain([NAME], (f"{NAME}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in state.tokens and TOKEN_PREFIX + name not in granted)
