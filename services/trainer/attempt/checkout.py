"""Fetches one commit with its submodules, and reads its headgate.toml."""

import os
import re
import shlex
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from headgate.configuration import FILE_NAME, MAX_BYTES, parse
from headgate.domain.repository import broken_rule
from headgate.toml_tables import InvalidToml
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.failure import AttemptFailed
from services.trainer.programs import processes
from services.trainer.programs.processes import OnLimit, untold
from services.trainer.programs.sizes import size_of
from services.trainer.programs.trees import MAX_DEPTH, TooDeep
from services.trainer.programs.workplace import foreign_environment

GIT_SECONDS = 120.0
MAX_CHECKOUT_BYTES = 2 * 1024**3

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
FOLDER_NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)
MAX_CAUSES = 3
"""The most lines of git that a reason quotes."""
ADVICE = (
    (
        r"could not read (Username|Password)|Authentication failed|Permission denied \(",
        "the trainer proves who it is with HEADGATE_GIT_CREDENTIALS for HTTP and HEADGATE_GIT_SSH_COMMAND for SSH",
    ),
    (r"Host key verification failed", "HEADGATE_GIT_SSH_COMMAND names the file of the known hosts"),
)
"""What helps, by what git prints."""
SSH_COMMAND = "ssh -oBatchMode=yes"
GIT_SETTINGS = """[safe]
    directory = *
[protocol]
    allow = never
[protocol "file"]
    allow = always
[protocol "https"]
    allow = always
[protocol "http"]
    allow = always
[protocol "ssh"]
    allow = always
[core]
    hooksPath = /dev/null
[advice]
    detachedHead = false
[gc]
    auto = 0
"""


@dataclass(frozen=True, slots=True)
class GitAccess:
    """How git proves who it is.

    `credentials` is a file in the format of git-credential-store, for HTTP. `ssh_command` is what git starts for SSH.
    """

    credentials: str = ""
    ssh_command: str = SSH_COMMAND

    def settings(self) -> str:
        """What git's configuration says about it."""
        if not self.credentials:
            return ""
        helper = f"store --file {shlex.quote(self.credentials)}"
        # A shell reads the value. Before it, git itself reads quotes, backslashes and comments in it.
        escaped = helper.replace("\\", "\\\\").replace('"', '\\"')
        return f'[credential]\n    helper = "{escaped}"\n'


class Git:
    """Runs git without prompts, hooks or the machine's settings, and for GIT_SECONDS at most."""

    def __init__(self, scratch: Path, access: GitAccess, stop: threading.Event, on_limit: OnLimit = untold) -> None:
        self._scratch = scratch
        self._stop = stop
        self._on_limit = on_limit
        settings = scratch / "gitconfig"
        settings.write_text(GIT_SETTINGS + access.settings())
        self._environment = foreign_environment(scratch) | {
            "GIT_CONFIG_GLOBAL": str(settings),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_SSH_COMMAND": access.ssh_command,
        }

    def __call__(self, directory: Path, *arguments: str) -> processes.Exit:
        log = self._scratch / "git.log"
        self._on_limit(GIT_SECONDS)
        done = processes.run(["git", *arguments], directory, self._environment, log, GIT_SECONDS, self._stop)
        if done.limit_broken:
            raise AttemptFailed(facts.STAGE_CHECKOUT, f"git {arguments[0]} {done.limit_broken}", done.log_tail)
        return done


def check_out(
    repository: str, commit: str, scratch: Path, access: GitAccess, stop: threading.Event, on_limit: OnLimit = untold
) -> Path:
    """The files of the commit. `on_limit` hears of each command of git. Raises AttemptFailed."""
    if not COMMIT.fullmatch(commit):
        expected = "expected 40 or 64 hexadecimal digits, as `git rev-parse` prints them for a branch or a tag"
        reason = f"{commit!r} is not a full commit hash: {expected}"
        raise AttemptFailed(facts.STAGE_CHECKOUT, reason)
    source = location(repository)
    directory = scratch / "checkout" / folder_name(repository)
    directory.mkdir(parents=True)
    git = Git(scratch, access, stop, on_limit)
    kind = "sha256" if len(commit) == 64 else "sha1"
    require_success(git(directory, "init", "--quiet", f"--object-format={kind}"), "git init failed")
    # One commit is enough, but some servers do not serve a commit by its hash.
    if git(directory, "fetch", "--quiet", "--depth=1", "--no-tags", "--", source, commit).exit_code != 0:
        everything = git(directory, "fetch", "--quiet", "--no-tags", "--", source, "+refs/*:refs/source/*")
        require_success(everything, f"the repository {repository} cannot be read")
    if git(directory, "cat-file", "-e", f"{commit}^{{commit}}").exit_code != 0:
        raise AttemptFailed(facts.STAGE_CHECKOUT, without_commit(git, directory, repository, commit))
    done = git(directory, "checkout", "--quiet", "--detach", commit)
    require_success(done, f"commit {commit} cannot be checked out")
    fetch_submodules(git, directory, source)
    try:
        size = size_of(directory)
    except TooDeep:
        raise AttemptFailed(facts.STAGE_CHECKOUT, f"the commit has folders more than {MAX_DEPTH} deep") from None
    part_from_others(directory)
    if size > MAX_CHECKOUT_BYTES:
        raise AttemptFailed(facts.STAGE_CHECKOUT, f"the checkout has {size} bytes; the limit is {MAX_CHECKOUT_BYTES}")
    return directory


