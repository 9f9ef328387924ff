"""Which resources a fact changes: what a view writes anew and what a watch sends again."""

from typing import NamedTuple

from headgate.domain.fact import fact_of
from headgate.domain.state import ModelState
from headgate.v1 import facts_pb2 as facts
from headgate.view.fields import Kind, Resource


class Place(NamedTuple):
    """One resource: a model has number 0."""

    kind: Kind
    model: str
    number: int = 0


def touched(state: ModelState, record: facts.LifecycleRecord) -> list[Place]:
    """The resources that may differ after this record of the model's stream; rather one too many."""
    places = [Place(Kind.MODEL, state.name)]
    fact = fact_of(record)
    version, release = getattr(fact, "version", 0), getattr(fact, "release", 0)
    if isinstance(fact, facts.ReleaseRequested):
        version = fact.candidate
    elif release in state.releases:
        version = state.releases[release].candidate  # a rollback may put it in quarantine
    if version:
        places.append(Place(Kind.VERSION, state.name, version))
    if release:
        places.append(Place(Kind.RELEASE, state.name, release))
    return places


def resource_at(state: ModelState, place: Place) -> Resource | None:
    """The state's own resource; None when there is none."""
    match place.kind:
        case Kind.MODEL:
            return state.model
        case Kind.VERSION:
            return state.versions.get(place.number)
        case Kind.RELEASE:
            return state.releases.get(place.number)


def places(state: ModelState) -> list[Place]:
    """Every resource of the model."""
    return [
        Place(Kind.MODEL, state.name),
        *(Place(Kind.VERSION, state.name, number) for number in state.versions),
        *(Place(Kind.RELEASE, state.name, number) for number in state.releases),
    ]
