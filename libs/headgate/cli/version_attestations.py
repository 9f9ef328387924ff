"""`headgate version attestations`: the gate's verdict and the promotions of a version, signed for other tools."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import grpc
import typer

from headgate.artifacts.bundle import envelope_of
from headgate.artifacts.manifest import check_names
from headgate.artifacts.model_statement import ATTESTATIONS
from headgate.cli.exit_codes import Exit
from headgate.cli.files import local_path
from headgate.cli.models import VersionName
from headgate.cli.new_folder import require_new, write_all
from headgate.cli.printing import report
from headgate.cli.render import Format, Output, show_rows
from headgate.cli.session import CommandFailed, numbered_version, session
from headgate.client.errors import failure
from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.v1 import registry_service_pb2 as registry_service


def show_attestations(
    context: typer.Context,
    name: VersionName,
    folder: Annotated[
        Path | None,
        typer.Argument(parser=local_path, metavar="[FOLDER]", help="A new folder for the files; it must not exist."),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show the gate's verdict and the promotions of a version as signed statements of in-toto, or write them as files.

    Of each, the folder has a Sigstore bundle (NAME.sigstore.json) and the DSSE envelope in it (NAME.dsse.json).
    """
    if folder is not None:
        require_new(folder)
    found = attestations(session(context).stubs, numbered_version(context, name))
    if folder is not None:
        if not found.attestations:
            raise CommandFailed(found.reason, Exit.NOT_FOUND)
        write_all(files_of(found.attestations), folder)
    rows = [
        {
            "name": each.name,
            "result": each.result,
            "environment": each.environment,
            "predicate_type": each.predicate_type,
        }
        for each in found.attestations
    ]
    show_rows(rows, output, empty=f"{found.reason}.")


def attestations(stubs: Stubs, version: str) -> registry_service.ListAttestationsResponse:
    """Those of a version by its resource name, signed by a registry."""
    request = registry_service.ListAttestationsRequest(parent=version)
    return stubs.registry.ListAttestations(request, timeout=TIMEOUT_SECONDS)


def attestations_beside(stubs: Stubs, version: str) -> dict[str, bytes]:
    """The files in the folder attestations. Without any, or without an answer, it says why and returns none."""
    try:
        found = attestations(stubs, version)
    except grpc.RpcError as error:
        report(f"no attestations are written: {failure(error).message}")
        return {}
    if not found.attestations:
        report(f"no attestations are written: {found.reason}")
    return {f"{ATTESTATIONS}/{name}": data for name, data in files_of(found.attestations).items()}


def files_of(found: Iterable[registry_service.Attestation]) -> dict[str, bytes]:
    """The files by name: of each attestation its bundle, and its DSSE envelope. Raises CommandFailed."""
    files: dict[str, bytes] = {}
    for each in found:
        bundle = each.bundle.encode()
        try:
            check_names([each.name])
            files |= {f"{each.name}.sigstore.json": bundle, f"{each.name}.dsse.json": envelope_of(bundle)}
        except (ValueError, KeyError) as error:
            raise CommandFailed(f"the registry answered with an attestation that is none: {error}") from error
    return files
