"""`headgate model` and `headgate version`."""

import uuid
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated

import typer
from google.protobuf.message import Message

from headgate.cli import columns, version_watch
from headgate.cli.moments import At
from headgate.cli.optional_fields import lacking, optional_field, report_absent
from headgate.cli.pages import MAX_LISTED, listed
from headgate.cli.printing import progress, report
from headgate.cli.quarantines import live_quarantined, quarantined_versions
from headgate.cli.render import Format, Output, Wide, show_list, show_one, show_sentence
from headgate.cli.session import full_name, model_name, numbered_version, session, version_name
from headgate.cli.waits import Waits, as_field
from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.domain.words import counted
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.v1 import resources_pb2 as resources
from headgate.view.fields import Kind

ANY = "-"

model = typer.Typer(help="Models: named lines of versions.", no_args_is_help=True)
version = typer.Typer(help="Versions of a model.", no_args_is_help=True)

Filter = Annotated[str, typer.Option("--filter", help='For example: labels.team = "risk" AND name = "fraud*".')]
Order = Annotated[str, typer.Option("--order", help="A field; add desc to list the largest first.")]
VersionName = Annotated[str, typer.Argument(metavar="MODEL/VERSION", help="fraud/3, fraud@alias or the full name.")]

Reason = Annotated[str, typer.Option("--reason", help="The reason; it is recorded.")]
NeededReason = Annotated[str, typer.Option("--reason", help="The reason; it is needed and recorded.")]


@model.command("list")
def list_models(
    context: typer.Context,
    filter_: Filter = "",
    order: Order = "",
    wide: Wide = False,
    at: At = "",
    output: Output = Format.TABLE,
) -> None:
    """List all models, or those that match a filter."""
    stub = session(context).stubs.registry
    found, more = list_of_models(stub, filter_, order)
    report_absent(Kind.MODEL, filter_, lambda wanted: bool(list_of_models(stub, wanted, "", 1)[0]))
    empty = "No model matches the filter." if filter_ else "No models yet. The first `headgate publish` creates one."
    quarantined = quarantined_versions(session(context).stubs, full_name("models", ANY))
    show_list(found, columns.model_columns(quarantined), output, wide, empty, live_quarantined(quarantined))
    if more:
        report(f"only the first {counted(len(found), 'model')} of this list: --filter chooses others")


def list_of_models(
    stub: registry_service_grpc.RegistryServiceStub, filter_: str, order: str, limit: int = MAX_LISTED
) -> tuple[list[resources.Model], bool]:
    """At most `limit` models that match, and whether there may be more."""
    request = registry_service.ListModelsRequest(filter=filter_, order_by=order)
    return listed(stub.ListModels, request, lambda page: page.models, limit)


@model.command("get")
def get_model(context: typer.Context, name: str, at: At = "", output: Output = Format.TABLE) -> None:
    """Show one model."""
    request = registry_service.GetModelRequest(name=full_name("models", name))
    found = session(context).stubs.registry.GetModel(request, timeout=TIMEOUT_SECONDS)
    show_model(session(context).stubs, found, output)


def show_model(stubs: Stubs, found: resources.Model, output: Format) -> None:
    """Prints one model, and marks the live versions that are quarantined."""
    quarantined = quarantined_versions(stubs, found.name)
    show_one(found, columns.model_columns(quarantined), output, live_quarantined(quarantined))


@model.command("label")
def label_model(
    context: typer.Context,
    name: str,
    key: str,
    value: Annotated[str, typer.Argument()] = "",
    output: Output = Format.TABLE,
) -> None:
    """Set a label of a model. Without a value, the label is removed."""
    request = registry_service.LabelModelRequest(name=full_name("models", name), key=key, value=value)
    found = session(context).stubs.registry.LabelModel(request, timeout=TIMEOUT_SECONDS)
    show_model(session(context).stubs, found, output)


@version.command("list")
def list_versions(
    context: typer.Context,
    model: str,
    limit: Annotated[int, typer.Option("-n", min=1, max=10_000, help="At most this many.")] = 50,
    filter_: Filter = "",
    order: Order = "",
    wide: Wide = False,
    at: At = "",
    output: Output = Format.TABLE,
) -> None:
    """List a model's versions, newest first. With `-` as the model, search all models."""
    stub, parent = session(context).stubs.registry, parent_name(model)
    found, more = list_of_versions(stub, parent, filter_, order, limit)
    if path := optional_field(Kind.VERSION, order):
        left = limit - len(found)
        last, more_last = list_of_versions(stub, parent, lacking(filter_, path), "", max(left, 1))
        _report_last(path, len(found), len(last[:left]))
        found, more = found + last[:left], more or more_last or len(last) > left
    report_absent(Kind.VERSION, filter_, lambda wanted: bool(list_of_versions(stub, parent, wanted, "", 1)[0]))
    found_columns = columns.VERSIONS if model != ANY else columns.FOUND_VERSIONS
    empty = "No version matches the filter." if filter_ else "No versions yet: `headgate publish` makes one."
    wait_of = Waits(session(context).stubs).of_version
    found_columns = columns.with_wait(found_columns, "LABEL", wait_of)
    show_list(found, found_columns, output, wide, empty, as_field(wait_of))
    if more:
        report(f"only the first {counted(limit, 'version')} of this list: -n lists more")


