"""The options that name the key of an encrypted artifact store, and the way from them to the key."""

from pathlib import Path
from typing import Annotated

import typer

from headgate.artifacts.encryption.key_encryption import EncryptionUnusable, KeyEncryption
from headgate.artifacts.encryption.open import key_encryption
from headgate.cli.exit_codes import Exit
from headgate.cli.files import local_path
from headgate.cli.session import ENCRYPTION_KEY, HOME, KEYS, CommandFailed

EncryptionKey = Annotated[
    str,
    typer.Option(
        envvar="HEADGATE_ENCRYPTION_KEY",
        help="The key of the store: file:///path or vault+https://host/transit/KEY; by default that of `headgate up`.",
    ),
]
EncryptionToken = Annotated[
    Path | None,
    typer.Option(
        parser=local_path,
        metavar="FILE",
        envvar="HEADGATE_ENCRYPTION_TOKEN",
        help="File with the token for the Vault that has the key.",
    ),
]


def opened_key(url: str, token: Path | None) -> KeyEncryption | None:
    """The key of the options, or that of `headgate up` in this folder; None without one. Raises CommandFailed."""
    own = Path(HOME, KEYS, ENCRYPTION_KEY).absolute()
    if not url and own.exists():
        url = own.as_uri()
    try:
        return key_encryption(url, token)
    except EncryptionUnusable as error:
        raise CommandFailed(f"--encryption-key {url}: {error}", Exit.USAGE) from error
