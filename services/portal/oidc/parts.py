"""What signing in at the identity provider needs, made of the settings."""

import time
from collections.abc import Callable

from headgate.client.identity_provider import LoginFailed
from headgate.client.login import read_secret
from headgate.domain.address import keeps_secrets
from headgate.runtime.settings import SettingsError
from services.portal.oidc.provider_client import ConsoleClient, ProviderClient
from services.portal.oidc.routes import BACK, ProviderParts
from services.portal.settings import Settings

CLIENT = "HEADGATE_CONSOLE_CLIENT_ID"


def provider_parts(settings: Settings, new_name: Callable[[], str], now_ms: Callable[[], int]) -> ProviderParts | None:
    """The parts; None where people cannot sign in at a provider. Raises SettingsError."""
    if not settings.console_client_id:
        return None
    if problems := _problems(settings):
        raise SettingsError(problems)
    # Imported here, because PyJWT brings cryptography, which a portal without a provider does not need.
    from headgate.runtime.authentication.signed_tokens import IdTokens
    from headgate.runtime.authentication.signing_keys import SigningKeys

    issuer, client_id, url = settings.authentication_issuer, settings.console_client_id, settings.console_url
    console_url = url.rstrip("/")
    client = ConsoleClient(
        issuer,
        client_id,
        console_url + BACK,
        settings.console_client_secret,
        settings.console_scope,
        settings.console_audience,
    )
    id_tokens = IdTokens(SigningKeys(settings.authentication_keys), issuer, client_id, now_ms)
    provider = ProviderClient(client, time.monotonic)
    return ProviderParts(issuer, console_url, provider, id_tokens, new_name, time.monotonic)


def _problems(settings: Settings) -> list[str]:
    needed = {
        "HEADGATE_AUTHENTICATION=true": settings.authentication,
        "HEADGATE_AUTHENTICATION_KEYS": settings.authentication_keys,
        "HEADGATE_AUTHENTICATION_ISSUER": settings.authentication_issuer,
        "HEADGATE_CONSOLE_URL, to which browsers come back": settings.console_url,
    }
    found = [f"{CLIENT} needs {name}" for name, value in needed.items() if not value]
    if settings.authentication_issuer and not keeps_secrets(settings.authentication_issuer):
        found.append(f"{CLIENT} needs a HEADGATE_AUTHENTICATION_ISSUER with https; http is for loopback alone")
    if settings.console_client_secret:
        try:
            read_secret(settings.console_client_secret)
        except LoginFailed as error:
            found.append(f"HEADGATE_CONSOLE_CLIENT_SECRET: {error}")
    return found
