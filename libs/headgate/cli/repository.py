"""Commands in a model repository, before anything is published: check it, and name a data file in it."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from headgate.artifacts.data_files import LFS_POINTER, WrongFolder, digest_of_folder, files_below
from headgate.cli.exit_codes import Exit
from headgate.cli.files import local_path
from headgate.cli.printing import report
from headgate.cli.session import CommandFailed, usage
from headgate.configuration import FILE_NAME, MODULE
from headgate.domain.repository import broken_data_rule
from headgate.domain.utf8 import not_utf8
from headgate.downloads.places import BUCKETS, WEB
from headgate.runtime.git import GitFailed, run_git
from headgate.runtime.interrupts import INTERRUPTED
from headgate.shared_files import digest_of
from headgate.toml_edit import with_value

PROGRAM = "headgate.cli.program"
INTERRUPTED_SECONDS = 10.0
"""How long the program may take to end after Ctrl-C."""
CHECK = "services.trainer.check"
"""The program of the trainer that runs the stages."""
DVC_SUFFIX = ".dvc"
GIT_SECONDS = 60

data = typer.Typer(help="The data files of a model repository.", no_args_is_help=True)

Folder = Annotated[
    Path, typer.Argument(parser=local_path, metavar="FOLDER", help="A model repository; by default this folder.")
]


def check(folder: Folder = Path(".")) -> None:
    """Try a model repository on this machine as the trainer would, with one epoch. Publishes nothing."""
    if not folder.is_dir():
        raise CommandFailed(f"there is no folder {folder}", Exit.NOT_FOUND)
    declaration_in(folder.resolve())
    code = _ended([sys.executable, "-P", "-m", PROGRAM, CHECK, str(folder)])
    if code == Exit.USAGE:
        usage("nothing was checked")
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code != 0:
        raise CommandFailed(f"{folder} would fail as a version")


def _ended(command: list[str]) -> int:
    """Runs a command to its end, also after Ctrl-C, which a terminal sends to both. Returns its exit code."""
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            try:
                process.wait(INTERRUPTED_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


@data.command("add")
def add_data(
    file: Annotated[
        Path, typer.Argument(parser=local_path, metavar="FILE", help="A file or folder of the repository.")
    ],
    name: Annotated[str, typer.Option(help="How the code calls it; by default the file's name.")] = "",
    folder: Annotated[
        Path | None,
        typer.Option("--repository", parser=local_path, help="The model repository; by default found above the file."),
    ] = None,
    uri: Annotated[str, typer.Option(help="Where the same file lies: https://, s3://, gs:// or az://.")] = "",
) -> None:
    """Write the place and SHA-256 of a data file or folder into headgate.toml. Run it again when it has changed."""
    if not file.exists():
        raise CommandFailed(f"there is no file {file}", Exit.NOT_FOUND)
    root = folder.resolve() if folder else root_above(file.resolve())
    declaration = declaration_in(root)
    key = name or file.name.partition(".")[0].replace("-", "_")
    if not MODULE.fullmatch(key):
        usage(f"--name: expected a name of letters, digits and _, got {key!r}")
    place = elsewhere(uri, file) if uri else uri_of(file.resolve(), root)
    digest = folder_digest(file.resolve()) if file.is_dir() else file_digest(file)
    _write(declaration, ("data", key), {"uri": place, "sha256": digest})
    report(f"{FILE_NAME}: data.{key} is {place} with the SHA-256 {digest}")
    if not uri and (warning := _ignored(root, place)):
        report(f"warning: {warning}")


def declaration_in(root: Path) -> Path:
    """The headgate.toml of a repository. Raises CommandFailed when it has none."""
    declaration = root / FILE_NAME
    if not declaration.is_file():
        raise CommandFailed(
            f"{root} has no {FILE_NAME}; `headgate init` writes a repository that has one", Exit.NOT_FOUND
        )
    return declaration


def root_above(file: Path) -> Path:
    """The nearest folder above the file with headgate.toml; without one this folder."""
    return next((folder for folder in file.parents if (folder / FILE_NAME).is_file()), Path.cwd())


def uri_of(file: Path, root: Path) -> str:
    """The path in the repository. Raises CommandFailed for a file outside of it."""
    if not file.is_relative_to(root):
        usage(f"{file} is not in {root}: a commit can only hold files of its repository, so copy the file into it")
    return file.relative_to(root).as_posix()


def elsewhere(uri: str, file: Path) -> str:
    """The URL from which the trainer downloads the file. Raises CommandFailed for one that it would refuse."""
    if rule := broken_data_rule(uri):
        usage(f"--uri: expected {rule}")
    if urlsplit(uri).scheme not in WEB + BUCKETS:
        usage("--uri: expected a URL that begins with https://, http://, s3://, gs:// or az://")
    if file.is_dir():
        usage("--uri: only a single file is downloaded; pack the folder into one, or commit it")
    return uri


def file_digest(file: Path) -> str:
    """The SHA-256 of a file that is the data itself. Raises CommandFailed."""
    refuse_pointer(file)
    return digest_of(file)


def folder_digest(folder: Path) -> str:
    """The SHA-256 of the files that a commit will hold of the folder. Raises CommandFailed."""
    try:
        ignored = ignored_below(folder)
        names = [name for name in files_below(folder) if name not in ignored]
    except WrongFolder as error:
        usage(f"{folder} {error}")
    for name in names:
        refuse_pointer(folder / name)
    return digest_of_folder(folder, names)


def ignored_below(folder: Path) -> frozenset[str]:
    """What git leaves out of the folder; nothing where that is not known."""
    try:
        listed = run_git(
            folder, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", timeout_seconds=GIT_SECONDS
        )
    except GitFailed:
        return frozenset()
    return frozenset(listed.split("\0"))


def refuse_pointer(file: Path) -> None:
    """Raises CommandFailed for a file that only points to the data."""
    with file.open("rb") as content:
        head = content.read(len(LFS_POINTER))
    if head == LFS_POINTER:
        usage(f"{file} is a pointer of Git LFS and not the data: run `git lfs pull` first")
    if file.suffix == DVC_SUFFIX:
        usage(f"{file} is a pointer of DVC and not the data: run `dvc pull`, and name the file that it points to")


def _write(declaration: Path, place: tuple[str, str], value: dict[str, str]) -> None:
    """Changes one value of the file and nothing else, or raises CommandFailed with what to write by hand."""
    shown = ", ".join(f"{key} = {json.dumps(text)}" for key, text in value.items())
    try:
        before = declaration.read_text("utf-8")
        parsed = tomllib.loads(before)
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{declaration}: {not_utf8(error)}", Exit.USAGE) from error
    except (ValueError, RecursionError) as error:
        raise CommandFailed(f"{declaration} is no TOML: {error}", Exit.USAGE) from error
    after = with_value(before, *place, f"{{ {shown} }}")
    if not _differs_only(parsed, after, place, value):
        line = f"[{place[0]}]\n{place[1]} = {{ {shown} }}"
        raise CommandFailed(f"{declaration} is written in a way that cannot be edited safely. Write by hand:\n{line}")
    aside = declaration.with_name(f".{declaration.name}.part")
    aside.write_text(after, "utf-8")
    aside.replace(declaration)


def _differs_only(parsed: dict[str, Any], after: str, place: tuple[str, str], value: dict[str, str]) -> bool:
    table, key = place
    old = parsed.get(table, {})
    try:
        return isinstance(old, dict) and tomllib.loads(after) == parsed | {table: old | {key: value}}
    except ValueError:
        return False


def _ignored(root: Path, uri: str) -> str:
    """Why a commit will not hold the file; empty when it can, or when that is not known."""
    if (root / f"{uri}{DVC_SUFFIX}").is_file():
        return ""
    command = ["git", "-C", str(root), "check-ignore", "--quiet", "--", uri]
    try:
        ignored = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return ""
    return f"git ignores {uri}, so no commit will hold it; remove it from .gitignore" if ignored else ""
