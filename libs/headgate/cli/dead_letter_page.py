"""One dead letter in full. Bytes that are text are shown as text, others as a hex dump."""

import base64
from collections.abc import Iterable

from headgate.cli.printing import show
from headgate.cli.render import pairs
from headgate.dead_letters import settling
from headgate.dead_letters.letters import Settlement
from headgate.domain.printable import printable
from headgate.domain.words import counted, time_text
from headgate.v1 import commands_pb2 as commands

HEX_WIDTH = 16
FACTS = ("id", "buried", "topic", "position", "service", "code", "reason", "state", "settled", "truncated")


def show_page(name: str, content: commands.DeadLetter, settlement: Settlement) -> None:
    """Prints the letter for a person: what is known about it, then the headers and bytes of its record."""
    data = as_data(name, content, settlement)
    pairs({label: printable(str(data[label])) for label in FACTS if data[label] not in ("", False)})
    for header in content.headers:
        text = _text(header.value)
        show(printable(f"header {header.name}: {header.value.hex(' ') if text is None else text}"))
    _show_part("key", content.key)
    _show_part("value", None if content.null_value else content.value)


def _show_part(part: str, data: bytes | None) -> None:
    show(f"\n{part}, {'null' if data is None else counted(len(data), 'byte')}")
    text = _text(data or b"")
    show("\n".join(hex_lines(data or b"")) if text is None else text)


def hex_lines(data: bytes) -> Iterable[str]:
    """Offset, bytes and readable characters, as hexdump -C prints them."""
    for at in range(0, len(data), HEX_WIDTH):
        part = data[at : at + HEX_WIDTH]
        readable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{at:08x}  {part.hex(' '):<{3 * HEX_WIDTH}} |{readable}|"


def as_data(name: str, content: commands.DeadLetter, settlement: Settlement) -> dict[str, object]:
    """The letter for a program: the bytes in base64, and also as text when they are text."""
    return {
        "id": name,
        "buried": time_text(content.buried_at_ms),
        "topic": content.topic,
        "position": f"{content.partition}:{content.offset}" if content.topic else "",
        "service": content.service,
        "code": content.code,
        "reason": content.reason,
        "state": settlement.state.value,
        "settled": settling.describe(settlement),
        "truncated": content.truncated,
        "key": _text(content.key),
        "key_base64": base64.b64encode(content.key).decode(),
        "headers": [{"name": header.name, "value": _text(header.value)} for header in content.headers],
        "value": _text(content.value),
        "value_base64": base64.b64encode(content.value).decode(),
    }


def _text(data: bytes) -> str | None:
    """The bytes as text; None when they are not UTF-8 or hold control characters."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char in "\n\t" for char in text) else None
