"""The changes to a folder of keys: a new signing key in the place of the old one, and a key that is revoked.

Services may read the folder meanwhile. Each file is replaced at once, and a public key is there before its private one
signs.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from headgate import toml_edit
from headgate.artifacts import key_files
from headgate.artifacts.key_files import KeyUnusable, create_once
from headgate.artifacts.keys import (
    SIGNING_KEY,
    TRUSTED,
    SigningKey,
    load_signing_key,
    load_trusted,
    new_signing_key,
    private_pem,
)
from headgate.artifacts.manifest import shown
from headgate.artifacts.trust_file import NO_BOUNDS, TRUST_FILE, Bounds, bounds_in, quoted, trust_text
from headgate.shared_files import try_lock

MAX_REASON_CHARACTERS = 500


def rotate(directory: Path) -> tuple[SigningKey, SigningKey]:
    """Gives the registry a new signing key. The public key of the old one stays. Returns the old and the new one.

    Raises KeyUnusable, also when there is no signing key yet, and OSError.
    """
    with _alone(directory / TRUSTED):
        old, new = load_signing_key(directory), new_signing_key()
        create_once(directory / TRUSTED / f"{new.key_id}.pub", new.public_pem, 0o644)
        key_files.replace(directory / SIGNING_KEY, private_pem(new), 0o600)
    return old, new


def revoke(directory: Path, key_id: str, reason: str) -> bool:
    """Revokes a trusted key in trust.toml. Returns whether everything else in the file, comments too, stays as it was.

    A key that is revoked already gets the new reason. Raises KeyUnusable when the folder has a fault, when the reason
    may not stand in it, or when the registry signs with this key; and OSError.
    """
    _require_reason(reason)
    folder = directory / TRUSTED
    with _alone(folder):
        _require_revocable(directory, key_id)
        file = folder / TRUST_FILE
        found = file.read_bytes() if file.exists() else b""
        bounds = dict(bounds_in(found, file))
        wanted = bounds | {key_id: replace(bounds.get(key_id, NO_BOUNDS), revoked=reason)}
        after = toml_edit.with_value(found.decode(), key_id, "revoked", quoted(reason))
        kept = _reads_as(after, wanted, file)
        if not kept:
            after = trust_text(wanted)
            bounds_in(after, file)
        key_files.replace(file, after.encode(), 0o644)
    return kept


def _reads_as(text: str, wanted: Mapping[str, Bounds], file: Path) -> bool:
    """Whether the text has these bounds. A file that is written in an unusual way cannot be edited line by line."""
    try:
        return bounds_in(text, file) == wanted
    except KeyUnusable:
        return False


def _require_reason(reason: str) -> None:
    if not reason.strip() or not reason.isprintable() or len(reason) > MAX_REASON_CHARACTERS:
        raise KeyUnusable(f"the reason must be one line of 1 to {MAX_REASON_CHARACTERS} characters")


def _require_revocable(directory: Path, key_id: str) -> None:
    trusted = load_trusted(directory)
    if key_id not in trusted:
        raise KeyUnusable(f"there is no trusted key {key_id}; the trusted keys here are {shown(sorted(trusted))}")
    if (directory / SIGNING_KEY).exists() and load_signing_key(directory).key_id == key_id:
        raise KeyUnusable(f"the registry signs with the key {key_id}: run `headgate keys rotate` first")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other commands from a change at the same time, by a lock on the folder itself."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeyUnusable(f"{folder} cannot be opened: {error.strerror}; `headgate keys create` makes it") from error
    try:
        if not try_lock(descriptor):
            raise KeyUnusable(f"another command changes {folder} now: try again")
        yield
    finally:
        os.close(descriptor)