def folder_name(repository: str) -> str:
    """What `git clone` would call the folder: code may import from the folder in which it lies, by its name."""
    name = repository.rstrip("/").removesuffix("/.git").removesuffix(".git").replace(":", "/").rpartition("/")[2]
    return name if FOLDER_NAME.fullmatch(name) else "repository"


def location(repository: str) -> str:
    """What git fetches from. Raises AttemptFailed: versions of older logs may name an address that is refused today."""
    if rule := broken_rule(repository):
        raise AttemptFailed(facts.STAGE_CHECKOUT, f"the repository is not used: {rule}")
    if not repository.startswith("/"):
        return repository
    path = Path(repository)
    if not path.is_dir():
        reason = f"the repository {repository} does not exist on the trainer's machine"
        raise AttemptFailed(facts.STAGE_CHECKOUT, reason)
    return str(path)


def require_success(done: processes.Exit, reason: str) -> None:
    """Raises AttemptFailed with the reason and the cause that git printed."""
    if done.exit_code != 0:
        cause = cause_of(done.log_tail)
        raise AttemptFailed(facts.STAGE_CHECKOUT, f"{reason}: {cause}" if cause else reason, done.log_tail)


def cause_of(printed: str) -> str:
    """What git printed about a failure, without its general advice, and with ours where we know what helps."""
    lines = printed.strip().partition("\n\n")[0].splitlines()
    fatal = [line for line in lines if line.startswith(("fatal: ", "error: "))]
    causes = dict.fromkeys([*(lines[-1:] if not fatal else lines[:1]), *fatal[:MAX_CAUSES]])
    advice = next((advice for sign, advice in ADVICE if re.search(sign, printed)), "")
    return "; ".join([*causes, advice] if advice else causes)


def without_commit(git: Git, directory: Path, repository: str, commit: str) -> str:
    """Why a repository that can be read does not give the commit."""
    refs = git(directory, "for-each-ref", "--count=1", "refs/source")
    if not refs.log_tail.strip():
        return f"the repository {repository} is empty: it has no branch and no tag. Push the commit first"
    return f"the repository {repository} has no commit {commit} in any branch or tag. Push it first"


def fetch_submodules(git: Git, directory: Path, source: str) -> None:
    """Fetches what .gitmodules names, because the commit is not whole without it. Raises AttemptFailed."""
    if not (directory / ".gitmodules").is_file():
        return
    # An address such as ../common.git is relative to that of the repository.
    require_success(git(directory, "remote", "add", "origin", source), "git remote failed")
    update = ("submodule", "--quiet", "update", "--init", "--recursive")
    # As above: some servers do not serve a commit by its hash.
    if git(directory, *update, "--depth=1").exit_code != 0:
        require_success(git(directory, *update), "a submodule that .gitmodules names cannot be fetched")


def part_from_others(directory: Path) -> None:
    """Gives each file that is also another folder's a content of its own.

    git links the objects of a submodule on this machine to those of its repository, and the code may write here.
    """
    for file in directory.rglob("*"):
        if file.lstat().st_nlink > 1 and file.is_file() and not file.is_symlink():
            own = file.with_name(f"{file.name}.own")
            shutil.copy2(file, own)
            own.replace(file)


def read_configuration(checkout: Path, model: str) -> configuration.ModelConfiguration:
    """headgate.toml of the commit. Raises AttemptFailed."""
    file = inside(checkout, FILE_NAME)
    if file is None:
        elsewhere = sorted(str(each.relative_to(checkout)) for each in checkout.rglob(FILE_NAME) if each.is_file())
        found = f"; {elsewhere[0]} is not read, because a model has a repository of its own" if elsewhere else ""
        raise AttemptFailed(facts.STAGE_CONFIGURATION, f"the commit has no {FILE_NAME} at its root{found}")
    with file.open("rb") as text:
        try:
            parsed = parse(text.read(MAX_BYTES + 1))
        except InvalidToml as error:
            raise AttemptFailed(facts.STAGE_CONFIGURATION, "\n".join(error.problems)) from error
    if parsed.model != model:
        reason = f"model.name: expected {model}, whose version this is, got {parsed.model}"
        raise AttemptFailed(facts.STAGE_CONFIGURATION, reason)
    return parsed


def inside(checkout: Path, name: str) -> Path | None:
    """The path of a file in the checkout; None when there is none, or when a link leads out of the checkout."""
    path = Path(os.path.realpath(checkout / name))
    return path if path.is_file() and path.is_relative_to(checkout.resolve()) else None
