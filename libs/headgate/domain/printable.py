"""Makes a text fit to be printed. A terminal obeys control characters, and anyone can write what is shown."""

import json
import re

from headgate.domain.credentials import without_credentials

_NOT_ASCII = re.compile(r"[^ -~]")
"""Characters that may not be printable. All others are, so most texts are done without a look at each character."""


def printable(text: str) -> str:
    """The text in one line, without credentials, and with the replacement character for what cannot be printed."""
    return visible(without_credentials(text.replace("\n", " ")))


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which it keeps. Tabs become spaces."""
    return "\n".join(printable(line.expandtabs()) for line in text.split("\n"))


def printable_json(text: str) -> str:
    """The text of a JSON value with escapes for what cannot be printed, so that a program reads the very same value."""
    return _NOT_ASCII.sub(_escaped, text)


def visible(line: str) -> str:
    """The line with the replacement character in place of each one that cannot be printed."""
    return _NOT_ASCII.sub(_shown, line)


def _shown(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else "\N{REPLACEMENT CHARACTER}"


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() or found[0] == "\n" else json.dumps(found[0])[1:-1]
