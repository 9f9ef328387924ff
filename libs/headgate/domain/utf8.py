"""How an error describes bytes that should be text in UTF-8. Pure."""


def not_utf8(error: UnicodeDecodeError) -> str:
    """The first byte that is not UTF-8, and its line."""
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"expected text in UTF-8, got the byte 0x{error.object[error.start]:02x} in line {line}"
