"""`headgate keys`: the pair of keys that artifacts are signed and trusted by."""

from pathlib import Path
from typing import Annotated

import typer

from headgate.artifacts.keys import KeyUnusable, create_keys
from headgate.cli.render import Format, Output, show_data
from headgate.cli.session import CommandFailed

keys = typer.Typer(help="The keys that artifacts are signed and trusted by.", no_args_is_help=True)


@keys.command("create")
def create(
    folder: Annotated[Path, typer.Argument(help="Where signing.key and trusted/ID.pub go.")],
    output: Output = Format.TABLE,
) -> None:
    """Make a signing key for the trainer and its public key for gateway and evaluator; keeps those that are there."""
    try:
        made = create_keys(folder)
    except KeyUnusable as error:
        raise CommandFailed(str(error)) from error
    files = {"signing_key": str(folder / "signing.key"), "trusted": str(folder / "trusted" / f"{made.key_id}.pub")}
    show_data({"key_id": made.key_id, **files}, output)
