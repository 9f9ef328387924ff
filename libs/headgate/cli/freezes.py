"""`headgate freeze` declares and lifts freezes: times in which no release of an environment moves forward."""

import uuid
from typing import Annotated, NoReturn

import grpc
import typer

from headgate.cli import columns
from headgate.cli.known_environments import is_known, report_unknown
from headgate.cli.models import NeededReason, Reason
from headgate.cli.moments import At
from headgate.cli.render import Format, Output, Wide, show_one, show_rows
from headgate.cli.session import full_name, session, usage
from headgate.cli.times import time_ms
from headgate.client.errors import failure
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.domain.environment import ENDS_AFTER_ITS_BEGIN, ENDS_IN_THE_FUTURE
from headgate.domain.names import short_name
from headgate.domain.words import time_text
from headgate.v1 import release_service_pb2 as release_service

HELP = """Freezes: times in which no release of an environment moves forward.

In a freeze a running release keeps its weights, and a new one waits. `headgate release abort` and `undo` still work.
A candidate that the judge finds worse is still taken back."""

freeze = typer.Typer(help=HELP, no_args_is_help=True)

EnvironmentName = Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="For example production.")]
FreezeName = Annotated[str, typer.Argument(metavar="NAME", help="The name of the freeze, for example holidays.")]


@freeze.command("list")
def list_freezes(
    context: typer.Context,
    environment: Annotated[str, typer.Argument(help="Only those of this environment. Without it all.")] = "",
    wide: Wide = False,
    at: At = "",
    output: Output = Format.TABLE,
) -> None:
    """List the freezes that hold or are still to come."""
    stubs = session(context).stubs
    wanted = full_name("environments", environment) if environment else ""
    found = stubs.releases.ListEnvironments(release_service.ListEnvironmentsRequest(), timeout=TIMEOUT_SECONDS)
    now_ms = stubs.shown_ms()
    rows = [
        {
            "environment": short_name(each.name),
            "freeze": one.freeze,
            "from": time_text(one.from_ms) or "at once",
            "until": time_text(one.until_ms),
            "reason": one.reason,
        }
        for each in found.environments
        if wanted in ("", each.name)
        for one in each.freezes
        if one.until_ms > now_ms
    ]
    where = short_name(wanted) if wanted else "any environment"
    show_rows(rows, output, wide, f"No freeze holds or is to come in {where}.", {"from": 1})


@freeze.command("declare")
def declare_freeze(
    context: typer.Context,
    environment: EnvironmentName,
    name: FreezeName,
    until: Annotated[str, typer.Option(help="Its end: 2026-12-24T18:00:00Z, or 12h for 12 hours from now.")],
    reason: NeededReason,
    begin: Annotated[str, typer.Option("--from", help="Its begin, in the same form. Without it, at once.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Let no release of the environment move forward until a time."""
    stubs = session(context).stubs
    request = release_service.DeclareFreezeRequest(
        name=full_name("environments", environment),
        freeze=name,
        reason=reason,
        # 0 lies before every time, so a freeze without a begin holds at once on the clock of every machine.
        from_ms=time_ms("--from", begin, stubs.log_time.now_ms) if begin else 0,
        until_ms=time_ms("--until", until, stubs.log_time.now_ms),
        request_id=str(uuid.uuid4()),
    )
    was_known = is_known(stubs.releases, request.name)
    try:
        found = stubs.releases.DeclareFreeze(request, timeout=TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        if failure(error).field != "until_ms":
            raise
        _refuse_end(until, begin, request)
    show_one(found, columns.FROZEN, output)
    if not was_known:
        report_unknown(
            stubs.releases,
            short_name(found.name),
            "the freeze holds only releases into this environment",
            f"to end it: headgate freeze lift {short_name(found.name)} {name}",
        )


def _refuse_end(until: str, begin: str, request: release_service.DeclareFreezeRequest) -> NoReturn:
    """Ends the command because of its --until, in the words of the options and not of the request's fields."""
    end = f"--until {until!r} is {time_text(request.until_ms)} UTC"
    if begin and request.until_ms <= request.from_ms:
        usage(f"{end}, and --from {begin!r} is {time_text(request.from_ms)} UTC: {ENDS_AFTER_ITS_BEGIN}")
    usage(f"{end}: {ENDS_IN_THE_FUTURE}")


@freeze.command("lift")
def lift_freeze(
    context: typer.Context,
    environment: EnvironmentName,
    name: FreezeName,
    reason: Reason = "",
    output: Output = Format.TABLE,
) -> None:
    """End a freeze now. Releases that waited for it go on."""
    request = release_service.LiftFreezeRequest(
        name=full_name("environments", environment), freeze=name, reason=reason, request_id=str(uuid.uuid4())
    )
    found = session(context).stubs.releases.LiftFreeze(request, timeout=TIMEOUT_SECONDS)
    show_one(found, columns.FROZEN, output)
