"""`headgate version import` makes an ONNX file of this machine or of a URL a version: it is inspected and evaluated."""

import hashlib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import grpc
import typer

from headgate.architecture import MAX_BYTES as MAX_ARCHITECTURE_BYTES
from headgate.architecture import parse as parse_architecture
from headgate.cli import columns
from headgate.cli.exit_codes import Exit
from headgate.cli.files import file_or_url, local_path, read_file
from headgate.cli.imported_files import LocalFile, file_in, model_in, size_of, uploaded
from headgate.cli.printing import report
from headgate.cli.render import Format, Output, show_one
from headgate.cli.session import CommandFailed, full_name, model_name, session, usage
from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.configuration import MAX_BYTES, made_elsewhere, parse
from headgate.toml_tables import InvalidToml
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services

ARCHITECTURE = worker_services.UPLOAD_KIND_ARCHITECTURE
NO_CONFIGURATION = (
    "this model has no version whose configuration could be taken: give --config with a headgate.toml that has the"
    " tables [model], [evaluate] and, if wanted, [gate] and [release]"
)

FileOrUrl = Annotated[
    str,
    typer.Argument(
        parser=file_or_url,
        metavar="FILE|URL",
        help="An ONNX file, a folder of MLflow with one, weights with --architecture, or the URL of a file.",
    ),
]
TestRows = Annotated[
    str,
    typer.Option(
        parser=file_or_url,
        metavar="FILE|URL",
        help="The test rows with their true answers: CSV, JSON lines, Parquet or NPY.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        parser=local_path,
        metavar="FILE",
        help="A headgate.toml with task, metrics and gate; by default those of the model's newest version.",
    ),
]
ArchitectureFile = Annotated[
    Path | None,
    typer.Option(
        parser=local_path,
        metavar="FILE",
        help="An architecture.toml with the layers, when the file is a safetensors file of weights.",
    ),
]

NOT_READ_YET = (
    "no version of this model has a configuration that was read: wait until a trainer has built one, or give --config"
)


def import_version(
    context: typer.Context,
    model: str,
    file: FileOrUrl,
    test: TestRows,
    answers: Annotated[
        str, typer.Option(help="The column with the true answers; by default answer, label, target or y.")
    ] = "",
    config: Config = None,
    sha256: Annotated[str, typer.Option(help="The SHA-256 of the file that a URL names; needed there.")] = "",
    test_sha256: Annotated[str, typer.Option(help="The SHA-256 of the test rows that a URL names.")] = "",
    architecture: ArchitectureFile = None,
    output: Output = Format.TABLE,
) -> None:
    """Make an ONNX file that was made elsewhere the model's next version. It passes the gate as every other."""
    stubs, name = session(context).stubs, model_name(model)
    model_kind = worker_services.UPLOAD_KIND_WEIGHTS if architecture else worker_services.UPLOAD_KIND_MODEL
    source = model_in(file, sha256, model_kind)
    rows = file_in(test, test_sha256, worker_services.UPLOAD_KIND_TEST_ROWS, "--test-sha256")
    if isinstance(rows, LocalFile):
        size_of(rows.file)
    if architecture:
        check_architecture(architecture)
    declared = declared_in(config, name) if config else declared_before(stubs, name)
    upload = facts.Upload(
        model_sha256=source.stored(stubs),
        rows_sha256=rows.stored(stubs),
        file_name=source.name,
        answers=answers,
        configuration=declared,
        uri=source.url,
        rows_uri=rows.url,
        architecture_sha256=uploaded(stubs, architecture, ARCHITECTURE) if architecture else "",
    )
    request = registry_service.CreateVersionRequest(
        parent=full_name("models", name),
        upload=upload,
        commit_message=f"imported from {source.url or source.name}",
        request_id=str(uuid.uuid4()),
    )
    version = stubs.registry.CreateVersion(request, timeout=TIMEOUT_SECONDS)
    show_one(version, columns.VERSION, output)
    report(f"it is inspected and evaluated now: headgate version watch {name}/{version.version}")


def check_architecture(file: Path) -> None:
    """Raises CommandFailed when it is wrong, before anything is uploaded."""
    try:
        parse_architecture(read_file(file, MAX_ARCHITECTURE_BYTES))
    except InvalidToml as error:
        raise CommandFailed("\n  ".join((f"{file} is wrong:", *error.problems)), Exit.USAGE) from error


def declared_in(file: Path, model: str) -> configuration.ModelConfiguration:
    """Raises CommandFailed."""
    try:
        declared = parse(read_file(file, MAX_BYTES), imported=True)
    except InvalidToml as error:
        raise CommandFailed("\n  ".join((f"{file} is wrong:", *error.problems)), Exit.USAGE) from error
    if declared.model != model:
        usage(f"{file}: model.name: expected {model}, the model that is imported to, got {declared.model}")
    return declared


def declared_before(stubs: Stubs, model: str) -> configuration.ModelConfiguration:
    """Task, metrics, gate and release of the newest version that has them. Raises CommandFailed."""
    request = registry_service.ListVersionsRequest(parent=full_name("models", model))
    try:
        versions = list(stubs.registry.ListVersions(request, timeout=TIMEOUT_SECONDS).versions)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        versions = []
    newest, found = newest_declared(versions)
    declared = configuration.ModelConfiguration()
    declared.CopyFrom(found)
    if declared.evaluate.own_metrics:
        usage(f"version {newest} is measured by its own code, which an imported one lacks: give --config")
    if found.code.kind != "onnx":
        declared.network.Clear()
    made_elsewhere(declared)
    declared.ClearField("digest")
    declared.digest = hashlib.sha256(declared.SerializeToString(deterministic=True)).digest()
    return declared


def newest_declared(versions: Sequence[resources.Version]) -> tuple[int, configuration.ModelConfiguration]:
    """The newest version whose configuration is known, and this. Raises CommandFailed when there is none."""
    known = {version.version: found for version in versions if (found := declared_of(version))}
    if not known:
        usage(NOT_READ_YET if versions else NO_CONFIGURATION)
    return max(known), known[max(known)]


def declared_of(version: resources.Version) -> configuration.ModelConfiguration | None:
    """What the version declares. An import has it from its upload on, a commit once a trainer has read it."""
    if version.HasField("configuration"):
        return version.configuration
    return version.upload.configuration if version.upload.HasField("configuration") else None
