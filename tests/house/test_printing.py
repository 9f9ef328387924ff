"""What the command line prints goes through one place, which makes it fit for a terminal: no command can forget it."""

import ast
from pathlib import Path

import pytest

from tests.house.tree import ROOT, short, sources

PLACES = ("libs/headgate/cli/", "libs/headgate/client/", "services/trainer/check.py")
WRITERS = ("print", "echo", "secho", "Console", "stdout", "stderr", "__stdout__", "__stderr__")
"""Names that write to a terminal, or lead to what does."""
HOMES = {
    "libs/headgate/cli/printing.py": None,
    "libs/headgate/client/probe.py": {"main"},
    "services/trainer/check.py": {"main", "failed", "print_line"},
}
"""The functions that may write, by file; None stands for all of them."""


def writers(path: Path) -> set[str]:
    """The functions of a file that write; empty text stands for its top level."""
    tree = ast.parse(path.read_text())
    found = set()
    for top in tree.body:
        name = top.name if isinstance(top, ast.FunctionDef | ast.ClassDef) else ""
        for node in ast.walk(top):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WRITERS:
                found.add(name)
            if isinstance(node, ast.Attribute) and node.attr in WRITERS and _is_module(node.value):
                found.add(name)
    return found


def _is_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("sys", "typer", "click", "rich")


@pytest.mark.parametrize("path", [path for path in sources() if short(path).startswith(PLACES)], ids=short)
def test_only_the_home_of_printing_writes_to_a_terminal(path: Path) -> None:
    allowed = HOMES.get(short(path), set())
    assert allowed is None or writers(path) <= allowed


@pytest.mark.parametrize("line", ["print('x')", "sys.stdout.write('x')", "typer.echo('x')", "Console().print('x')"])
def test_a_line_that_writes_is_found(line: str, tmp_path: Path) -> None:
    file = tmp_path / "command.py"
    file.write_text(f"def command():\n    {line}\n")
    assert writers(file) == {"command"}


def test_every_home_is_a_file() -> None:
    assert all((ROOT / name).is_file() for name in HOMES)
