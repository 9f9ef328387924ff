"""`headgate keys`: makes, shows, rotates and revokes the keys that sign artifacts, and makes the one that encrypts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from headgate.artifacts.key_files import KeyUnusable
from headgate.artifacts.keys import SIGNING_KEY, TRUSTED, create_keys, load_trusted
from headgate.artifacts.trust_file import TRUST_FILE
from headgate.cli.files import local_path
from headgate.cli.printing import report
from headgate.cli.render import Format, Output, Row, Wide, show_pairs, show_rows
from headgate.cli.session import ENCRYPTION_KEY, HOME, KEYS, CommandFailed
from headgate.domain.words import rfc3339

RANKS = {"algorithm": 2, "not_before": 1, "not_after": 1}

Folder = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        parser=local_path,
        metavar="FOLDER",
        help="The folder of the keys; without it, that of headgate up here.",
    ),
]

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
    with _faults():
        made = create_keys(folder)
        create_key_file(encryption_key)
    files = {"signing_key": str(folder / SIGNING_KEY), "trusted": str(folder / TRUSTED / f"{made.key_id}.pub")}
    show_pairs({"key_id": made.key_id, **files, "encryption_key": str(encryption_key)}, output)


@keys.command("list")
def list_keys(keys: Folder = None, output: Output = Format.TABLE, wide: Wide = False) -> None:
    """Show the trusted keys: who signs with each, its bounds, and why it is revoked."""
    folder = _folder(keys)
    with _faults():
        rows = _rows(folder)
    show_rows(rows, output, wide, f"there is no trusted key in {folder / TRUSTED}", RANKS)


@keys.command("rotate")
def rotate(keys: Folder = None, output: Output = Format.TABLE) -> None:
    """Give the registry a new key to sign artifacts with. It works while services run.

    The public key of the old one stays, so what it has signed stays trusted.
    """
    from headgate.artifacts import key_changes

    folder = _folder(keys)
    with _faults():
        old, new = key_changes.rotate(folder)
    public = folder / TRUSTED / f"{new.key_id}.pub"
    show_pairs({"key_id": new.key_id, "trusted": str(public), "old_key_id": old.key_id}, output)


@keys.command("revoke")
def revoke(
    key_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id of a trusted key, as `headgate keys list` has it.")
    ],
    reason: Annotated[str, typer.Option(help="Why the key no longer counts.")],
    keys: Folder = None,
) -> None:
    """Revoke a trusted key: from now on nothing that it has signed is loaded. It works while services run."""
    from headgate.artifacts import key_changes

    folder = _folder(keys)
    with _faults():
        kept = key_changes.revoke(folder, key_id, reason)
    if not kept:
        report(f"{folder / TRUSTED / TRUST_FILE} is written anew with the same bounds, without its comments")
    report(f"{key_id} is revoked: {reason}")


def _rows(folder: Path) -> list[Row]:
    users = _users(folder)
    return [
        {
            "id": key_id,
            "signs": users.get(key_id, ""),
            "algorithm": key.algorithm,
            "models": ", ".join(key.bounds.models),
            "not_before": _time(key.bounds.not_before_ms),
            "not_after": _time(key.bounds.not_after_ms),
            "revoked": key.bounds.revoked,
        }
        for key_id, key in load_trusted(folder).items()
    ]


def _users(folder: Path) -> dict[str, str]:
    """What is signed with each key now, by its id. A folder may have the public keys alone."""
    from headgate.artifacts import checkpoint_keys
    from headgate.artifacts.keys import load_signing_key

    found = {}
    if (folder / checkpoint_keys.FILE).exists():
        found[checkpoint_keys.load_checkpoint_key(folder).key_id] = "checkpoints, by the trainers"
    if (folder / SIGNING_KEY).exists():
        found[load_signing_key(folder).key_id] = "artifacts, by the registry"
    return found


def _time(at_ms: int | None) -> str:
    return "" if at_ms is None else rfc3339(at_ms)


def _folder(keys: Path | None) -> Path:
    return keys or Path(HOME) / KEYS


@contextmanager
def _faults() -> Iterator[None]:
    """A fault of a file ends the command with its sentence."""
    try:
        yield
    except KeyUnusable as error:
        raise CommandFailed(str(error)) from error
