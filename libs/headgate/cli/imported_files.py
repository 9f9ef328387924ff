"""The files of `headgate version import`: each lies on this machine and is uploaded, or a trainer downloads it."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import grpc
import yaml

from headgate.artifacts.foreign_models import HEAD_BYTES, NO_SAFETENSORS, foreign_format, is_safetensors
from headgate.artifacts.mlflow_flavors import conversion_of
from headgate.artifacts.store import MAX_FILE_BYTES
from headgate.cli.exit_codes import Exit, code_of_file
from headgate.cli.files import is_url, read_file
from headgate.cli.printing import report
from headgate.cli.session import CommandFailed, usage
from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.domain.names import SHA256
from headgate.domain.upload import MAX_NAME_CHARACTERS
from headgate.shared_files import digest_of
from headgate.v1 import worker_services_pb2 as worker_services

PART_BYTES = 1024 * 1024
"""Of a file in one message."""
UPLOAD_SECONDS = 1800.0
MLMODEL = "MLmodel"
MAX_MLMODEL_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine."""

    file: Path
    kind: worker_services.UploadKind.ValueType
    url = ""

    @property
    def name(self) -> str:
        return self.file.name

    def stored(self, stubs: Stubs) -> str:
        """The digest of the file, which the artifact store has now."""
        return uploaded(stubs, self.file, self.kind)


@dataclass(frozen=True, slots=True)
class JoinedFile:
    """A file of this machine whose weights lie in files beside it. It is sent as one file."""

    file: Path
    whole: bytes
    kind: worker_services.UploadKind.ValueType
    url = ""

    @property
    def name(self) -> str:
        return self.file.name

    def stored(self, stubs: Stubs) -> str:
        """The digest of the whole, which the artifact store has now."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / self.name
            file.write_bytes(self.whole)
            return uploaded(stubs, file, self.kind)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that the trainer downloads."""

    url: str
    sha256: str
    kind: worker_services.UploadKind.ValueType

    @property
    def name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2][-MAX_NAME_CHARACTERS:]

    def stored(self, stubs: Stubs) -> str:
        """The digest of the file, which the artifact store has now. Only the trainer knows its operator's places."""
        report(f"the trainer downloads {self.url}")
        request = worker_services.FetchBlobRequest(uri=self.url, sha256=self.sha256, kind=self.kind)
        return stubs.artifacts.FetchBlob(request, timeout=UPLOAD_SECONDS).sha256


def model_in(file: str, sha256: str, kind: worker_services.UploadKind.ValueType) -> LocalFile | JoinedFile | RemoteFile:
    """What is imported, as far as this machine can check it. Raises CommandFailed."""
    found = file_in(file, sha256, kind, "--sha256")
    if isinstance(found, RemoteFile):
        return found
    graph = onnx_file(found.file)
    refuse_known(graph, kind)
    whole = joined_file(graph) if found.file.is_dir() else None
    return LocalFile(graph, kind) if whole is None else JoinedFile(graph, whole, kind)


def file_in(file: str, sha256: str, kind: worker_services.UploadKind.ValueType, option: str) -> LocalFile | RemoteFile:
    """The file, where `option` has given the digest of a URL. Raises CommandFailed."""
    if is_url(file):
        if not SHA256.fullmatch(sha256.lower()):
            usage(f"a URL needs {option} with the SHA-256 of the file, in 64 hex digits, as sha256sum prints it")
        return RemoteFile(file, sha256.lower(), kind)
    if sha256:
        usage(f"{option} belongs to a URL; of a file on this machine the command computes it")
    return LocalFile(Path(file), kind)


def onnx_file(file: Path) -> Path:
    """The file itself, or the one that the MLmodel of a folder names. Raises CommandFailed."""
    if not file.is_dir():
        return file
    if not (file / MLMODEL).is_file():
        usage(f"{file} is a folder without the file {MLMODEL} of MLflow: give the ONNX file itself")
    try:
        text = read_file(file / MLMODEL, MAX_MLMODEL_BYTES)
        flavors = yaml.safe_load(text)["flavors"]
        if not isinstance(flavors, dict) or not flavors:
            raise ValueError("it names no flavours")
        data = flavors["onnx"]["data"] if "onnx" in flavors else None
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise CommandFailed(f"{file / MLMODEL} is no description of a model: {error}", Exit.USAGE) from error
    if data is None:
        usage(f"{file} has no flavour onnx, only {', '.join(map(str, flavors))}. To convert, {conversion_of(flavors)}")
    found = (file / str(data)).resolve()
    if not found.is_relative_to(file.resolve()) or not found.is_file():
        usage(f"{file / MLMODEL} names {data}, which is no file in this folder")
    return found


def joined_file(graph: Path) -> bytes | None:
    """The graph of a folder with its weights, which MLflow puts into a file beside it; None when they are in it.

    Raises CommandFailed.
    """
    try:
        # A command line without the packages of the services has no library for ONNX. Then the trainer refuses such
        # a graph, and says how to make it one file.
        from headgate.artifacts.graphs import GraphRefused, joined
    except ModuleNotFoundError:
        return None
    try:
        return joined(graph)
    except GraphRefused as error:
        raise CommandFailed(f"{graph}: {error}", Exit.USAGE) from error


def refuse_known(file: Path, kind: worker_services.UploadKind.ValueType) -> None:
    """Raises CommandFailed when the file is known to be of another kind, before anything is uploaded."""
    with opened(file) as content:
        head = content.read(HEAD_BYTES)
    if kind == worker_services.UPLOAD_KIND_WEIGHTS:
        if not is_safetensors(head):
            usage(f"{file}: {NO_SAFETENSORS}")
    elif found := foreign_format(head):
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
        advice = "store weights in a smaller datatype, or give fewer test rows" if size else "export or write it anew"
        usage(f"{file} has {size} bytes, and a file that is imported has 1 to {MAX_FILE_BYTES}: {advice}")
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
