"""What people do with a version: tags, cancellation, quarantine, archive and purge."""

import sys
import uuid
from typing import Annotated

import typer

from headgate.cli import columns
from headgate.cli.models import NeededReason, Reason, VersionName, change_version
from headgate.cli.printing import report
from headgate.cli.quarantines import report_where_live
from headgate.cli.render import Format, Output, show_one
from headgate.cli.session import CommandFailed, full_name, numbered_version, session, usage
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.domain.names import in_words
from headgate.v1 import registry_service_pb2 as registry_service


def create_version(
    context: typer.Context,
    model: str,
    repository: Annotated[str, typer.Option(help="Where the trainer fetches it: a URL or an absolute path.")],
    commit: Annotated[str, typer.Option(help="The full hash of the commit.")],
    message: Annotated[str, typer.Option(help="The message of the commit.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Make a commit the model's next version. `headgate publish` does it for a repository on this machine."""
    request = registry_service.CreateVersionRequest(
        parent=full_name("models", model),
        repository=repository,
        commit=commit,
        commit_message=message,
        request_id=str(uuid.uuid4()),
    )
    show_one(session(context).stubs.registry.CreateVersion(request, timeout=TIMEOUT_SECONDS), columns.VERSION, output)


def tag_version(
    context: typer.Context,
    name: VersionName,
    key: str,
    value: Annotated[str, typer.Argument()] = "",
    output: Output = Format.TABLE,
) -> None:
    """Set a tag of a version. Without a value, the tag is removed."""
    request = registry_service.TagVersionRequest(
        name=numbered_version(context, name), key=key, value=value, request_id=str(uuid.uuid4())
    )
    show_one(session(context).stubs.registry.TagVersion(request, timeout=TIMEOUT_SECONDS), columns.VERSION, output)


def quarantine_version(
    context: typer.Context, name: VersionName, reason: Reason = "", output: Output = Format.TABLE
) -> None:
    """Keep a version from being released. A release of it that runs is taken back. Where it is live it stays live."""
    stubs = session(context).stubs
    call = stubs.registry.QuarantineVersion
    found = change_version(context, call, registry_service.QuarantineVersionRequest, name, reason, output)
    report_where_live(stubs, found)


def lift_quarantine(
    context: typer.Context, name: VersionName, reason: Reason = "", output: Output = Format.TABLE
) -> None:
    """Allow a version that is quarantined to be released again."""
    call = session(context).stubs.registry.LiftQuarantine
    change_version(context, call, registry_service.LiftQuarantineRequest, name, reason, output)


def cancel_version(
    context: typer.Context,
    name: VersionName,
    reason: NeededReason,
    output: Output = Format.TABLE,
) -> None:
    """End the tests, the training or the evaluation of a version, or its wait for them. It cannot be taken back."""
    call = session(context).stubs.registry.CancelVersion
    change_version(context, call, registry_service.CancelVersionRequest, name, reason, output)


def archive_version(
    context: typer.Context, name: VersionName, reason: Reason = "", output: Output = Format.TABLE
) -> None:
    """Set a version that nothing uses aside. It is released no more, and its artifact stays until it is purged."""
    call = session(context).stubs.registry.ArchiveVersion
    change_version(context, call, registry_service.ArchiveVersionRequest, name, reason, output)


def purge_version(
    context: typer.Context,
    name: VersionName,
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Delete the artifact of an archived version for ever. The log keeps what happened to the version."""
    full = numbered_version(context, name)
    if not yes and not sys.stdin.isatty():
        usage(f"the artifact of {in_words(full)} would be deleted for ever: give --yes to confirm")
    if not yes and not typer.confirm(f"delete the artifact of {in_words(full)} for ever?", err=True):
        raise CommandFailed("nothing was done")
    call = session(context).stubs.registry.PurgeVersion
    change_version(context, call, registry_service.PurgeVersionRequest, full, reason, output)
    report("the trainer deletes each file that no other version names, at the earliest 15 minutes after it was stored")
