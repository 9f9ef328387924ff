"""States of a model for tests, without the facts that lead to them."""

from headgate.domain.state import ModelState
from headgate.v1 import resources_pb2 as resources


def put_version(state: ModelState, version: resources.Version) -> None:
    """Puts the version at its number. Missing earlier versions are added without content."""
    while len(state.versions) < version.version:
        state.versions.add(version=len(state.versions) + 1)
    state.versions[version.version].CopyFrom(version)


def with_versions(name: str, *versions: resources.Version) -> ModelState:
    """A model of this name with these versions."""
    state = ModelState(name)
    for version in versions:
        put_version(state, version)
    return state
