"""Where an artifact comes from, as an in-toto statement with the build predicate of SLSA.

It holds no times and no paths of a machine, so that the same training gives the same bytes everywhere. What lies on
the machine that trained is named by its digest alone.
"""

import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from headgate.artifacts.store import digest
from headgate.domain.credentials import without_credentials
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.trainer.packages.lock import Lock

BUILD_TYPE = "https://headgate.dev/training/v1"
IMPORT_TYPE = "https://headgate.dev/import/v1"


def provenance(
    files: Mapping[str, bytes],
    repository: str,
    commit: str,
    parsed: configuration.ModelConfiguration,
    environment: Mapping[str, str],
    lock: Lock | None = None,
    upload: facts.Upload | None = None,
) -> bytes:
    """`upload` is what an imported version comes from, in place of repository and commit."""
    place = {} if is_local(repository) else {"uri": without_credentials(repository)}
    sources: list[dict[str, object]] = [{"name": "repository", **place, "digest": {"gitCommit": commit}}]
    parameters: dict[str, object] = {"commit": commit, **({"repository": place["uri"]} if place else {})}
    if upload is not None:
        sources = [*uploaded_files(upload)]
        parameters = {"answers": upload.answers}
    data = [data_file(file) for file in parsed.data]
    packages = [*locked_packages(lock)] if lock else []
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest(content)}} for name, content in sorted(files.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": IMPORT_TYPE if upload is not None else BUILD_TYPE,
                "externalParameters": parameters,
                "internalParameters": {"configuration": parsed.digest.hex(), "environment": dict(environment)},
                "resolvedDependencies": [*sources, *data, *packages],
            },
            "runDetails": {"builder": {"id": "https://headgate.dev/trainer"}},
        },
    }
    return json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()


def uploaded_files(upload: facts.Upload) -> Iterator[dict[str, object]]:
    for name, uri, sha256 in (
        (upload.file_name, upload.uri, upload.model_sha256),
        ("architecture", "", upload.architecture_sha256),
        ("test rows", upload.rows_uri, upload.rows_sha256),
    ):
        if sha256:
            yield {"name": name, **({"uri": uri} if uri else {}), "digest": {"sha256": sha256}}


def locked_packages(lock: Lock) -> Iterator[dict[str, object]]:
    """The packages for this Python, and the file whose hashes they were checked against."""
    for name, pin in sorted(lock.here().items()):
        yield {"uri": f"pkg:pypi/{name}@{pin.version}"}
    yield {"name": lock.file, "uri": lock.file, "digest": {"sha256": lock.digest}}


def data_file(file: configuration.DataFile) -> dict[str, object]:
    # A path without a scheme is one in the repository.
    place = {} if urlsplit(file.uri).scheme == "file" else {"uri": file.uri}
    return {"name": file.name, **place, "digest": {"sha256": file.sha256}}


def is_local(repository: str) -> bool:
    return repository.startswith("/") or urlsplit(repository).scheme == "file"
