"""The head of an encrypted object: which data key it needs, and how large its plaintext is. Pure.

All of it is bound to the ciphertext, together with the object's name, so none of it can be changed or exchanged.
"""

import re
from dataclasses import dataclass

MAGIC = b"headgate-encrypted-1 "
DATA_KEY = re.compile(r"[0-9a-f]{32}")
FORM = re.compile(re.escape(MAGIC) + rb"([0-9a-f]{32}) ([0-9]{16})\n")
HEADER_BYTES = len(MAGIC) + 32 + 1 + 16 + 1


@dataclass(frozen=True, slots=True)
class Header:
    data_key: str
    """The id of the data key, 32 hexadecimal digits."""
    size: int
    """Bytes of the plaintext."""

    def encoded(self) -> bytes:
        return MAGIC + f"{self.data_key} {self.size:016d}\n".encode()

    def associated(self, name: str) -> bytes:
        """What the ciphertext is bound to: this header and the name of the object."""
        return self.encoded() + name.encode()


def header_of(head: bytes) -> Header | None:
    """The header at the beginning of an object; None when the object lies in the clear."""
    found = FORM.match(head)
    return Header(found[1].decode(), int(found[2])) if found else None
