"""Tries a model repository on this machine as the trainer would: python -m services.trainer.check FOLDER

It takes the files that a commit of the folder would have and runs a whole attempt with them, but only one epoch: the
configuration, the data, the tests, the training, the export, the artifact. Nothing is published and nothing is kept.
It prints one line for each stage, and ends with 0 when all of them passed and with 1 otherwise.
"""

import importlib.util
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from headgate.artifacts.checkpoint_keys import new_checkpoint_key
from headgate.artifacts.store import open_store
from headgate.configuration import FILE_NAME, MAX_BYTES, parse
from headgate.domain.printable import printable_lines
from headgate.domain.words import counted, word_of
from headgate.downloads.cache import Cache
from headgate.downloads.places import places_of
from headgate.downloads.web import Web
from headgate.jail.bubblewrap import Bubblewrap
from headgate.jail.decision import NETWORK_SETTING, TRUSTED_SETTING, JailSettings
from headgate.jail.repositories import is_listed, listed
from headgate.runtime.clock import now_ms
from headgate.runtime.git import STATUS, GitFailed, changed_names, run_git
from headgate.runtime.interrupts import INTERRUPTED, end_in_order
from headgate.toml_tables import InvalidToml
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.worker.leases import Claim
from services.trainer.attempt.checkout import folder_name
from services.trainer.attempt.data_files import is_remote
from services.trainer.attempt.remote_data import CACHE_BYTES, CACHE_FOLDER, DataAccess
from services.trainer.attempt.tools import AttemptTools, Limits
from services.trainer.attempt.work import run_attempt
from services.trainer.attempts import Attempts
from services.trainer.packages.installing import Installing
from services.trainer.packages.kept import Kept
from services.trainer.packages.locked import LockedPackages

GIT_SECONDS = 120
IDENTITY = ("-c", "user.name=headgate check", "-c", "user.email=check@headgate.invalid", "-c", "commit.gpgsign=false")
MAX_NAMED = 3
"""How many of the files that are not committed yet a line names."""
ENVIRONMENTS = 10
"""How many environments of locks stay for later checks."""
NEEDED = ("torch", "onnx", "onnxscript", "onnxruntime", "safetensors")
"""Libraries of the trainer."""


EXIT_WRONG_SETTING = 2
"""Also what `headgate check` ends with."""


class CannotCheck(Exception):
    """The folder cannot be tried at all. The text says why and what to do."""


class WrongSetting(Exception):
    """A setting of this machine is wrong, whatever the folder holds. The text names it."""


class PrintableLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


