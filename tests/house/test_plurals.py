"""No sentence says "1 rows": a number that is counted stands with its noun by `counted`, which knows the singular."""

import ast
import re

from tests.house.tree import short, sources

PLURAL = re.compile(r" (?:more )?(?!series\b)[a-z]+[^s\W]s\b")


def faults_in(source: str) -> list[int]:
    """The lines of texts in which a length stands before a plural. One that is above a limit is not 1."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.JoinedStr)]
    texts = [text for text in found if not any(map(_is_limit, text.values))]
    return [
        value.lineno
        for text in texts
        for value, after in zip(text.values, text.values[1:], strict=False)
        if _is_length(value) and isinstance(after, ast.Constant) and PLURAL.match(str(after.value))
    ]


def _is_length(value: ast.expr) -> bool:
    found = value.value if isinstance(value, ast.FormattedValue) else None
    return isinstance(found, ast.Call) and isinstance(found.func, ast.Name) and found.func.id in ("len", "sum")


def _is_limit(value: ast.expr) -> bool:
    found = value.value if isinstance(value, ast.FormattedValue) else None
    return isinstance(found, ast.Name) and found.id.startswith("MAX_")


def test_a_length_before_a_plural_is_found() -> None:
    assert faults_in('f"{len(rows)} rows"') == [1]
    assert faults_in('f"{sum(each)} more keys are needed"') == [1]
    assert faults_in('f"got {len(rows)} of {counted(most, noun)}, and {count} was enough"') == []
    assert faults_in('f"got {len(rows)} rows: at most {MAX_ROWS} are allowed, of {len(found)} series"') == []


def test_what_is_counted_is_named_in_the_singular_too() -> None:
    assert [f"{short(file)}:{line}" for file in sources() for line in faults_in(file.read_text())] == []
