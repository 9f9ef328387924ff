"""Which resources a fact changes. A view writes them again, and a watch sends them again."""

from typing import NamedTuple

from headgate.domain.fact import fact_of
from headgate.domain.state import ModelState
from headgate.v1 import facts_pb2 as facts
from headgate.view.fields import Kind, Resource


class ResourceRef(NamedTuple):
    """Names one resource. The number of a model is 0."""

    kind: Kind
    model: str
    number: int = 0


def touched(state: ModelState, record: facts.LifecycleRecord) -> list[ResourceRef]:
    """The resources that this record of the model's stream may have changed, perhaps with some that it did not."""
    refs = [ResourceRef(Kind.MODEL, state.name)]
    fact = fact_of(record)
    version, release = getattr(fact, "version", 0), getattr(fact, "release", 0)
    if isinstance(fact, facts.ReleaseRequested):
        version = fact.candidate
    elif release in state.releases:
        version = state.releases[release].candidate  # a rollback may put the candidate in quarantine
    if version:
        refs.append(ResourceRef(Kind.VERSION, state.name, version))
    if release:
        refs.append(ResourceRef(Kind.RELEASE, state.name, release))
    return refs


def resource_at(state: ModelState, ref: ResourceRef) -> Resource | None:
    """The state's own resource, not a copy; None when there is none."""
    match ref.kind:
        case Kind.MODEL:
            return state.model
        case Kind.VERSION:
            return state.versions.get(ref.number)
        case Kind.RELEASE:
            return state.releases.get(ref.number)


def refs_of(state: ModelState) -> list[ResourceRef]:
    """References to all resources of the model."""
    return [
        ResourceRef(Kind.MODEL, state.name),
        *(ResourceRef(Kind.VERSION, state.name, number) for number in state.versions),
        *(ResourceRef(Kind.RELEASE, state.name, number) for number in state.releases),
    ]
