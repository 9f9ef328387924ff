"""`headgate repository` declares whose commits become versions when a webhook tells of them."""

import secrets
import uuid
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.models import list_of_models
from headgate.cli.printing import report
from headgate.cli.publish import check_address
from headgate.cli.render import Format, Output, Wide, show_rows
from headgate.cli.session import HOME, full_name, session, usage
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.domain.names import NAME_RULE, is_name, short_name
from headgate.shared_files import replace_file
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources

SECRETS = "webhook-secrets"
"""The folder of `headgate up` with the secrets of webhooks."""
SECRET_BYTES = 32

repository = typer.Typer(help="Repositories whose webhooks make versions.", no_args_is_help=True)

Url = Annotated[str, typer.Argument(metavar="URL", help="Where the trainer fetches it, without credentials.")]
Model = Annotated[str, typer.Option("--model", help="The model whose versions its commits become.")]


@repository.command("add")
def add_repository(
    context: typer.Context,
    url: Url,
    model: Model,
    secret_file: Annotated[
        str, typer.Option(help="The name of the file with the secret, in the portal's folder of secrets.")
    ],
    branch: Annotated[str, typer.Option(help="The branch whose commits count.")] = "main",
    output: Output = Format.TABLE,
) -> None:
    """Declare a repository. Its pushes to the branch become versions once a webhook sends them."""
    check_address("URL", url)
    if not is_name(secret_file):
        usage(f"--secret-file: expected a name in the portal's folder of secrets, and no path: {NAME_RULE}")
    request = registry_service.AddRepositoryRequest(
        name=full_name("models", model), repository=url, branch=branch, secret=secret_file, request_id=str(uuid.uuid4())
    )
    found = session(context).stubs.registry.AddRepository(request, timeout=TIMEOUT_SECONDS)
    show_rows(_rows(found), output)
    _report_next(secret_file)


@repository.command("list")
def list_repositories(context: typer.Context, wide: Wide = False, output: Output = Format.TABLE) -> None:
    """List the repositories of all models, each with its branch and the name of its secret."""
    models, _ = list_of_models(session(context).stubs.registry, "", "")
    rows = [row for model in models for row in _rows(model)]
    show_rows(rows, output, wide, "No repositories yet: `headgate repository add URL --model MODEL` declares one.")


@repository.command("remove")
def remove_repository(context: typer.Context, url: Url, model: Model, output: Output = Format.TABLE) -> None:
    """Take a repository back. Its next push makes no version; those that it made stay."""
    request = registry_service.RemoveRepositoryRequest(
        name=full_name("models", model), repository=url, request_id=str(uuid.uuid4())
    )
    found = session(context).stubs.registry.RemoveRepository(request, timeout=TIMEOUT_SECONDS)
    show_rows(_rows(found), output, empty=f"{short_name(found.name)} has no repository any more.")


def _rows(model: resources.Model) -> list[dict[str, str]]:
    return [
        {
            "model": short_name(model.name),
            "repository": each.repository,
            "branch": each.branch,
            "secret": each.secret,
        }
        for each in model.repositories
    ]


def _report_next(name: str) -> None:
    """Says where the secret lies and where the sender posts to. Where `headgate up` runs, a new secret is made."""
    home = Path(HOME)
    if (home / "up.json").exists():
        file = home / SECRETS / name
        if not file.exists():
            file.parent.mkdir(mode=0o700, exist_ok=True)
            replace_file(file, f"{secrets.token_urlsafe(SECRET_BYTES)}\n".encode())
        report(f"the secret is in {file}: give it to the repository's webhook")
    else:
        report(f"the portal reads the secret from the file {name} in the folder HEADGATE_WEBHOOK_SECRETS")
    report(f"the address of the webhook is that of the console and /webhooks/SENDER/{name}, where SENDER is github,")
    report("gitlab, gitea, bitbucket, generic or cloudevents")
