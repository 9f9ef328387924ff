"""`headgate publish` appends an event to the inbox: a commit of a model's repository was merged."""

import uuid
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import grpc
import typer

from headgate.cli.event_outcome import DEFAULT_RECORDS, copies_of, outcome_of
from headgate.cli.exit_codes import Exit
from headgate.cli.files import local_path
from headgate.cli.known_environments import is_known, report_unknown
from headgate.cli.printing import report, show
from headgate.cli.render import Format, Output, show_data
from headgate.cli.session import CommandFailed, Session, session, usage
from headgate.client.change import Change, change_merged
from headgate.configuration import FILE_NAME, publication
from headgate.domain.credentials import hides_nothing, without_credentials
from headgate.domain.names import model_stream
from headgate.domain.repository import broken_rule
from headgate.domain.utf8 import not_utf8
from headgate.log.partitioner import partition_of
from headgate.log.port import PARTITIONS, EventLog
from headgate.runtime.clock import now_ms
from headgate.runtime.git import STATUS, GitFailed, changed_names, run_git
from headgate.runtime.observability import tracing
from headgate.runtime.observability.span import Kind
from headgate.runtime.observability.trace_context import TraceContext, new_trace
from headgate.runtime.settings import SettingsError
from headgate.toml_tables import InvalidToml
from headgate.v1 import registry_service_pb2 as registry_service

GIT_TIMEOUT_SECONDS = 30
LOOKUP_TIMEOUT_SECONDS = 2.0
"""How long to ask the registry whether it has the commit. Publishing itself needs only the log."""
MAX_ADDRESSES = 100
"""How many addresses one commit may have been published from, for the search for its version."""
MAX_NAMED = 3
"""How many of the files that are not committed the warning names."""
NEW = "a new commit becomes a new version, also an empty one (git commit --allow-empty)"
LAST_SPANS_SECONDS = 5.0
"""How long to wait until the last spans are sent."""


def repository_folder(text: str) -> Path:
    """A folder on this machine, as a parser of typer."""
    try:
        return local_path(text)
    except typer.BadParameter:
        problem = "this is a URL; expected a folder: clone the repository, and name its address with --url"
        raise typer.BadParameter(problem) from None


def publish(
    context: typer.Context,
    repository: Annotated[
        Path,
        typer.Argument(
            parser=repository_folder, metavar="FOLDER", help="A Git repository with headgate.toml at its root."
        ),
    ],
    commit: Annotated[str, typer.Option(help="The commit to publish.")] = "HEAD",
    url: Annotated[
        str, typer.Option(help="The address from which the trainer fetches it, if that is not this folder.")
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Send a new event when the first one for this commit was refused or buried.")
    ] = False,
    traces: Annotated[
        str, typer.Option(envvar="HEADGATE_TRACES", help="OTLP gRPC endpoint that takes the trace of this event.")
    ] = "",
    output: Output = Format.TABLE,
) -> None:
    """Send Headgate a merged commit. It becomes the model's next version."""
    check_address("--url", url or "/")
    check_address("FOLDER", str(repository.resolve()))
    found, environment = read_change(repository, commit)
    change = _as_it_is_sent(found, url)
    if changed := uncommitted(repository):
        report(f"warning: {changed}: only what is in commit {change.commit[:10]} is published")
    existing = _version_of(session(context), change)
    if existing and again:
        usage(
            f"this commit already is version {existing}: --again would make no second one, so nothing was sent; {NEW}"
        )
    source = repository.resolve().as_uri()
    event_id = _event_id(source, change.commit, url, again)
    with closing(session(context).open_log()) as log:
        refusal = earlier_refusal(log, change, event_id, source)
        trace = _publish(log, change, event_id, source, traces)
    report(f"published {change.model} at {change.commit[:10]}: {change.message.partition(chr(10))[0]}")
    if known := _known(existing, refusal):
        report(known)
    _ask_about_environment(session(context), environment)
    if output is Format.TABLE:
        report("to see what becomes of it, give `headgate event status` the id of this event:")
        show(event_id)
        return
    event = {"id": event_id, "trace_id": trace.trace_id, "source": source}
    show_data({**event, "model": change.model, "commit": change.commit}, output)


def _as_it_is_sent(change: Change, url: str) -> Change:
    """The change with the address from which the trainer fetches it, and without credentials in its message."""
    change = replace(change, repository=url or change.repository)
    if hides_nothing(change.message):
        return change
    report("warning: the commit's message holds a password, a token or a user name in a URL: it is left out")
    return replace(change, message=without_credentials(change.message))


def _known(existing: str, refusal: str) -> str:
    """What became of this commit or event before; empty when it is new."""
    if existing:
        return f"this commit already is version {existing}: it becomes no second one; {NEW}"
    if refusal:
        return f"this event was sent before and was refused ({refusal}): when that is mended, --again sends a new one"
    return ""


def check_address(argument: str, address: str) -> None:
    """Raises CommandFailed for an address that no version may name. The message does not show it."""
    if rule := broken_rule(address):
        usage(f"{argument}: {rule}")


def _event_id(source: str, commit: str, url: str, again: bool) -> str:
    """The id of the event. The same commit from another address is another event, so a wrong address can be mended."""
    address = f"{url}@" if url else ""
    seed = str(uuid.uuid4()) if again else f"{address}{commit}"
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{source}#{seed}"))


