"""`headgate token` makes, lists and revokes Headgate's own tokens, by which machines prove who they are."""

import secrets
import uuid
from typing import Annotated

import typer

from headgate.access.secret import digest_of, new_secret
from headgate.cli import columns
from headgate.cli.access import Environments, Models, Project, RoleWord, models_bound, role_number
from headgate.cli.models import Reason
from headgate.cli.moments import At
from headgate.cli.printing import report, show_secret
from headgate.cli.render import Format, Output, Wide, show_list
from headgate.cli.session import session
from headgate.cli.times import time_ms
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.v1 import access_service_pb2 as access_service

DEFAULT_LIFETIME = "90d"
NO_TOKENS = "No tokens yet: `headgate token create NAME` makes one."

token = typer.Typer(
    help="Tokens for machines, such as pipelines. Their grants are those of the subject token:NAME.",
    no_args_is_help=True,
)

TokenName = Annotated[str, typer.Argument(metavar="NAME", help="For example ci-fraud.")]


@token.command("create")
def create_token(
    context: typer.Context,
    name: TokenName,
    role: Annotated[RoleWord, typer.Option(help="What the token may do.")],
    models: Models = "",
    project: Project = "",
    environments: Environments = "",
    expires: Annotated[str, typer.Option(help="2026-12-24T18:00:00Z, or 90d for 90 days from now.")] = DEFAULT_LIFETIME,
    reason: Reason = "",
) -> None:
    """Make a token and print its secret, this once. The registry gets only its digest."""
    stubs = session(context).stubs
    secret = new_secret(secrets.token_bytes)
    request = access_service.CreateTokenRequest(
        token=name,
        sha256=digest_of(secret),
        role=role_number(role),
        models=models_bound(models, project),
        environments=environments,
        expire_time_ms=time_ms("--expires", expires, stubs.log_time.now_ms),
        reason=reason,
        request_id=str(uuid.uuid4()),
    )
    made = stubs.access.CreateToken(request, timeout=TIMEOUT_SECONDS)
    report(f"the secret of token {made.token}, which is shown only now:")
    show_secret(secret)


@token.command("secret")
def make_secret() -> None:
    """Print a new secret, for the file of HEADGATE_AUTHENTICATION_FIRST_TOKEN. No service is asked."""
    show_secret(new_secret(secrets.token_bytes))


@token.command("list")
def list_tokens(context: typer.Context, at: At = "", output: Output = Format.TABLE, wide: Wide = False) -> None:
    """List the tokens, the expired ones too. Nobody can see a secret again."""
    found = session(context).stubs.access.ListTokens(access_service.ListTokensRequest(), timeout=TIMEOUT_SECONDS)
    show_list(found.tokens, columns.TOKEN, output, wide, NO_TOKENS)


@token.command("revoke")
def revoke_token(context: typer.Context, name: TokenName, reason: Reason = "") -> None:
    """End a token now. Its name may be used again."""
    request = access_service.RevokeTokenRequest(token=name, reason=reason, request_id=str(uuid.uuid4()))
    session(context).stubs.access.RevokeToken(request, timeout=TIMEOUT_SECONDS)
    report(f"token {name} is revoked")
