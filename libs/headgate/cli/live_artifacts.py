"""Checks the artifacts of all live versions: the signature of each manifest and the digest of each file."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from headgate.artifacts.encryption.key_encryption import KeyEncryption
from headgate.artifacts.keys import load_trusted
from headgate.artifacts.manifest import artifact_problems
from headgate.artifacts.store import open_store
from headgate.cli.pages import pages
from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.domain.names import short_name, version_name
from headgate.v1 import registry_service_pb2 as registry_service

MAX_VERSIONS = 200
"""How many live versions are checked. Their files are read as a whole."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong, one line for each file, and how many live versions were checked, `more` when it was not all."""

    problems: list[str]
    versions: int
    more: bool


def check_live_artifacts(
    stubs: Stubs, artifacts: Path, keys: Path, decrypting: KeyEncryption | None, limit: int = MAX_VERSIONS
) -> Checked:
    """Reads the files of the live versions. Raises KeyUnusable, and grpc.RpcError when the registry does not answer."""
    store, trusted = open_store(artifacts.absolute().as_uri(), create=False, keys=decrypting), load_trusted(keys)
    live = list(islice(_live_versions(stubs), limit + 1))
    problems = []
    for model, number in live[:limit]:
        name = version_name(model, number)
        request = registry_service.GetVersionRequest(name=name)
        artifact = stubs.registry.GetVersion(request, timeout=TIMEOUT_SECONDS).artifact
        problems += [f"{model}/{number}: {problem}" for problem in artifact_problems(store, artifact, name, trusted)]
    return Checked(problems, len(live[:limit]), len(live) > limit)


def _live_versions(stubs: Stubs) -> Iterator[tuple[str, int]]:
    """Model and number of each version that is live in an environment, each version once."""
    for page in pages(stubs.registry.ListModels, registry_service.ListModelsRequest()):
        for model in page.models:
            yield from ((short_name(model.name), number) for number in sorted(set(model.live.values())))