def _version_of(current: Session, change: Change) -> str:
    """The version that was made from this commit at this address.

    Empty when there is none, or when the registry does not answer.
    """
    request = registry_service.ListVersionsRequest(
        parent=model_stream(change.model), page_size=MAX_ADDRESSES, filter=f'commit = "{change.commit}"'
    )
    try:
        found = current.stubs.registry.ListVersions(request, timeout=LOOKUP_TIMEOUT_SECONDS).versions
    except grpc.RpcError:
        return ""
    same = (f"{change.model}/{version.version}" for version in found if version.repository == change.repository)
    return next(same, "")


def earlier_refusal(log: EventLog, change: Change, event_id: str, source: str) -> str:
    """Why this event was refused or buried when it was sent before; empty when it was not. Raises LogError."""
    partition = partition_of(change.model.encode(), PARTITIONS)
    copies = copies_of(log, event_id, source, DEFAULT_RECORDS, [partition])
    outcome = outcome_of(log, copies, DEFAULT_RECORDS) if copies else None
    if outcome is not None and outcome.refusal is not None:
        return outcome.refusal.message
    return outcome.letter.reason if outcome is not None and outcome.letter is not None else ""


def _publish(log: EventLog, change: Change, event_id: str, source: str, traces: str) -> TraceContext:
    """Appends the event as the start of a trace. Its first span is exported when an endpoint for traces is set."""
    try:
        tracing.start(traces, "cli", "headgate")
        span = tracing.begin("publish", Kind.PRODUCER, None, {"headgate.model": change.model})
        trace = span.context or new_trace()
        log.append(change_merged(change, event_id, source, now_ms(), trace.trace_parent))
        span.end({}, "")
    except SettingsError as error:
        usage(str(error))
    finally:
        tracing.stop(LAST_SPANS_SECONDS)
    return trace


def read_change(repository: Path, commit: str) -> tuple[Change, str]:
    """The commit of a repository, and the environment that its headgate.toml asks for. Raises CommandFailed."""
    if not repository.is_dir():
        raise CommandFailed(f"there is no folder {repository}", Exit.NOT_FOUND)
    no_repository = f"{repository} is no Git repository: run `git init` there, add its files and commit"
    if inside := _git(repository, "rev-parse", "--show-prefix", missing=no_repository).strip():
        raise CommandFailed(
            f"{repository} is the folder {inside} of another repository, and a model needs its own repository:"
            " copy the folder, then run `git init` there and commit",
            Exit.NOT_FOUND,
        )
    sha = _git(
        repository,
        "rev-parse",
        "--verify",
        "--end-of-options",
        f"{commit}^{{commit}}",
        missing=f"{repository} has no commit {commit!r}",
    ).strip()
    model, environment = _declared(repository, sha)
    message = _git(repository, "log", "-1", "--format=%B", sha).strip()
    return Change(model, str(repository.resolve()), sha, message), environment


def _declared(repository: Path, sha: str) -> tuple[str, str]:
    """The model of the commit's headgate.toml and the environment that it asks for. Raises CommandFailed."""
    missing = f"{repository} has no headgate.toml at its root at {sha[:10]}"
    try:
        return publication(_git(repository, "show", f"{sha}:{FILE_NAME}", missing=missing).encode())
    except UnicodeDecodeError as error:
        problems = [not_utf8(error)]
    except InvalidToml as error:
        problems = [problem.removeprefix(f"{FILE_NAME}: ") for problem in error.problems]
    usage(f"{FILE_NAME} at {sha[:10]}: {'; '.join(problems)}")


def _ask_about_environment(current: Session, environment: str) -> None:
    """Warns when the commit asks for an environment that nobody knows: its name may be mistyped."""
    if environment and not is_known(current.stubs.releases, environment, LOOKUP_TIMEOUT_SECONDS):
        report(f"warning: {FILE_NAME} asks for a release into {environment}:")
        report_unknown(current.stubs.releases, environment)


def uncommitted(repository: Path) -> str:
    """What the working tree has that no commit has, as text. Empty for a clean tree and for a bare repository."""
    try:
        if _git(repository, "rev-parse", "--is-inside-work-tree").strip() != "true":
            return ""
        names = changed_names(_git(repository, *STATUS, "--untracked-files=normal"))
    except CommandFailed as error:  # the commit itself can be published
        return f"it is not known whether {repository} has changes that are not committed ({error})"
    if not names:
        return ""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{repository} has changes that are not committed ({', '.join(map(repr, names[:MAX_NAMED]))}{more})"


def _git(repository: Path, *arguments: str, missing: str = "") -> str:
    """The output of git. Raises CommandFailed; its message begins with `missing`, if given, when git fails."""
    try:
        return run_git(repository, *arguments, timeout_seconds=GIT_TIMEOUT_SECONDS)
    except GitFailed as error:
        if not error.has_run:
            raise CommandFailed(f"git: {error}") from error
        failed = f"git {arguments[0]} in {repository}: {error}"
        raise CommandFailed(missing or failed, Exit.NOT_FOUND if missing else Exit.FAILED) from error
