"""`headgate version import` makes an ONNX file of this machine or of a URL a version: it is inspected and evaluated."""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import grpc
import typer
import yaml

from headgate.artifacts.data_files import digest_of
from headgate.artifacts.foreign_models import HEAD_BYTES, foreign_format
from headgate.artifacts.store import MAX_FILE_BYTES
from headgate.cli import columns
from headgate.cli.exit_codes import Exit, code_of_file
from headgate.cli.files import file_or_url, is_url, local_path, read_file
from headgate.cli.printing import report
from headgate.cli.render import Format, Output, show_one
from headgate.cli.session import CommandFailed, full_name, model_name, session, usage
from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.configuration import MAX_BYTES, made_elsewhere, parse
from headgate.domain.names import SHA256
from headgate.domain.upload import MAX_NAME_CHARACTERS
from headgate.toml_tables import InvalidToml
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services

PART_BYTES = 1024 * 1024
"""Of a file in one message."""
UPLOAD_SECONDS = 1800.0
MLMODEL = "MLmodel"
MAX_MLMODEL_BYTES = 1024 * 1024
NO_CONFIGURATION = (
    "this model has no version whose configuration could be taken: give --config with a headgate.toml that has the"
    " tables [model], [evaluate] and, if wanted, [gate] and [release]"
)

FileOrUrl = Annotated[
    str,
    typer.Argument(
        parser=file_or_url,
        metavar="FILE|URL",
        help="An ONNX file, a folder of MLflow with one, or the URL of an ONNX file for the trainer to download.",
    ),
]
TestRows = Annotated[
    Path,
    typer.Option(
        parser=local_path,
        metavar="FILE",
        help="The test rows with their true answers: CSV, JSON lines, Parquet or NPY.",
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
    config: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar="FILE",
            help="A headgate.toml with task, metrics and gate; by default those of the model's newest version.",
        ),
    ] = None,
    sha256: Annotated[str, typer.Option(help="The SHA-256 of the file that a URL names; needed there.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Make an ONNX file that was made elsewhere the model's next version. It passes the gate as every other."""
    stubs, name = session(context).stubs, model_name(model)
    graph = graph_of(file, sha256)
    size_of(test)
    declared = declared_in(config, name) if config else declared_before(stubs, name)
    upload = facts.Upload(
        model_sha256=graph.stored(stubs),
        rows_sha256=uploaded(stubs, test, worker_services.UPLOAD_KIND_TEST_ROWS),
        file_name=graph.name,
        answers=answers,
        configuration=declared,
        uri=graph.url,
    )
    request = registry_service.CreateVersionRequest(
        parent=full_name("models", name),
        upload=upload,
        commit_message=f"imported from {graph.url or graph.name}",
        request_id=str(uuid.uuid4()),
    )
    version = stubs.registry.CreateVersion(request, timeout=TIMEOUT_SECONDS)
    show_one(version, columns.VERSION, output)
    report(f"it is inspected and evaluated now: headgate version watch {name}/{version.version}")


@dataclass(frozen=True, slots=True)
class LocalGraph:
    """An ONNX file of this machine."""

    file: Path
    url = ""

    @property
    def name(self) -> str:
        return self.file.name

    def stored(self, stubs: Stubs) -> str:
        """The digest of the file, which the artifact store has now."""
        return uploaded(stubs, self.file, worker_services.UPLOAD_KIND_MODEL)


@dataclass(frozen=True, slots=True)
class RemoteGraph:
    """An ONNX file that the trainer downloads."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2][-MAX_NAME_CHARACTERS:]

    def stored(self, stubs: Stubs) -> str:
        """The digest of the file, which the artifact store has now. Only the trainer knows its operator's places."""
        report(f"the trainer downloads {self.url}")
        request = worker_services.FetchBlobRequest(uri=self.url, sha256=self.sha256)
        return stubs.artifacts.FetchBlob(request, timeout=UPLOAD_SECONDS).sha256


def graph_of(file: str, sha256: str) -> LocalGraph | RemoteGraph:
    """What is imported, as far as this machine can check it. Raises CommandFailed."""
    if is_url(file):
        if not SHA256.fullmatch(sha256.lower()):
            usage("a URL needs --sha256 with the SHA-256 of the file, in 64 hex digits, as sha256sum prints it")
        return RemoteGraph(file, sha256.lower())
    if sha256:
        usage("--sha256 belongs to a URL; of a file on this machine the command computes it")
    graph = onnx_file(Path(file))
    refuse_known(graph)
    return LocalGraph(graph)


def onnx_file(file: Path) -> Path:
    """The file itself, or the one that the MLmodel of a folder names. Raises CommandFailed."""
    if not file.is_dir():
        return file
    try:
        text = read_file(file / MLMODEL, MAX_MLMODEL_BYTES)
        flavors = yaml.safe_load(text)["flavors"]
        data = flavors["onnx"]["data"] if "onnx" in flavors else None
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise CommandFailed(f"{file / MLMODEL} is no description of a model: {error}", Exit.USAGE) from error
    if data is None:
        usage(f"{file} has no flavour onnx, only {', '.join(map(str, flavors))}: log it with mlflow.onnx.log_model")
    found = (file / str(data)).resolve()
    if not found.is_relative_to(file.resolve()) or not found.is_file():
        usage(f"{file / MLMODEL} names {data}, which is no file in this folder")
    return found


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


def refuse_known(file: Path) -> None:
    """Raises CommandFailed when the file is known to be no ONNX, before anything is uploaded."""
    with opened(file) as content:
        if found := foreign_format(content.read(HEAD_BYTES)):
            usage(f"{file}: {found}")


def uploaded(stubs: Stubs, file: Path, kind: worker_services.UploadKind.ValueType) -> str:
    """The digest of the file, which the artifact store has now. It is sent unless the store had it before."""
    size = size_of(file)
    sha256 = digest_of(file)
    try:
        stubs.artifacts.GetBlob(worker_services.GetBlobRequest(sha256=sha256), timeout=TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        blob = worker_services.Blob(sha256=sha256, size_bytes=size)
        stubs.artifacts.UploadBlob(parts(file, blob, kind), timeout=UPLOAD_SECONDS)
    return sha256


def size_of(file: Path) -> int:
    """In bytes. Raises CommandFailed when such a file cannot be imported."""
    with opened(file):
        size = file.stat().st_size
    if not 0 < size <= MAX_FILE_BYTES:
        usage(f"{file} has {size} bytes, and a file that is imported has 1 to {MAX_FILE_BYTES}")
    return size


def parts(
    file: Path, blob: worker_services.Blob, kind: worker_services.UploadKind.ValueType
) -> Iterator[worker_services.UploadBlobRequest]:
    yield worker_services.UploadBlobRequest(blob=blob, kind=kind)
    with file.open("rb") as content:
        while part := content.read(PART_BYTES):
            yield worker_services.UploadBlobRequest(content=part)


def opened(file: Path) -> BinaryIO:
    """Raises CommandFailed when it cannot be read."""
    try:
        return file.open("rb")
    except FileNotFoundError as error:
        raise CommandFailed(f"there is no file {file}", Exit.NOT_FOUND) from error
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}", code_of_file(error)) from error
