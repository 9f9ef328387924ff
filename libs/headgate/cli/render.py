"""Prints data on stdout: a table for people, JSON or YAML for programs."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from textwrap import fill
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from headgate.cli.printing import is_terminal, report, show, show_json, show_yaml
from headgate.cli.tables import CUT, Column, page_text, table_text
from headgate.domain.printable import printable


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("-o", "--output", help="How to print the data.")]

Wide = Annotated[bool, typer.Option("--wide", help="Show every column, however narrow the terminal is.")]

Columns = Sequence[Column]
Row = Mapping[str, object]
NO_RANKS: Mapping[str, int] = {}
Beside = Callable[[Any], dict[str, Any]]


def no_more(message: Message) -> dict[str, Any]:
    """JSON and YAML have the fields of the message alone."""
    return {}


def show_list(
    messages: Sequence[Message],
    columns: Columns,
    output: Format,
    wide: bool = False,
    empty: str = "",
    beside: Beside = no_more,
) -> None:
    """Prints a table with a line for each message. For no message a table is the sentence `empty` on stderr.

    In JSON and YAML each message also has the fields of `beside`.
    """
    if output is not Format.TABLE:
        show_data([as_dict(message) | beside(message) for message in messages], output)
        return
    _show_table(columns, [[printable(column.cell(message)) for column in columns] for message in messages], wide, empty)


def show_rows(
    rows: Sequence[Row],
    output: Format,
    wide: bool = False,
    empty: str = "",
    ranks: Mapping[str, int] = NO_RANKS,
) -> None:
    """Prints rows that all have the same names. For no row a table is the sentence `empty` on stderr.

    `ranks` gives a column's rank by its name; the others have rank 0.
    """
    if output is not Format.TABLE:
        show_data([dict(row) for row in rows], output)
        return
    names = list(rows[0] if rows else ())
    columns = [Column(name.upper(), str, ranks.get(name, 0)) for name in names]
    _show_table(columns, [[printable(_cell(row[name])) for name in names] for row in rows], wide, empty)


def show_sentence(text: str) -> None:
    """Prints a sentence on stdout. A terminal wraps it between words."""
    width = terminal_width()
    show(text if width is None else fill(text, width, break_long_words=False, break_on_hyphens=False))


def _show_table(columns: Columns, rows: Sequence[Sequence[str]], wide: bool, empty: str) -> None:
    if not rows:
        report(empty)
        return
    text, left_out = table_text(columns, rows, None if wide else terminal_width())
    show(text)
    if left_out:
        report(f"without {', '.join(left_out)}: --wide shows every column")
    if text.count(CUT) > sum(cell.count(CUT) for row in rows for cell in row):
        report(f"a cell with {CUT} has more: --wide shows all of it")


def terminal_width() -> int | None:
    """The width of the terminal that stdout writes to; None when it is a pipe or a file."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def _cell(value: object) -> str:
    if value is None:
        return ""
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def show_one(message: Message, columns: Columns, output: Format, beside: Beside = no_more) -> None:
    if output is Format.TABLE:
        pairs({column.name: column.cell(message) for column in columns if not column.is_block})
        for column in columns:
            if column.is_block and (text := column.cell(message)):
                show(f"\n{column.name.lower()}")
                show(text)
    else:
        show_data(as_dict(message) | beside(message), output)


def show_next(message: Message, columns: Columns, output: Format) -> None:
    """Prints one state of a watch: one line of JSON, one YAML document, or a table and a blank line."""
    if output is Format.JSON:
        show_json(as_dict(message))
        return
    if output is Format.YAML:
        show("---")
    show_one(message, columns, output)
    if output is Format.TABLE:
        show()


def pairs(values: Mapping[str, str]) -> None:
    """Prints one line for each value that is not empty."""
    lines = {name.lower(): "\n".join(map(printable, value.split("\n"))) for name, value in values.items()}
    show(page_text(lines, terminal_width()))


def show_pairs(values: Mapping[str, str], output: Format) -> None:
    """Prints named texts: a line for each that is not empty, or all of them as data."""
    if output is Format.TABLE:
        pairs(values)
    else:
        show_data(values, output)


def show_line(label: str, text: str) -> None:
    """Prints one text beside its label; in a terminal it wraps there."""
    show(page_text({label: printable(text)}, terminal_width()))


def show_data(data: object, output: Format) -> None:
    if output is Format.YAML:
        show_yaml(data)
    else:
        show_json(data, indent=2)


def as_dict(message: Message) -> dict[str, Any]:
    """The message by protobuf's JSON mapping, with the field names of the .proto files."""
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found
