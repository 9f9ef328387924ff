"""Folded models for queries, made from facts that a registry would accept."""

from __future__ import annotations

from collections.abc import Mapping

from headgate.domain import model
from headgate.domain.state import ModelState
from headgate.v1 import facts_pb2 as facts
from headgate.view.fields import resource_id
from headgate.view.folded import Answer
from tests.domain.scenario import created, passed, ready, requested, stamp, started

FLEET: Mapping[str, list[object]] = {
    "churn": [facts.ModelCreated(description="who leaves", labels={"team": "growth", "tier": "2"}), created(1)],
    "fraud": [
        facts.ModelCreated(description="cards", labels={"team": "risk"}),
        *passed(1),
        *passed(2),
        created(3),
        facts.VersionTagged(version=2, key="dataset", value="2026-01"),
        facts.AliasMoved(alias="champion", version=2),
        requested(1, 1),
        started(1),
        ready(1),
    ],
    "fraud-eu": [facts.ModelCreated(labels={"team": "risk", "tier": "1"}), *passed(1)],
}


def folded(facts: Mapping[str, list[object]]) -> dict[str, ModelState]:
    """The models of these facts. Each fact happens one millisecond after the previous one."""
    models, at_ms = {}, 0
    for name, its in facts.items():
        models[name] = ModelState(name)
        for sequence, fact in enumerate(its, 1):
            at_ms += 1
            model.evolve(models[name], fact, stamp(sequence, at_ms))  # type: ignore[arg-type]
    return models


def ids(answer: Answer) -> list[str]:
    return [resource_id(resource) for resource in answer.resources]
