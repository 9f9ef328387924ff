"""States of a model as a test needs them, without the facts that would lead there."""

from headgate.domain.state import ModelState
from headgate.v1 import resources_pb2 as resources


def put_version(state: ModelState, version: resources.Version) -> None:
    """At its own number. Those before it are there too, and have nothing to say."""
    while len(state.versions) < version.version:
        state.versions.add(version=len(state.versions) + 1)
    state.versions[version.version].CopyFrom(version)


def with_versions(name: str, *versions: resources.Version) -> ModelState:
    """A model of this name with these versions."""
    state = ModelState(name)
    for version in versions:
        put_version(state, version)
    return state
