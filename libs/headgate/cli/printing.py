"""The one place that writes to stdout and stderr. Whatever goes through it is fit for a terminal, whoever wrote it."""

import json
import sys
from collections.abc import Iterable
from typing import Any

import yaml
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from headgate.domain.credentials import without_credentials
from headgate.domain.printable import printable_json, printable_lines, visible


class PrintableConsole(Console):
    """A console of rich that prints texts of others without control characters. What rich itself sends stays."""

    def render_str(self, text: str, *arguments: Any, **options: Any) -> Text:
        return super().render_str(printable_lines(text), *arguments, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            is_text = not segment.control and segment.text != "\n"
            yield Segment("\n".join(map(visible, segment.text.split("\n"))), segment.style) if is_text else segment


progress = PrintableConsole(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty(), markup=False, emoji=False)
"""Progress and warnings go here, data goes to stdout. A terminal wraps between words, a pipe gets whole lines."""
console = PrintableConsole(highlight=False, markup=False, emoji=False)
"""stdout for what a terminal shows while a command waits."""


def terminal_console(stderr: bool) -> PrintableConsole:
    """A console for a block that is renewed."""
    return PrintableConsole(stderr=stderr, highlight=False, markup=False, emoji=False)


def report(message: str) -> None:
    """Prints progress or a warning, in one line or wrapped between words."""
    progress.print(message)


def show(text: str = "") -> None:
    """Prints lines of text on stdout."""
    print(printable_lines(text), flush=True)


def show_secret(secret: str) -> None:
    """Prints a secret that was made for whoever reads stdout. Everything else that prints would mask it."""
    print(secret, flush=True)


def show_json(data: object, indent: int | None = None) -> None:
    """Prints a JSON value on stdout. What a terminal would obey is escaped, so programs read the very same text."""
    text = json.dumps(_masked(data), indent=indent, ensure_ascii=False)
    print(printable_json(text), flush=True)


def show_yaml(data: object) -> None:
    """Prints a YAML document on stdout, escaped in the same way."""
    masked = _masked(data)
    text = yaml.safe_dump(masked, sort_keys=False, allow_unicode=True)
    if not all(map(str.isprintable, text.split("\n"))):
        text = yaml.safe_dump(masked, sort_keys=False, allow_unicode=False)
    print(text, end="", flush=True)


def write_bytes(value: bytes) -> None:
    """Writes bytes to stdout as they are. The caller has asked `is_terminal`."""
    sys.stdout.buffer.write(value)


def is_terminal() -> bool:
    """Whether stdout is a terminal, and not a pipe or a file."""
    return sys.stdout.isatty()


def _masked(value: Any) -> Any:
    """The JSON value without credentials: records of older versions of Headgate may hold some."""
    match value:
        case str():
            return without_credentials(value)
        case list():
            return [_masked(each) for each in value]
        case dict():
            return {_masked(key): _masked(each) for key, each in value.items()}
        case _:
            return value
