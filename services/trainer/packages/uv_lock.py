"""Reads a uv.lock: uv itself says which of its packages a project needs. Nothing of the project is built or run."""

import re
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from headgate.artifacts.store import digest
from services.trainer.packages.lock import (
    Lock,
    Pin,
    WrongLock,
    checked,
    content_of,
    environment_of_this_python,
    text_of,
)
from services.trainer.packages.requirements import logical_lines, pin_of
from services.trainer.packages.uv import uv_program
from services.trainer.programs import processes
from services.trainer.programs.workplace import foreign_environment

FILE = "uv.lock"
PROJECT = "pyproject.toml"
LOCK_IT = "uv lock"
EXPORT_SECONDS = 60.0

PACKAGE = re.compile(r'^name = "([^"]+)"$')
NAMED = re.compile(r"^([A-Za-z0-9][\w.-]*)")
REASON = re.compile(r"(?<=cause: ).*|(?<=error: ).*")


def read_uv_lock(content: bytes, checkout: Path, scratch: Path, stop: threading.Event) -> Lock:
    """The packages of the project and of its default groups, such as `dev`. Raises WrongLock and Stopped."""
    text = text_of(FILE, content)
    table, project = parsed(FILE, text), project_in(checkout)
    # What uv has read has the form that is expected below.
    lines = exported(checkout, scratch, stop)
    if faults := [*wrong_python(table), *stale(table, project)]:
        raise WrongLock(faults)
    return lock_of(content, text, lines)


def project_in(checkout: Path) -> dict[str, Any]:
    content = content_of(checkout, PROJECT)
    if content is None:
        raise WrongLock([f"{FILE}: the commit has no {PROJECT}, which says what is needed; commit it too"])
    return parsed(PROJECT, text_of(PROJECT, content))


def parsed(file: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # wrong syntax, a number with thousands of digits, or deep nesting
        raise WrongLock([f"{file} is not TOML: {error}. Write it again: {LOCK_IT}"]) from error


def wrong_python(table: dict[str, Any]) -> Iterator[str]:
    wanted, python = str(table.get("requires-python", "")), environment_of_this_python()["python_full_version"]
    try:
        fits = SpecifierSet(wanted).contains(python, prereleases=True)
    except InvalidSpecifier:
        fits = False
    if not fits:
        yield (
            f"{FILE}: it is for Python {wanted}, and the trainer has {python}."
            f" Change requires-python in {PROJECT}, and lock again: {LOCK_IT}"
        )


def stale(table: dict[str, Any], project: dict[str, Any]) -> Iterator[str]:
    """What pyproject.toml needs and the lock does not have."""
    locked = {canonicalize_name(str(each.get("name", ""))) for each in table.get("package", ())}
    for needed in project.get("project", {}).get("dependencies", ()):
        try:
            name = Requirement(needed).name
        except InvalidRequirement:
            continue
        if canonicalize_name(name) not in locked:
            yield f"{FILE}: it does not have {name}, which {PROJECT} needs; lock again: {LOCK_IT}"


def exported(checkout: Path, scratch: Path, stop: threading.Event) -> str:
    """The packages as lines of a requirements.txt."""
    scratch.mkdir()
    found, log = scratch / "exported.txt", scratch / "export.log"
    command = [
        uv_program(), "export", "--frozen", "--no-emit-project", "--no-header", "--no-annotate",
        "--format", "requirements.txt", "--offline", "--quiet", "--no-config", "--no-python-downloads",
        "--color", "never", "--python", sys.executable, "--cache-dir", str(scratch / "cache"),
        "--project", str(checkout), "--output-file", str(found),
    ]  # fmt: skip
    done = processes.run(command, scratch, foreign_environment(scratch), log, EXPORT_SECONDS, stop)
    if done.limit_broken or done.exit_code != 0:
        why = done.limit_broken or "; ".join(REASON.findall(done.log_tail)) or done.log_tail.strip()
        raise WrongLock([f"{FILE} cannot be read: uv export: {why}. Write it again: {LOCK_IT}"])
    return found.read_text()


def lock_of(content: bytes, text: str, lines: str) -> Lock:
    """The exported packages with their lines in the lock. Raises WrongLock."""
    places = places_in(text)
    pins, faults = [], []
    for _, line in logical_lines(lines):
        try:
            pin = pin_of(0, line, LOCK_IT)
        except ValueError as error:
            number = line_of(line, text, places)
            where = f"{FILE}, line {number}" if number else FILE
            faults.append(f"{where}: {error}")
        else:
            pins.append(Pin(places.get(pin.name, 0), pin.name, pin.version, pin.hashes, pin.extras, pin.marker))
    return checked(Lock(FILE, digest(content), tuple(pins), LOCK_IT), faults)


def line_of(exported: str, text: str, places: dict[str, int]) -> int:
    """The line of an exported package that is refused; 0 when it is not found. A folder has no name here."""
    named = NAMED.match(exported)
    if named and (line := places.get(canonicalize_name(named[1]))):
        return line
    path = exported.split()[0].removeprefix("./")
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if line.startswith("source = ") and f'"{path}"' in line), 0)


def places_in(text: str) -> dict[str, int]:
    """The line at which each package begins."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if name := PACKAGE.match(line):
            found.setdefault(canonicalize_name(name[1]), number)
    return found
