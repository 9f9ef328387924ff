"""`headgate gateway` shows what a gateway serves: whether it is ready, and the inputs and outputs of a model."""

from collections.abc import Sequence
from typing import Annotated

import typer

from headgate.cli.devices import list_devices
from headgate.cli.exit_codes import Exit
from headgate.cli.render import Format, Output, pairs, show_data
from headgate.cli.session import rest_address, served_version, session
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.inference import grpc_predict_v2_pb2 as inference

gateway = typer.Typer(help="What a gateway serves.", no_args_is_help=True)

gateway.command("devices")(list_devices)

TensorMetadata = inference.ModelMetadataResponse.TensorMetadata


@gateway.command("status")
def gateway_status(context: typer.Context, output: Output = Format.TABLE) -> None:
    """Show whether the gateway serves. Exit with 1 while it is not ready."""
    stubs = session(context).stubs
    stub = stubs.inference
    server = stub.ServerMetadata(inference.ServerMetadataRequest(), timeout=TIMEOUT_SECONDS)
    live = stub.ServerLive(inference.ServerLiveRequest(), timeout=TIMEOUT_SECONDS).live
    ready = stub.ServerReady(inference.ServerReadyRequest(), timeout=TIMEOUT_SECONDS).ready
    rest = rest_address(stubs)
    if output is Format.TABLE:
        shown = {"address": stubs.gateway_address, "rest": rest, "server": f"{server.name} {server.version}"}
        pairs({**shown, "live": _yes_or_no(live), "ready": _yes_or_no(ready)})
    else:
        data = {"address": stubs.gateway_address, "rest": rest, "name": server.name, "version": server.version}
        show_data({**data, "live": live, "ready": ready}, output)
    if not ready:
        raise typer.Exit(Exit.FAILED)


@gateway.command("model")
def gateway_model(
    context: typer.Context,
    model: str,
    version: Annotated[str, typer.Option("--version", help="This version instead of the live one.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Show the inputs and outputs of a model as the gateway serves it. Exit with 1 while it is not ready."""
    name, version = served_version(model, version)
    stub = session(context).stubs.inference
    found = stub.ModelMetadata(inference.ModelMetadataRequest(name=name, version=version), timeout=TIMEOUT_SECONDS)
    ready = stub.ModelReady(inference.ModelReadyRequest(name=name, version=version), timeout=TIMEOUT_SECONDS).ready
    if output is Format.TABLE:
        pairs(
            {
                "model": found.name,
                "ready": _yes_or_no(ready),
                "versions": ", ".join(f"v{number}" for number in found.versions),
                "inputs": _tensors(found.inputs),
                "outputs": _tensors(found.outputs),
            }
        )
    else:
        data = {"model": found.name, "ready": ready, "versions": [int(number) for number in found.versions]}
        tensors = {"inputs": list(map(_data, found.inputs)), "outputs": list(map(_data, found.outputs))}
        show_data({**data, "platform": found.platform, **tensors}, output)
    if not ready:
        raise typer.Exit(Exit.FAILED)


def _tensors(tensors: Sequence[TensorMetadata]) -> str:
    """One line for each tensor. A size of any value is -1, as the protocol writes it."""
    return "\n".join(f"{each.name}: {each.datatype} {list(each.shape)}" for each in tensors)


def _data(tensor: TensorMetadata) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