def main(arguments: Sequence[str] = tuple(sys.argv[1:])) -> int:
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(PrintableLines("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[lines])
    signal.signal(signal.SIGINT, end_in_order)
    try:
        return check(Path(arguments[0]).resolve())
    except KeyboardInterrupt:
        return INTERRUPTED
    except CannotCheck as reason:
        return failed(str(reason))
    except WrongSetting as reason:
        failed(str(reason))
        return EXIT_WRONG_SETTING


def check(folder: Path) -> int:
    """Runs all stages and prints each. The exit code. Raises CannotCheck and WrongSetting."""
    require_libraries()
    parsed = read_declaration(folder)
    print_line(f"configuration: {FILE_NAME} is right")
    with tempfile.TemporaryDirectory(prefix="headgate-check-") as scratch:
        source = Path(scratch) / "source" / folder_name(str(folder))
        commit = commit_of_copy(folder, source)
        note_ignored_data(folder, source, parsed)
        allowed = jail_settings(folder, source, os.environ)
        return run_stages(source, commit, parsed, Path(scratch) / "work", allowed)


def jail_settings(folder: Path, copy: Path, environ: Mapping[str, str]) -> JailSettings:
    """What this machine's settings allow to the folder is allowed to its copy. Raises WrongSetting."""
    lists = []
    for setting in (TRUSTED_SETTING, NETWORK_SETTING):
        try:
            entries = listed(environ.get(setting, ""))
        except ValueError as error:
            raise WrongSetting(f"{setting}: {error}") from error
        lists.append((str(copy),) if is_listed(str(folder), entries) else ())
    return JailSettings(trusted=lists[0], network=lists[1])


def require_libraries() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        install = "install Headgate with its trainer: pip install 'headgate[trainer]'"
        raise CannotCheck(f"{sys.executable} has no {', '.join(missing)}: {install}")


def read_declaration(folder: Path) -> configuration.ModelConfiguration:
    file = folder / FILE_NAME
    if not file.is_file():
        raise CannotCheck(f"{folder} has no {FILE_NAME}; `headgate init` writes a repository that has one")
    with file.open("rb") as text:
        try:
            return parse(text.read(MAX_BYTES + 1))
        except InvalidToml as error:
            raise CannotCheck("\n  ".join((f"configuration: {FILE_NAME} is wrong:", *error.problems))) from error


def commit_of_copy(folder: Path, copy: Path) -> str:
    """Copies what a commit of the folder would hold into a repository of its own. The copy's commit."""
    if is_repository(folder):
        names = git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        note_uncommitted(folder)
    else:
        print_line(f"note: {folder} is no Git repository yet; all its files are taken")
        names = [str(file.relative_to(folder)) for file in folder.rglob("*")]
    for name in filter(None, names):
        if (folder / name).is_file() or (folder / name).is_symlink():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / name, copy / name, follow_symlinks=False)
    git(copy, "init", "--quiet")
    # What the folder's own rules ignore is left out already; no rule of this user's may leave out more.
    git(copy, "add", "--all", "--force")
    git(copy, *IDENTITY, "commit", "--quiet", "--no-verify", "--allow-empty", "--message", "what is checked")
    return git(copy, "rev-parse", "HEAD").strip()


def is_repository(folder: Path) -> bool:
    """Whether the folder is the root of a repository. Raises CannotCheck when git cannot be run."""
    try:
        root = Path(run_git(folder, "rev-parse", "--show-toplevel", timeout_seconds=GIT_SECONDS).strip()).resolve()
    except GitFailed as error:
        if error.has_run:
            return False
        raise CannotCheck(f"git: {error}") from error
    if root != folder:
        print_line(
            f"note: {folder} lies in the repository {root}; it has to be a repository of its own to be published"
        )
        return False
    return True


def note_uncommitted(folder: Path) -> None:
    names = changed_names(git(folder, *STATUS, "--untracked-files=all"))
    if names:
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        print_line(f"note: not committed yet: {', '.join(names[:MAX_NAMED])}{more}")


def note_ignored_data(folder: Path, copy: Path, parsed: configuration.ModelConfiguration) -> None:
    for file in parsed.data:
        if not is_remote(file) and (folder / file.uri).exists() and not (copy / file.uri).exists():
            print_line(f"note: git ignores {file.uri}, so no commit holds it; remove it from .gitignore")


def git(folder: Path, *arguments: str) -> str:
    try:
        return run_git(folder, *arguments, timeout_seconds=GIT_SECONDS)
    except GitFailed as error:
        raise CannotCheck(f"git in {folder}: {error}" if error.has_run else f"git: {error}") from error


def run_stages(
    source: Path, commit: str, parsed: configuration.ModelConfiguration, work: Path, allowed: JailSettings
) -> int:
    claim = Claim(f"models/{parsed.model}", 1, 1)
    version = resources.Version(
        version=1, attempt=1, build=resources.BUILD_STATE_TESTING, repository=str(source), commit=commit
    )
    report = run_attempt(tools_in(work, parsed, allowed), claim, version)
    if report is None:
        return failed("the check was stopped")
    return outcome(report)


def tools_in(work: Path, parsed: configuration.ModelConfiguration, allowed: JailSettings) -> AttemptTools:
    """What a trainer works with, of which nothing outlives this process."""
    return AttemptTools(
        worker="check",
        store=open_store("memory:///"),
        checkpoint_key=new_checkpoint_key(),
        telemetry=PrintedEpochs(parsed.train.epochs),  # type: ignore[arg-type]
        attempts=Attempts(),
        report=print_report,
        log_time_ms=now_ms,
        scratch=work,
        limits=Limits(epochs=1),
        jail=Bubblewrap(),
        jail_settings=allowed,
        data=data_access(parsed, os.environ),
        packages=LockedPackages(
            Kept(kept_between_checks(os.environ) / "environments", ENVIRONMENTS, Installing().max_bytes), Installing()
        ),
    )


def data_access(parsed: configuration.ModelConfiguration, environ: Mapping[str, str]) -> DataAccess:
    """Downloads are kept for the next check. Without a list of places, those of headgate.toml are taken as allowed."""
    remote = [file.uri for file in parsed.data if is_remote(file)]
    listed = environ.get("HEADGATE_DATA_PLACES") or " ".join(remote)
    try:
        places = places_of(listed)
    except ValueError as error:
        if environ.get("HEADGATE_DATA_PLACES"):
            raise WrongSetting(f"HEADGATE_DATA_PLACES: {error}") from error
        raise CannotCheck(f"data: {error}") from error
    if remote and not environ.get("HEADGATE_DATA_PLACES"):
        print_line("note: the trainer downloads only from places that its operator lists in HEADGATE_DATA_PLACES")
    return DataAccess(
        Cache(kept_between_checks(environ) / CACHE_FOLDER, CACHE_BYTES),
        Web(places, environ.get("HEADGATE_GIT_CREDENTIALS", "")),
    )


def kept_between_checks(environ: Mapping[str, str]) -> Path:
    """The folder in which this user's checks keep downloads and what they have built from locks."""
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headgate"


@dataclass(frozen=True, slots=True)
class PrintedEpochs:
    """Takes an attempt's telemetry: prints the epochs, and has no use for heartbeats."""

    epochs: int

    def send(self, key: str, **measurement: object) -> None:
        epoch = measurement.get("epoch_measured")
        if isinstance(epoch, telemetry.EpochMeasured):
            losses = f"training loss {epoch.train_loss:.6g}, validation loss {epoch.validation_loss:.6g}"
            print_line(f"training: 1 of {counted(self.epochs, 'epoch')} in {epoch.duration_ms / 1000:.1f} s, {losses}")


def _files(count: int) -> str:
    return "1 file has its" if count == 1 else f"{count} files have their"


def print_report(report: commands.Command) -> None:
    """Prints what an attempt reports on its way."""
    if report.HasField("report_code_tested"):
        tested = report.report_code_tested.fact
        if tested.configuration.data:
            print_line(f"data: {_files(len(tested.configuration.data))} SHA-256")
        if tested.HasField("packages_log"):
            print_line("packages: those of the lock are installed")
        print_line(f"tests: passed in {tested.duration_ms / 1000:.1f} s")


def outcome(report: commands.Command) -> int:
    """Prints how the attempt ended. The exit code."""
    if report.HasField("report_training_finished"):
        finished = report.report_training_finished.fact
        # A repository that builds its ONNX file itself has no epochs, and no network to compare with.
        difference = f"; ONNX Runtime differs from torch by {finished.export_difference:.3g} at most"
        print_line(f"export: {counted(len(finished.artifact.files), 'file')}{difference if finished.epochs else ''}")
        print_line("The trainer would accept this. The gate is not decided here: that needs the whole training.")
        return 0
    if report.HasField("report_code_tested"):
        tested = report.report_code_tested.fact
        return failed(f"tests: {tested.reason or f'ended with exit code {tested.exit_code}'}", tested.log_tail)
    failure = report.report_training_failed.fact
    return failed(f"{word_of(facts.Stage, failure.stage)}: {failure.reason}", failure.log_tail)


def failed(reason: str, log_tail: str = "") -> int:
    if log_tail.strip():
        print_line("\n".join(log_tail.rstrip().splitlines()), sys.stderr)
    print_line(f"FAILED: {reason}", sys.stderr)
    return 1


def print_line(line: str, to: TextIO | None = None) -> None:
    """Prints on stdout unless `to` is given. Names of files, and what tests print, reach no terminal as they are."""
    print(printable_lines(line), file=to, flush=True)


if __name__ == "__main__":
    sys.exit(main())
