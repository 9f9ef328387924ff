"""Makes a text fit to be printed. A terminal obeys control characters, and anyone can write what is shown."""

import json
import re

from headgate.domain.credentials import without_credentials

_NOT_ASCII = re.compile(r"[^ -~]")
"""Characters that may not be printable. All others are, so most texts are done without a look at each character."""
LONGEST_WORD = 400
"""More characters than an address or a path of everyday use has."""
WORD_END = 60
_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")


def printable(text: str) -> str:
    """The text in one line, without credentials, and with the replacement character for what cannot be printed."""
    return visible(without_credentials(text.replace("\n", " ")))


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which it keeps. Tabs become spaces."""
    return "\n".join(printable(line.expandtabs()) for line in text.split("\n"))


def printable_json(text: str) -> str:
    """The text of a JSON value with escapes for what cannot be printed, so that a program reads the very same value."""
    return _NOT_ASCII.sub(_escaped, text)


def with_short_words(text: str) -> str:
    """The text with the middle of each word left out that is too long to be read, such as 5,000 digits."""
    return _LONG_WORD.sub(_ends_of, text)


def visible(line: str) -> str:
    """The line with the replacement character in place of each one that cannot be printed."""
    return _NOT_ASCII.sub(_shown, line)


def _ends_of(found: re.Match[str]) -> str:
    word = found[0]
    return f"{word[:WORD_END]}...({len(word) - 2 * WORD_END:,} characters)...{word[-WORD_END:]}"


def _shown(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else "\N{REPLACEMENT CHARACTER}"


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() or found[0] == "\n" else json.dumps(found[0])[1:-1]
