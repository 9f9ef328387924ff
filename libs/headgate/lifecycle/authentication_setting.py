"""The settings of authentication, and the check on calls that follows from them."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from headgate.domain.access import SUBJECT_RULE, is_subject
from headgate.domain.address import keeps_secrets
from headgate.lifecycle.folded_access import FoldedAccess
from headgate.lifecycle.service_parts import ServiceParts, ServiceSettings
from headgate.runtime.authentication.authenticator import Authenticator, TokenVerifier
from headgate.runtime.rpc.access_check import AccessCheck
from headgate.runtime.rpc.call_check import CallCheck, Known
from headgate.runtime.settings import CHECK, SettingsError
from headgate.v1 import resources_pb2 as resources

KEYS_RULE = "expected the path of a file, or a URL with https; http is for loopback alone"

logger = logging.getLogger(__name__)


def _require_keys(source: str) -> None:
    if "://" in source and not keeps_secrets(source):
        raise ValueError(KEYS_RULE)


def _require_subjects(names: str) -> None:
    if not all(map(is_subject, names.split(","))):
        raise ValueError(f"expected names with commas between them; {SUBJECT_RULE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedSettings(ServiceSettings):
    """The settings of a service whose callers may have to prove who they are."""

    authentication: bool = False
    """Whether callers must prove who they are, and hold grants. Without it everybody who reaches a port may do all."""
    authentication_administrators: str = field(default="", metadata={CHECK: _require_subjects})
    """Subjects that may do everything, with commas between them: who gives the first grants."""
    authentication_first_token: Path | None = None
    """File with a secret of which the registry makes the first administrator's token. The trainer hides it."""
    authentication_keys: str = field(default="", metadata={CHECK: _require_keys})
    """The JWKS of the identity provider: a file or a URL. Without it there are no tokens of a provider."""
    authentication_issuer: str = ""
    """The `iss` of the provider's tokens."""
    authentication_audience: str = "headgate"
    """The `aud` of tokens that are for Headgate."""
    authentication_subject_claim: str = "sub"
    authentication_groups_claim: str = "groups"


class KnownTokens(Known, Protocol):
    """What decisions need, and the tokens."""

    def token(self, sha256: str) -> resources.Token | None:
        """The token with this digest; None when there is none, or when it was revoked."""
        ...


def access_check(settings: AuthenticatedSettings, parts: ServiceParts) -> AccessCheck | None:
    """The check on all calls; None where callers need not prove who they are. Raises SettingsError."""
    check = call_check(settings, parts, FoldedAccess(parts.fold, administrators_of(settings)))
    return AccessCheck(check) if check else None


def administrators_of(settings: AuthenticatedSettings) -> list[str]:
    """The subjects that may do everything."""
    return [name for name in settings.authentication_administrators.split(",") if name]


def call_check(settings: AuthenticatedSettings, parts: ServiceParts, known: KnownTokens) -> CallCheck | None:
    """The same without a transport, for a server of another kind. Raises SettingsError."""
    if not settings.authentication:
        logger.warning(
            "authentication is off: whoever reaches a port may do everything, under any name; "
            "HEADGATE_AUTHENTICATION=true switches it on"
        )
        return None
    return CallCheck(Authenticator(known.token, parts.clock.now_ms, _signed(settings, parts)), known, parts.metrics)


def _signed(settings: AuthenticatedSettings, parts: ServiceParts) -> TokenVerifier | None:
    source = settings.authentication_keys
    if not source:
        return None
    # Imported here, because PyJWT brings cryptography, which a service without a provider does not need.
    from headgate.runtime.authentication.signed_tokens import Provider, SignedTokens
    from headgate.runtime.authentication.signing_keys import KeysUnusable, SigningKeys, parse_keys, read_source

    if not settings.authentication_issuer:
        raise SettingsError(
            ["HEADGATE_AUTHENTICATION_KEYS needs HEADGATE_AUTHENTICATION_ISSUER: whose keys are these?"]
        )
    if "://" not in source:
        # A provider may be away at the start. A file that is not there stays away.
        try:
            parse_keys(read_source(source))
        except (KeysUnusable, OSError) as error:
            raise SettingsError([f"HEADGATE_AUTHENTICATION_KEYS={source}: {error}"]) from error
    provider = Provider(
        settings.authentication_issuer,
        settings.authentication_audience,
        settings.authentication_subject_claim,
        settings.authentication_groups_claim,
    )
    return SignedTokens(SigningKeys(source), provider, parts.clock.now_ms)
