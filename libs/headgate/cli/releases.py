"""`headgate release` and `headgate environment`."""

import uuid
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import grpc
import typer
from google.protobuf.message import Message

from headgate.cli import columns
from headgate.cli.files import local_path
from headgate.cli.known_environments import is_known, report_unknown
from headgate.cli.models import ANY, Filter, NeededReason, Order, Reason, parent_name
from headgate.cli.moments import At
from headgate.cli.pages import listed
from headgate.cli.policy_file import PolicyUnreadable, read_environment_policy, read_policy
from headgate.cli.printing import console, report
from headgate.cli.quarantines import report_return
from headgate.cli.release_watch import Moment, moments, show_lines, show_live
from headgate.cli.render import Format, Output, Wide, show_list, show_next, show_one, terminal_width
from headgate.cli.session import full_name, release_name, session, usage, version_parts
from headgate.cli.waits import Waits, as_field
from headgate.client.errors import failure
from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.domain import policy
from headgate.domain.names import in_words, short_name
from headgate.domain.words import counted
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import resources_pb2 as resources

Found = TypeVar("Found")

DEFAULT_RELEASES = 100
NO_MATCH = "No release matches the filter."
NO_RELEASES = (
    "No releases yet. A version that passes its gate gets the one that its headgate.toml asks for;"
    " `headgate release start MODEL/NUMBER` starts one by hand."
)

release = typer.Typer(help="Releases: the way of a version into an environment.", no_args_is_help=True)
environment = typer.Typer(help="Environments and their release policies.", no_args_is_help=True)

ReleaseName = Annotated[
    str, typer.Argument(metavar="MODEL/RELEASE", help="fraud/3 for release 3, or the full resource name.")
]


class StrategyName(StrEnum):
    CANARY = "canary"
    BLUE_GREEN = "blue-green"
    DIRECT = "direct"


@release.command("list")
def list_releases(
    context: typer.Context,
    model: str,
    limit: Annotated[int, typer.Option("-n", min=1, max=10_000, help="At most this many.")] = DEFAULT_RELEASES,
    filter_: Filter = "",
    order: Order = "",
    wide: Wide = False,
    at: At = "",
    output: Output = Format.TABLE,
) -> None:
    """List a model's releases, newest first. With `-` as the model, search all models."""
    stub = session(context).stubs.releases
    request = release_service.ListReleasesRequest(parent=parent_name(model), filter=filter_, order_by=order)
    found, more = listed(stub.ListReleases, request, lambda page: page.releases, limit)
    found_columns = columns.RELEASES if model != ANY else columns.FOUND_RELEASES
    wait_of = Waits(session(context).stubs).of_release
    found_columns = columns.with_wait(found_columns, "PHASE", wait_of)
    show_list(found, found_columns, output, wide, NO_MATCH if filter_ else NO_RELEASES, as_field(wait_of))
    if more:
        report(f"only the first {counted(len(found), 'release')} of this list: -n lists more")


@release.command("get")
def get_release(
    context: typer.Context,
    name: ReleaseName,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Follow the release until it ends.")] = False,
    at: At = "",
    output: Output = Format.TABLE,
) -> None:
    """Show one release."""
    if watch and at:
        usage("--watch and --at: a moment in the past does not change")
    if watch:
        watch_release(context, name, output)
        return
    request = release_service.GetReleaseRequest(name=release_name(name))
    found = session(context).stubs.releases.GetRelease(request, timeout=TIMEOUT_SECONDS)
    show_release(session(context).stubs, found, output)


@release.command("watch")
def watch_release(context: typer.Context, name: ReleaseName, output: Output = Format.TABLE) -> None:
    """Print a line for each change of a release, and its evidence, until it ends. Exit with 1 unless it completed."""
    found = moments(session(context).stubs, release_name(name))
    if output is not Format.TABLE:
        last = _show_states(found, output)
    else:
        last = show_lines(found) if terminal_width() is None else show_live(found, console)
    raise typer.Exit(0 if last.phase == resources.PHASE_COMPLETED else 1)


def _show_states(found: Iterator[Moment], output: Format) -> resources.Release:
    last = resources.Release()
    for moment in found:
        if moment.release != last:
            last = moment.release
            show_next(last, columns.RELEASE, output)
    return last


