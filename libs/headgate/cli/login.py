"""`headgate login` gets a token of an identity provider: by a device code for a person, by a secret for a machine."""

import time
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.files import local_path
from headgate.cli.printing import report
from headgate.cli.session import CommandFailed
from headgate.client.identity_provider import (
    LoginFailed,
    Provider,
    Tokens,
    ask_as_machine,
    await_device_code,
    begin_device_code,
    discover,
    subject_in,
)
from headgate.client.login import Login, keep, login_file, read_secret, with_tokens
from headgate.domain.printable import printable
from headgate.domain.words import time_text
from headgate.runtime.clock import now_ms

WANTED_SCOPES = ("openid", "offline_access")
"""Asked for when no scope is named, as far as the provider knows them: who it is, and renewal without a person."""


def login(
    issuer: Annotated[str, typer.Option(help="The provider, as its tokens name it: https://login.example.com.")],
    client_id: Annotated[str, typer.Option(help="The name under which the provider knows the command line.")],
    client_secret_file: Annotated[
        Path | None,
        typer.Option(parser=local_path, metavar="FILE", help="The secret of a machine, which then logs in by itself."),
    ] = None,
    scope: Annotated[
        str, typer.Option(help="What to ask for. Without it: openid, and a renewal if there is one.")
    ] = "",
    audience: Annotated[str, typer.Option(help="For whom the token is, where the provider asks for it.")] = "",
) -> None:
    """Log in at an identity provider. Commands send the token to services with TLS, and renew it by themselves.

    A person opens the page that is shown, in any browser, and agrees there.
    """
    try:
        provider = discover(issuer)
        # A machine asks for what its provider has set for it.
        scope = scope or ("" if client_secret_file else " ".join(s for s in WANTED_SCOPES if s in provider.scopes))
        if client_secret_file:
            secret = read_secret(client_secret_file)
            tokens = ask_as_machine(provider.token_url, client_id, secret, scope, audience)
        else:
            tokens = _of_person(provider, client_id, scope or WANTED_SCOPES[0], audience)
    except LoginFailed as error:
        raise CommandFailed(str(error)) from error
    file = str(client_secret_file.absolute()) if client_secret_file else ""
    new = Login(issuer, client_id, provider.token_url, "", 0, "", file, scope, audience)
    kept = with_tokens(new, tokens, now_ms())
    keep(kept, login_file())
    until = "" if file or kept.refresh_token else f" until {time_text(kept.expire_time_ms)}"
    report(f"logged in as {printable(subject_in(kept.token))}{until}; the token is in {login_file()}")


def logout() -> None:
    """Delete the token of `headgate login`. The provider is not told."""
    login_file().unlink(missing_ok=True)
    report("logged out")


def _of_person(provider: Provider, client_id: str, scope: str, audience: str) -> Tokens:
    code = begin_device_code(provider, client_id, scope, audience)
    report(f"open {printable(code.url)} and enter {printable(code.user_code)}")
    if code.complete_url:
        report(f"or open {printable(code.complete_url)}")
    return await_device_code(provider, client_id, code, time.sleep, time.monotonic)
