"""`headgate keys` makes the key pair that signs artifacts and verifies them."""

from pathlib import Path
from typing import Annotated

import typer

from headgate.artifacts.keys import KeyUnusable, create_keys
from headgate.cli.files import local_path
from headgate.cli.render import Format, Output, pairs, show_data
from headgate.cli.session import CommandFailed

keys = typer.Typer(help="The keys that sign artifacts and verify them.", no_args_is_help=True)


@keys.command("create")
def create(
    folder: Annotated[
        Path,
        typer.Argument(parser=local_path, metavar="FOLDER", help="The folder for signing.key and trusted/ID.pub."),
    ],
    output: Output = Format.TABLE,
) -> None:
    """Make a signing key for the trainer and a public key for gateway and evaluator. Existing keys are kept."""
    try:
        made = create_keys(folder)
    except KeyUnusable as error:
        raise CommandFailed(str(error)) from error
    files = {"signing_key": str(folder / "signing.key"), "trusted": str(folder / "trusted" / f"{made.key_id}.pub")}
    found = {"key_id": made.key_id, **files}
    if output is Format.TABLE:
        pairs(found)
    else:
        show_data(found, output)
