"""`headgate alias` lists, moves and removes the aliases of a model. An alias is a name for one of its versions."""

import uuid
from typing import Annotated

import typer

from headgate.cli import columns
from headgate.cli.moments import At
from headgate.cli.render import Format, Output, Wide, show_one, show_rows
from headgate.cli.session import full_name, model_name, session, usage
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.domain.names import NUMBER, model_stream
from headgate.v1 import registry_service_pb2 as registry_service

alias = typer.Typer(help="Aliases: names for versions, such as fraud@champion.", no_args_is_help=True)

AliasName = Annotated[str, typer.Argument(metavar="MODEL@ALIAS", help="For example fraud@champion.")]


@alias.command("list")
def list_aliases(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="For example fraud.")],
    wide: Wide = False,
    at: At = "",
    output: Output = Format.TABLE,
) -> None:
    """List the aliases of a model, each with the version that it names."""
    request = registry_service.GetModelRequest(name=model_stream(model_name(model)))
    found = session(context).stubs.registry.GetModel(request, timeout=TIMEOUT_SECONDS).aliases
    rows = [{"alias": name, "version": f"v{found[name]}"} for name in sorted(found)]
    show_rows(rows, output, wide, empty="No aliases yet: `headgate alias set MODEL@ALIAS NUMBER` makes one.")


@alias.command("set")
def set_alias(
    context: typer.Context,
    name: AliasName,
    version: Annotated[str, typer.Argument(metavar="NUMBER", help="The number of the version, for example 3.")],
    output: Output = Format.TABLE,
) -> None:
    """Let an alias name a version. An alias that exists moves to this version."""
    parent, short = split(name)
    number = version.removeprefix("v")
    if not NUMBER.fullmatch(number):
        usage(f"{version!r}: expected the number of a version with at most 9 digits and no leading 0, for example 3")
    request = registry_service.SetAliasRequest(
        parent=parent, alias=short, version=int(number), request_id=str(uuid.uuid4())
    )
    show_one(session(context).stubs.registry.SetAlias(request, timeout=TIMEOUT_SECONDS), columns.MODEL, output)


@alias.command("delete")
def delete_alias(context: typer.Context, name: AliasName, output: Output = Format.TABLE) -> None:
    """Remove an alias. The version that it named stays."""
    parent, short = split(name)
    request = registry_service.DeleteAliasRequest(parent=parent, alias=short, request_id=str(uuid.uuid4()))
    show_one(session(context).stubs.registry.DeleteAlias(request, timeout=TIMEOUT_SECONDS), columns.MODEL, output)


def split(text: str) -> tuple[str, str]:
    """The resource name of the model, and the alias, in `fraud@champion`. Raises CommandFailed."""
    model, at, short = text.partition("@")
    if not (model and at and short):
        usage(f"{text!r}: expected MODEL@ALIAS, for example fraud@champion")
    return full_name("models", model), short
