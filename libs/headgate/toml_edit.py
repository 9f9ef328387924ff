"""Changes one value in the text of a TOML file. Everything else, comments too, stays as it is.

It knows the usual way of writing: a table under its header, a key at the start of its line. Whoever calls it parses the
result and compares.
"""

import re


def with_value(text: str, table: str, key: str, value: str) -> str:
    """The text in which `table.key` is `value`, which is written on one line. Adds key and table where they lack."""
    lines = text.splitlines()
    header = re.compile(rf"\s*\[\s*{re.escape(table)}\s*\]\s*(#.*)?")
    start = next((number for number, line in enumerate(lines) if header.fullmatch(line)), None)
    if start is None:
        return (
            "\n".join([*lines, *([""] if lines and lines[-1].strip() else []), f"[{table}]", _line(key, value)]) + "\n"
        )
    end = next((number for number in range(start + 1, len(lines)) if re.match(r"\s*\[", lines[number])), len(lines))
    present = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    for number in range(start + 1, end):
        if present.match(lines[number]):
            return "\n".join([*lines[:number], _line(key, value), *lines[number + 1 :]]) + "\n"
    last = max(number for number in range(start, end) if lines[number].strip())
    return "\n".join([*lines[: last + 1], _line(key, value), *lines[last + 1 :]]) + "\n"


def _line(key: str, value: str) -> str:
    return f"{key} = {value}"
