"""How an error describes bytes that should be text in UTF-8. Pure."""


def text_of_json(value: bytes) -> str:
    """The text of a JSON document. Raises ValueError with the reason: the bytes are not UTF-8, or there are none."""
    try:
        text = value.decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise ValueError(not_utf8(error)) from None
    if not text.strip():
        raise ValueError("it is empty")
    return text


def not_utf8(error: UnicodeDecodeError) -> str:
    """The first byte that is not UTF-8, and its line."""
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"expected text in UTF-8, got the byte 0x{error.object[error.start]:02x} in line {line}"
