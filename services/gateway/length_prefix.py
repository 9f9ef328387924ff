"""What protobuf writes before the bytes of a field: the number of the field, and how many bytes follow."""

LENGTH_DELIMITED = 2
"""The kind of a field that begins with its length."""


def length_prefix(field_number: int, size: int) -> bytes:
    """The bytes before `size` bytes of this field."""
    return _varint(field_number << 3 | LENGTH_DELIMITED) + _varint(size)


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
