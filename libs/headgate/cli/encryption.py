"""`headgate encryption` makes, shows and rotates the key under which artifacts and checkpoints are stored.

Every command works while services run. A rotation wraps the data keys again and leaves the data as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.cli.encryption_key import EncryptionKey, EncryptionToken, opened_key
from headgate.cli.exit_codes import Exit
from headgate.cli.files import local_path
from headgate.cli.printing import report
from headgate.cli.render import Format, Output, show_pairs
from headgate.cli.session import CommandFailed, refuse_wrong_port
from headgate.cli.version_download import StoreUrl, store_or_own
from headgate.domain.credentials import without_credentials
from headgate.domain.words import counted

if TYPE_CHECKING:
    from headgate.artifacts.encryption.key_encryption import KeyEncryption
    from headgate.artifacts.store import ArtifactStore

MAX_PROBLEMS = 20
"""Objects that are named one by one, when something is wrong with them."""
NO_KEY = "no key is named: give --encryption-key, or work in the folder of a `headgate up`"

encryption = typer.Typer(help="The key under which artifacts and checkpoints are encrypted.", no_args_is_help=True)


@encryption.command("create")
def create(
    file: Annotated[Path, typer.Argument(parser=local_path, metavar="FILE", help="The file of the key.")],
    output: Output = Format.TABLE,
) -> None:
    """Make a file with a key, which its owner alone reads. A file that exists is kept."""
    from headgate.artifacts.encryption.key_encryption import EncryptionUnusable
    from headgate.artifacts.encryption.key_file import KeyFile, create_key_file

    try:
        create_key_file(file)
        found = {"key_id": KeyFile(file).key_id(), "key": file.absolute().as_uri()}
    except (OSError, EncryptionUnusable) as error:
        raise CommandFailed(str(error)) from error
    show_pairs(found, output)
    report("keep a copy of this file where the artifacts are not: without it they can never be read again")


@encryption.command("status")
def status(
    artifacts: StoreUrl = "",
    encryption_key: EncryptionKey = "",
    encryption_token: EncryptionToken = None,
    output: Output = Format.TABLE,
) -> None:
    """Show which key encrypts now, how many objects each key wraps, and how many lie in the clear."""
    from headgate.artifacts.store_rotation import standing

    with _opened(artifacts, encryption_key, encryption_token) as (store, keys):
        found = standing(store)
        present = keys.key_id()
    counts = {key_id: str(count) for key_id, count in sorted(found.wrapped_by.items())}
    show_pairs({"present_key": present, **counts, "in_the_clear": str(found.clear)}, output)
    if found.clear:
        report("`headgate encryption encrypt` encrypts the files in the clear")
    _fail_with(found.problems)


@encryption.command("rotate")
def rotate(
    artifacts: StoreUrl = "",
    encryption_key: EncryptionKey = "",
    encryption_token: EncryptionToken = None,
    no_new_key: Annotated[
        bool, typer.Option("--no-new-key", help="Only wrap again what older keys wrap, after an interrupted rotation.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Make a new key and wrap all data keys by it. The data stays as it is, and the old key still reads."""
    from headgate.artifacts.store_rotation import rewrap

    with _opened(artifacts, encryption_key, encryption_token) as (store, keys):
        present = keys.key_id() if no_new_key else keys.rotate()
        found = rewrap(store, keys)
    counts = {"rewrapped": found.rewrapped, "already": found.kept, "removed": found.removed}
    show_pairs({"present_key": present, **{name: str(count) for name, count in counts.items()}}, output)
    _fail_with(found.problems)


@encryption.command("encrypt")
def encrypt_all(
    artifacts: StoreUrl = "",
    encryption_key: EncryptionKey = "",
    encryption_token: EncryptionToken = None,
) -> None:
    """Encrypt the files that lie in the store in the clear, because they are older than its key."""
    from headgate.artifacts.store_rotation import encrypt

    with _opened(artifacts, encryption_key, encryption_token) as (store, _):
        count, problems = encrypt(store)
    report(f"{counted(count, 'file')} encrypted")
    _fail_with(problems)


@encryption.command("retire")
def retire(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The id of an old key, as `status` shows it.")],
    artifacts: StoreUrl = "",
    encryption_key: EncryptionKey = "",
    encryption_token: EncryptionToken = None,
) -> None:
    """Remove an old key from its file. Refused while an object of the store still needs it."""
    from headgate.artifacts.encryption.key_file import KeyFile
    from headgate.artifacts.store_rotation import standing

    with _opened(artifacts, encryption_key, encryption_token) as (store, keys):
        if not isinstance(keys, KeyFile):
            raise CommandFailed("only keys in a file are retired here: raise min_decryption_version in your Vault")
        if count := standing(store).wrapped_by[key_id]:
            rule = f"{key_id} still wraps {counted(count, 'data key')}: `headgate encryption rotate --no-new-key` first"
            raise CommandFailed(rule, Exit.FAILED)
        keys.retire(key_id)
    report(f"{key_id} is removed: nothing that it wrapped can be read again, also not in a backup")


@contextmanager
def _opened(url: str, key: str, token: Path | None) -> "Iterator[tuple[ArtifactStore, KeyEncryption]]":
    """The store and its key. Errors of both become CommandFailed."""
    from headgate.artifacts.store import ArtifactError, StoreUnavailable, StoreUnusable, open_store

    refuse_wrong_port("--artifacts", url)
    url = store_or_own(url)
    keys = opened_key(key, token)
    if keys is None:
        raise CommandFailed(NO_KEY, Exit.USAGE)
    try:
        yield open_store(url, create=False, keys=keys), keys
    except StoreUnusable as error:
        raise CommandFailed(f"the artifact store {without_credentials(url)!r}: {error}", Exit.USAGE) from error
    except StoreUnavailable as error:
        raise CommandFailed(str(error), Exit.UNAVAILABLE) from error
    except ArtifactError as error:
        raise CommandFailed(str(error)) from error


def _fail_with(problems: list[str]) -> None:
    for problem in problems[:MAX_PROBLEMS]:
        report(problem)
    if problems:
        raise CommandFailed(f"{counted(len(problems), 'object')} could not be used; see above")
