"""`headgate edge` runs a device: it follows one environment over the network and serves callers on this machine."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.exit_codes import Exit
from headgate.cli.files import local_path
from headgate.cli.session import (
    HOME,
    HOST,
    KEYS,
    TOKEN,
    CommandFailed,
    refuse_readable,
    running_edge_port,
    session,
    usage,
)
from headgate.client.tls import ClientTls
from headgate.domain.address import ADDRESS_RULE, is_address
from headgate.domain.names import MODEL_NAME_RULE, NAME_RULE, REPLICA_RULE, is_model_name, is_name, is_replica_name

PROGRAM = "headgate.cli.program"
MODULE = "services.gateway.edge"

Source = Annotated[
    str,
    typer.Option(
        "--from",
        help="host:port of a gateway's server for devices; several are separated by commas. Without it, that of"
        " `headgate up` in this folder.",
    ),
]
State = Annotated[
    Path,
    typer.Option(
        parser=local_path, metavar="FOLDER", help="The folder for routes, model files and counts. Keep it over reboots."
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        parser=local_path,
        metavar="FOLDER",
        help="The folder of the trusted keys; without it, that of headgate up here.",
    ),
]

KeyFile = Annotated[
    Path | None,
    typer.Option(
        parser=local_path,
        metavar="FILE",
        help="A file with the key that encrypts model files on the disk; without it, one is made in --state.",
    ),
]


def run_edge(
    context: typer.Context,
    device: Annotated[str, typer.Option(help="The name of this device, unique in the environment. It stays the same.")],
    source: Source = "",
    environment: Annotated[str, typer.Option(help="The environment to follow.")] = "production",
    state: State = Path("headgate-edge"),
    keys: Keys = None,
    models: Annotated[str, typer.Option(help="Serve these models only, separated by commas.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The gRPC port on loopback; 0 picks a free one.")] = 7450,
    rest_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The REST port on loopback; 0 picks a free one.")
    ] = 7451,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The port of /metrics and /readyz on loopback; 0 for none.")
    ] = 0,
    caller_token: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar="FILE",
            help="A file with the secret that callers of this device must send; without it every program here may ask.",
        ),
    ] = None,
    encryption_key: KeyFile = None,
    disk_mib: Annotated[int, typer.Option(min=1, help="The most MiB of model files on the disk.")] = 4_096,
) -> None:
    """Serve an environment's models on this device, also without a link. Runs until Ctrl-C or SIGTERM.

    It dials the gateway, with TLS by headgate --tls-ca and with the token of --token-file, and needs no open port from
    outside. A release's weight is the share of devices that get the candidate.
    """
    is_own = not source
    source, keys = source or running_source(), keys or Path(HOME) / KEYS
    _require_usable(source, device, environment, models, keys)
    options: dict[str, object] = {
        "ENVIRONMENT": environment,
        "SOURCE": source,
        "DEVICE": device,
        "STATE": state,
        "KEYS": keys,
        "MODELS": models,
        "PORT": port,
        "REST_PORT": rest_port,
        "METRICS_PORT": metrics_port,
        "DISK_MIB": disk_mib,
        **({"CALLER_TOKEN": caller_token} if caller_token else {}),
        **({"ENCRYPTION_KEY": encryption_key} if encryption_key else {}),
    }
    _become_device(options, *_proofs(context, source, is_own))


def _proofs(context: typer.Context, source: str, is_own: bool) -> tuple[ClientTls | None, object]:
    """How the gateways are called, and the file of the token that they get. Raises CommandFailed.

    What this folder trusts and sends is for its own gateway alone, unless it was named.
    """
    named, stubs = context.parent.params if context.parent else {}, session(context).stubs
    tls = stubs.tls if is_own or named.get("tls_ca") else None
    token_file = named.get("token_file") or (Path(HOME) / TOKEN if is_own and stubs.token else None)
    if token_file and tls is None:
        for address in gateways_for_devices(source):
            refuse_readable("--from", address)
    return tls, token_file


def _require_usable(source: str, device: str, environment: str, models: str, keys: Path) -> None:
    """Raises CommandFailed with the option that cannot be used, before a process starts with it."""
    gateways_for_devices(source)
    if not is_replica_name(device):
        usage(f"--device {device}: it follows the rule for replicas: {REPLICA_RULE}")
    if not is_name(environment):
        usage(f"--environment {environment}: {NAME_RULE}")
    if wrong := [each for each in models.split(",") if models and not is_model_name(each)]:
        usage(f"--models {wrong[0]}: {MODEL_NAME_RULE}")
    if not any((keys / "trusted").glob("*.pub")):
        raise CommandFailed(f"--keys {keys}: there is no trusted key in {keys / 'trusted'}", Exit.NOT_FOUND)


def gateways_for_devices(source: str) -> list[str]:
    """The addresses in the option --from. Raises CommandFailed."""
    addresses = source.split(",")
    if not all(map(is_address, addresses)):
        usage(f"--from {source}: {ADDRESS_RULE}")
    return addresses


def _become_device(options: dict[str, object], tls: ClientTls | None, token_file: object) -> None:
    """This process becomes the device, so whoever supervises the command supervises the device."""
    if tls is not None:
        files = {"TLS_CA": tls.ca, "TLS_CLIENT_CERTIFICATE": tls.certificate, "TLS_CLIENT_KEY": tls.key}
        options = options | {name: file for name, file in files.items() if file}
    if token_file:
        options = options | {"TOKEN_FILE": token_file}
    environ = os.environ | {f"HEADGATE_EDGE_{name}": str(value) for name, value in options.items()}
    os.execve(sys.executable, [sys.executable, "-m", PROGRAM, MODULE], environ)  # nosec B606


def running_source() -> str:
    """The address of the server for devices that `headgate up` runs in this folder. Raises CommandFailed."""
    port = running_edge_port(Path(HOME))
    if not port:
        problem = "name a gateway's server for devices with --from host:port: no `headgate up` runs in this folder"
        raise CommandFailed(problem, Exit.UNAVAILABLE)
    return f"{HOST}:{port}"