@release.command("start")
def start_release(
    context: typer.Context,
    version: Annotated[
        str, typer.Argument(metavar="MODEL/VERSION", help="The candidate: fraud/3, fraud@alias or the full name.")
    ],
    environment: Annotated[str, typer.Option("--environment", "-e")] = "production",
    strategy: Annotated[StrategyName, typer.Option()] = StrategyName.CANARY,
    reason: Reason = "",
    override_quarantine: Annotated[bool, typer.Option("--override-quarantine")] = False,
    policy_file: Annotated[
        Path | None,
        typer.Option("--policy", parser=local_path, metavar="FILE", help="A policy for this release alone, as TOML."),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Release a version by hand."""
    stub = session(context).stubs.releases
    model, number = version_parts(context, version)
    request = release_service.StartReleaseRequest(
        parent=full_name("models", model),
        environment=environment,
        version=number,
        strategy=configuration.Strategy.Value(f"STRATEGY_{strategy.name}"),
        reason=reason,
        override_quarantine=override_quarantine,
        policy=_read(read_policy, policy_file) if policy_file else None,
        request_id=str(uuid.uuid4()),
    )
    started = stub.StartRelease(request, timeout=TIMEOUT_SECONDS)
    show_one(started, columns.RELEASE, output)
    if not is_known(stub, environment):
        report_unknown(
            stub,
            environment,
            f"the release pauses unless a gateway runs with HEADGATE_ENVIRONMENT={environment}",
            f"to end it: headgate release abort {model}/{started.release}",
        )


@release.command("pause")
def pause_release(
    context: typer.Context, name: ReleaseName, reason: Reason = "", output: Output = Format.TABLE
) -> None:
    """Stop a release at its present weights, or give a paused one another reason."""
    stubs = session(context).stubs
    change_release(stubs, stubs.releases.PauseRelease, release_service.PauseReleaseRequest, name, reason, output)


@release.command("resume")
def resume_release(
    context: typer.Context, name: ReleaseName, reason: Reason = "", output: Output = Format.TABLE
) -> None:
    """Continue a paused release at the weight of its step."""
    stubs = session(context).stubs
    change_release(stubs, stubs.releases.ResumeRelease, release_service.ResumeReleaseRequest, name, reason, output)


@release.command("promote")
def promote_release(
    context: typer.Context, name: ReleaseName, reason: NeededReason, output: Output = Format.TABLE
) -> None:
    """Give the candidate all traffic now, also from a pause. A release that is paused in its bake completes."""
    stubs = session(context).stubs
    change_release(stubs, stubs.releases.PromoteRelease, release_service.PromoteReleaseRequest, name, reason, output)


@release.command("abort")
def abort_release(
    context: typer.Context, name: ReleaseName, reason: Reason = "", output: Output = Format.TABLE
) -> None:
    """End a release that has not completed: stable gets all traffic again."""
    stubs = session(context).stubs
    found = change_release(
        stubs, stubs.releases.AbortRelease, release_service.AbortReleaseRequest, name, reason, output
    )
    if found.phase == resources.PHASE_ROLLING_BACK and found.stable:
        report_return(stubs, found, found.stable)


@release.command("undo")
def undo_release(context: typer.Context, name: ReleaseName, reason: Reason = "", output: Output = Format.TABLE) -> None:
    """Undo a completed release: release the version that was stable before it. Before it completes, abort it."""
    stubs = session(context).stubs
    found = change_release(stubs, stubs.releases.UndoRelease, release_service.UndoReleaseRequest, name, reason, output)
    if found.undo_of:
        report_return(stubs, found, found.candidate)


def change_release(
    stubs: Stubs,
    call: Callable[..., resources.Release],
    request: Callable[..., Message],
    name: str,
    reason: str,
    output: Format,
) -> resources.Release:
    """Changes a release by an RPC whose request has its name and a reason, and shows what became of it."""
    wanted = request(name=release_name(name), reason=reason, request_id=str(uuid.uuid4()))
    found = call(wanted, timeout=TIMEOUT_SECONDS)
    show_release(stubs, found, output)
    return found


def show_release(stubs: Stubs, found: resources.Release, output: Format) -> None:
    """Shows a release with what it waits for and the judgement of this moment: the log's may be of an earlier step."""
    waits = Waits(stubs)
    show_one(found, columns.release_page(waits.of_release, waits.judgement), output, as_field(waits.of_release))


@environment.command("list")
def list_environments(context: typer.Context, wide: Wide = False, at: At = "", output: Output = Format.TABLE) -> None:
    """List all environments."""
    stubs = session(context).stubs
    found = stubs.releases.ListEnvironments(release_service.ListEnvironmentsRequest(), timeout=TIMEOUT_SECONDS)
    empty = "No environment has a policy or a freeze: all follow the default policy."
    shown = columns.with_freezes_at(columns.ENVIRONMENTS, stubs.shown_ms())
    show_list(found.environments, shown, output, wide, empty)


@environment.command("get")
def get_environment(context: typer.Context, name: str, at: At = "", output: Output = Format.TABLE) -> None:
    """Show one environment and its policy. Without a policy of its own, the default policy is shown."""
    request = release_service.GetEnvironmentRequest(name=full_name("environments", name))
    try:
        found = session(context).stubs.releases.GetEnvironment(request, timeout=TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        if failure(error).code is not grpc.StatusCode.NOT_FOUND:
            raise
        report(f"no policy was set for {in_words(request.name)}: its releases follow the default policy")
        found = resources.Environment(name=request.name, policy=policy.DEFAULT)
    now_ms = session(context).stubs.shown_ms()
    show_one(found, columns.with_freezes_at(columns.ENVIRONMENT, now_ms), output)


def _read(reader: Callable[[Path], Found], file: Path) -> Found:
    try:
        return reader(file)
    except PolicyUnreadable as error:
        usage(str(error))


@environment.command("set-policy")
def set_policy(
    context: typer.Context,
    name: str,
    file: Annotated[
        Path,
        typer.Argument(
            parser=local_path, metavar="FILE", help="The policy as TOML, such as examples/demo_policy.toml."
        ),
    ],
    output: Output = Format.TABLE,
) -> None:
    """Set the release policy of an environment, and whose approvals its releases need."""
    wanted = _read(read_environment_policy, file)
    request = release_service.SetPolicyRequest(
        name=full_name("environments", name),
        policy=wanted.release,
        approvals=wanted.approvals,
        request_id=str(uuid.uuid4()),
    )
    stub = session(context).stubs.releases
    was_known = is_known(stub, request.name)
    show_one(stub.SetPolicy(request, timeout=TIMEOUT_SECONDS), columns.ENVIRONMENT, output)
    if not was_known:
        report_unknown(stub, short_name(request.name), "only releases into this environment follow the policy")
