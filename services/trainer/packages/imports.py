"""Which packages a repository's module imports, read from its text. No code runs for it.

Only what is imported in any case counts: at the head of the module, and of the repository's modules that it imports. An
import inside a function, an `if` or a `try` may be meant to fail.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_MODULES = 300
"""The most modules of a repository that are read."""
MAX_MODULE_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Import:
    """A package's name as in `import name`, and the first place where it stands."""

    name: str
    file: str
    line: int

    def place(self) -> str:
        return f"{self.file}, line {self.line}"


def imported_packages(checkout: Path, module: str) -> dict[str, Import]:
    """What the module and the repository's modules below it import from elsewhere, by name."""
    own = own_names(checkout)
    waiting, seen, found = files_of(checkout, module), set[Path](), dict[str, Import]()
    while waiting and len(seen) < MAX_MODULES:
        file = waiting.pop(0)
        if file in seen:
            continue
        seen.add(file)
        for line, name in imports_in(file, checkout):
            top = name.partition(".")[0]
            if top in own:
                waiting += files_of(checkout, name)
            elif top not in sys.stdlib_module_names:
                found.setdefault(top, Import(top, str(file.relative_to(checkout)), line))
    return found


def own_names(checkout: Path) -> frozenset[str]:
    """The names of the repository's modules and folders, wherever they lie: it may extend its path itself."""
    entries = (each for each in checkout.rglob("*") if ".git" not in each.parts)
    return frozenset(each.stem for each in entries if each.suffix in ("", ".py", ".so"))


def files_of(checkout: Path, module: str) -> list[Path]:
    """The files of the repository that are run when the module is imported."""
    parts = module.split(".")
    found = []
    for end in range(1, len(parts) + 1):
        place = checkout.joinpath(*parts[:end])
        found += [file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]
    return found


def imports_in(file: Path, checkout: Path) -> Iterator[tuple[int, str]]:
    """The line and the full name of each import at the head of the file. None of a file that cannot be read."""
    try:
        tree = ast.parse(file.read_bytes()) if file.stat().st_size <= MAX_MODULE_BYTES else ast.Module([], [])
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            yield from ((statement.lineno, alias.name) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            begin = base_of(file, checkout, statement)
            yield from ((statement.lineno, f"{begin}.{alias.name}") for alias in statement.names)


def base_of(file: Path, checkout: Path, statement: ast.ImportFrom) -> str:
    """The full name of what stands behind `from`."""
    if not statement.level:
        return statement.module or ""
    folder = file.relative_to(checkout).parent
    for _ in range(statement.level - 1):
        folder = folder.parent
    return ".".join([*folder.parts, *([statement.module] if statement.module else [])])


def missing(imported: Iterable[Import], folders: Iterable[Path]) -> Iterator[Import]:
    """The packages that are in none of these folders."""
    # Python's own search would keep what it has read of the folders for ever.
    names = {
        entry.name.partition(".")[0] for folder in folders for each in searched(folder) for entry in each.iterdir()
    }
    yield from (each for each in imported if each.name not in names)


def searched(folder: Path) -> Iterator[Path]:
    """The folder, and those that its .pth files add to the path."""
    yield folder
    for file in folder.glob("*.pth"):
        for line in file.read_text(errors="replace").splitlines():
            if (added := folder / line.strip()).is_dir() and line.strip():
                yield added