def parent_name(model: str) -> str:
    """The model whose versions or releases are listed; `-` stands for all models. Raises CommandFailed."""
    return full_name("models", model if model in (ANY, f"models/{ANY}") else model_name(model))


def list_of_versions(
    stub: registry_service_grpc.RegistryServiceStub, parent: str, filter_: str, order: str, limit: int
) -> tuple[list[resources.Version], bool]:
    """At most `limit` versions that match, and whether there may be more."""
    request = registry_service.ListVersionsRequest(parent=parent, filter=filter_, order_by=order)
    return listed(stub.ListVersions, request, lambda page: page.versions, limit)


def _report_last(path: str, with_field: int, without: int) -> None:
    """Says which versions an order cannot sort."""
    if without and not with_field:
        report(f"no version has {path}, by which --order sorts: the newest come first")
    elif without:
        report(f"versions without {path}, by which --order sorts, come last: {without}")


@version.command("get")
def get_version(context: typer.Context, name: VersionName, at: At = "", output: Output = Format.TABLE) -> None:
    """Show one version."""
    request = registry_service.GetVersionRequest(name=version_name(name))
    found = session(context).stubs.registry.GetVersion(request, timeout=TIMEOUT_SECONDS)
    wait_of = Waits(session(context).stubs).of_version
    show_one(found, columns.with_wait(columns.VERSION, "LABEL", wait_of), output, as_field(wait_of))


@version.command("watch")
def watch_version(context: typer.Context, name: VersionName, output: Output = Format.TABLE) -> None:
    """Follow a version from its commit to the gate's verdict. Exit with 1 when it fails."""
    stubs = session(context).stubs
    request = registry_service.GetVersionRequest(name=version_name(name))
    wanted = stubs.registry.GetVersion(request, timeout=TIMEOUT_SECONDS)
    with ExitStack() as stack:
        passed = version_watch.watch_version(stubs, wanted, version_watch.screen_of(progress, stack))
    found = stubs.registry.GetVersion(request, timeout=TIMEOUT_SECONDS)
    waits = Waits(stubs)
    if output is Format.TABLE:
        show_sentence(version_watch.outcome(found, waits.of_version(found)))
    else:
        show_one(found, columns.VERSION, output, as_field(waits.of_version))
    raise typer.Exit(0 if passed else 1)


@version.command("approve")
def approve_version(
    context: typer.Context, name: VersionName, reason: Reason = "", output: Output = Format.TABLE
) -> None:
    """Approve a version, for its own gate and for the environments that ask for it. Each person counts once."""
    call = session(context).stubs.registry.ApproveVersion
    found = change_version(context, call, registry_service.ApproveVersionRequest, name, reason, output)
    missing = found.gate.policy.approvals - found.approvals
    if missing > 0 and found.verdict == resources.VERDICT_STATE_AWAITING_APPROVAL:
        report(f"approved by {', '.join(found.approved_by)}; approvals still needed from other people: {missing}")


@version.command("deny")
def deny_version(context: typer.Context, name: VersionName, reason: Reason = "", output: Output = Format.TABLE) -> None:
    """Deny a version that passed its gate and awaits approval."""
    call = session(context).stubs.registry.DenyVersion
    change_version(context, call, registry_service.DenyVersionRequest, name, reason, output)


@version.command("waive")
def waive_gate(context: typer.Context, name: VersionName, reason: NeededReason, output: Output = Format.TABLE) -> None:
    """Allow a version to be released although the gate refused it. The reason is recorded."""
    call = session(context).stubs.registry.WaiveGate
    change_version(context, call, registry_service.WaiveGateRequest, name, reason, output)


def change_version(
    context: typer.Context,
    call: Callable[..., resources.Version],
    request: Callable[..., Message],
    name: str,
    reason: str,
    output: Format,
) -> resources.Version:
    """Changes a version by an RPC whose request has its name and a reason, and shows what became of it."""
    wanted = request(name=numbered_version(context, name), reason=reason, request_id=str(uuid.uuid4()))
    found = call(wanted, timeout=TIMEOUT_SECONDS)
    show_one(found, columns.VERSION, output)
    return found
