"""`headgate gateway devices` lists the devices at the edge that gateways have heard."""

from collections.abc import Iterable
from typing import Annotated

import typer

from headgate.cli.edge import Source, gateways_for_devices, running_source
from headgate.cli.pages import listed
from headgate.cli.printing import report
from headgate.cli.render import Format, Output, Wide, show_list
from headgate.cli.session import refuse_readable, session
from headgate.cli.tables import Column
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import telemetry_pb2 as telemetry

MAX_DEVICES = 20_000
MS_PER_SECOND = 1_000
STATES = {True: "follows", False: "away"}
ARMS = {telemetry.ARM_STABLE: " stable", telemetry.ARM_CANDIDATE: " candidate"}


def list_devices(
    context: typer.Context,
    source: Source = "",
    environment: Annotated[str, typer.Option(help="The environment that the gateway serves.")] = "production",
    troubled: Annotated[
        bool, typer.Option("--troubled", help="Only devices that are away or that refuse a version.")
    ] = False,
    limit: Annotated[int, typer.Option("-n", min=1, max=MAX_DEVICES, help="At most this many of each gateway.")] = 100,
    wide: Wide = False,
    output: Output = Format.TABLE,
) -> None:
    """List devices at the edge: what each serves, when it was heard, and which versions it refuses and why.

    A gateway knows the devices that it has heard since it started.
    """
    found: list[edge.EdgeDevice] = []
    stubs = session(context).stubs
    for address in gateways_for_devices(source or running_source()):
        if stubs.token and stubs.tls is None:
            refuse_readable("--from", address)
        request = edge.ListDevicesRequest(environment=environment, only_troubled=troubled)
        stub = stubs.edge(address)
        devices, more = listed(stub.ListDevices, request, lambda page: page.devices, limit)
        found += devices
        if more:
            report(f"{address} knows more devices: -n lists more of them")
    show_list(merged(found, troubled), COLUMNS, output, wide, "No device was heard.")


def merged(devices: Iterable[edge.EdgeDevice], troubled: bool = False) -> list[edge.EdgeDevice]:
    """Each device once, as the gateway knows it that it follows, or else the one that heard it last; by name."""
    newest: dict[str, edge.EdgeDevice] = {}
    for each in sorted(devices, key=lambda device: (device.following, -device.silent_ms)):
        newest[each.device] = each
    return [each for _, each in sorted(newest.items()) if not troubled or not each.following or each.refused]


def _served(device: edge.EdgeDevice) -> str:
    return ", ".join(f"{each.model} v{each.version}{ARMS.get(each.arm, '')}" for each in device.served if each.version)


def _refused(device: edge.EdgeDevice) -> str:
    return "; ".join(f"{each.model} v{each.version}: {each.reason}" for each in device.refused)


COLUMNS = (
    Column("DEVICE", lambda device: str(device.device)),
    Column("STATE", lambda device: STATES[device.following]),
    Column("SILENT", lambda device: f"{device.silent_ms // MS_PER_SECOND} s", 1),
    Column("SERVES", _served),
    Column("REFUSES", _refused),
)
