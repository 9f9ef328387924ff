"""Key-encryption keys in a file: a keyset in Tink's JSON, which its owner alone reads.

The first key of a store is made once. Rotation adds a key and lets it wrap; the older ones still unwrap. The file is
read again when it has changed, so a rotation needs no restart.
"""

import os
import threading
from pathlib import Path

from tink import KeysetHandle, TinkError, json_proto_keyset_format, proto_keyset_format, secret_key_access
from tink.proto import tink_pb2

from headgate.artifacts.blobs import RESTORE, ArtifactCorrupt
from headgate.artifacts.encryption.key_encryption import NEXT_STEPS, EncryptionUnusable, KeyUnavailable, Wrapped
from headgate.artifacts.encryption.tink_keys import new_wrapping_key, serialized, wrapping
from headgate.artifacts.key_files import create_once
from headgate.shared_files import PRIVATE, replace_file

FORBIDDEN = 0o037
"""What others may not do with the file. Its group may read it, as Kubernetes mounts secrets."""
MAX_BYTES = 1 << 20
PREFIX = "file-"


class KeyFile:
    """Thread-safe."""

    def __init__(self, file: Path) -> None:
        """Reads the file. Raises EncryptionUnusable."""
        self._file = file
        self._lock = threading.Lock()
        self._stamp: object = None
        self._keys, self._present = _read(file), ""
        self._refresh()

    def key_id(self) -> str:
        self._refresh()
        return self._present

    def wrap(self, data_key: bytes, name: str) -> Wrapped:
        keys = self._refresh()
        return Wrapped(_name(keys.keyset_info().primary_key_id), wrapping(keys).encrypt(data_key, name.encode()))

    def unwrap(self, wrapped: Wrapped, name: str) -> bytes:
        keys = self._refresh()
        if wrapped.key_id not in _names(keys):
            here = ", ".join(_names(keys))
            rule = f"{name} is encrypted under the key {wrapped.key_id}, and {self._file} has {here}: {NEXT_STEPS}"
            raise KeyUnavailable(rule)
        try:
            return bytes(wrapping(keys).decrypt(wrapped.content, name.encode()))
        except TinkError as error:
            rule = f"the key {wrapped.key_id} in {self._file} has not wrapped the data key of {name}: {RESTORE}"
            raise ArtifactCorrupt(rule) from error

    def rewrap(self, wrapped: Wrapped, name: str) -> Wrapped:
        return self.wrap(self.unwrap(wrapped, name), name)

    def rotate(self) -> str:
        keys = tink_pb2.Keyset.FromString(serialized(self._refresh()))
        new = tink_pb2.Keyset.FromString(serialized(new_wrapping_key()))
        keys.key.extend(new.key)
        keys.primary_key_id = new.primary_key_id
        self._replace(keys)
        return self.key_id()

    def retire(self, key_id: str) -> None:
        """Removes an old key from the file: nothing that it has wrapped can be read again.

        Raises KeyUnavailable when the file has no such key, and when it is the one that wraps now.
        """
        keys = tink_pb2.Keyset.FromString(serialized(self._refresh()))
        left = [key for key in keys.key if _name(key.key_id) != key_id]
        if len(left) == len(keys.key) or _name(keys.primary_key_id) == key_id:
            raise KeyUnavailable(f"{key_id} is no old key of {self._file}; `headgate encryption status` shows them")
        del keys.key[:]
        keys.key.extend(left)
        self._replace(keys)

    def key_ids(self) -> list[str]:
        """All keys of the file. Raises KeyUnavailable."""
        return _names(self._refresh())

    def _replace(self, keys: tink_pb2.Keyset) -> None:
        mode = self._file.stat().st_mode & 0o777
        handle = proto_keyset_format.parse(keys.SerializeToString(), secret_key_access.TOKEN)
        text = json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
        try:
            replace_file(self._file, text.encode(), mode)
        except OSError as error:
            raise KeyUnavailable(f"{self._file} cannot be written: {error.strerror}") from error

    def _refresh(self) -> KeysetHandle:
        """The keys of the file as it is now. Raises KeyUnavailable."""
        with self._lock:
            try:
                found = os.stat(self._file)
                stamp = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
                if stamp != self._stamp:
                    self._keys = _read(self._file)
                    self._present = _name(self._keys.keyset_info().primary_key_id)
                    self._stamp = stamp
            except OSError as error:
                raise KeyUnavailable(f"the key file {self._file} cannot be read: {error.strerror}") from error
            except EncryptionUnusable as error:
                raise KeyUnavailable(str(error)) from error
            return self._keys


def create_key_file(file: Path) -> None:
    """Makes the file with a new key, and its folder, unless it exists. Several processes may call it at once.

    Raises OSError.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json_proto_keyset_format.serialize(new_wrapping_key(), secret_key_access.TOKEN)
    create_once(file, text.encode(), PRIVATE)


def _read(file: Path) -> KeysetHandle:
    try:
        with open(file, "rb") as content:
            mode = os.fstat(content.fileno()).st_mode & 0o777
            text = content.read(MAX_BYTES)
    except FileNotFoundError as error:
        rule = f"there is no key file {file}: restore it; `headgate encryption create {file}` makes the first one"
        raise EncryptionUnusable(rule) from error
    except OSError as error:
        raise EncryptionUnusable(f"the key file {file} cannot be read: {error.strerror}") from error
    if mode & FORBIDDEN:
        rule = f"the key file {file} has the mode {mode:04o}, so others reach it: chmod 0600 {file}"
        raise EncryptionUnusable(rule)
    try:
        keys = json_proto_keyset_format.parse(text.decode(), secret_key_access.TOKEN)
        wrapping(keys)
    except (TinkError, ValueError, RecursionError) as error:
        rule = f"the key file {file} holds no keys of the kind AES256_GCM: restore it from its backup"
        raise EncryptionUnusable(rule) from error
    return keys


def _names(keys: KeysetHandle) -> list[str]:
    return [_name(key.key_id) for key in keys.keyset_info().key_info]


def _name(key_id: int) -> str:
    return f"{PREFIX}{key_id:08x}"
