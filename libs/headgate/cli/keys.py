"""`headgate keys` makes the key pair that signs artifacts and verifies them, and the key that encrypts them."""

from pathlib import Path
from typing import Annotated

import typer

from headgate.artifacts.key_files import KeyUnusable
from headgate.artifacts.keys import SIGNING_KEY, create_keys
from headgate.cli.files import local_path
from headgate.cli.render import Format, Output, pairs, show_data
from headgate.cli.session import ENCRYPTION_KEY, CommandFailed

keys = typer.Typer(help="The keys that sign, verify and encrypt artifacts.", no_args_is_help=True)


@keys.command("create")
def create(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=local_path, metavar="FOLDER", help="The folder for registry/, trainer/, trusted/ and encryption/."
        ),
    ],
    output: Output = Format.TABLE,
) -> None:
    """Make the keys: one of the registry that signs artifacts, its public key, one for checkpoints, one that encrypts.

    Existing keys are kept.
    """
    # Imported here, because the other commands need no cryptography of it.
    from headgate.artifacts.encryption.key_file import create_key_file

    encryption_key = folder / ENCRYPTION_KEY
    try:
        made = create_keys(folder)
        create_key_file(encryption_key)
    except KeyUnusable as error:
        raise CommandFailed(str(error)) from error
    files = {"signing_key": str(folder / SIGNING_KEY), "trusted": str(folder / "trusted" / f"{made.key_id}.pub")}
    found = {"key_id": made.key_id, **files, "encryption_key": str(encryption_key)}
    if output is Format.TABLE:
        pairs(found)
    else:
        show_data(found, output)
