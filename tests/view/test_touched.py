"""`touched` names every resource that a fact changes. A missing one would become stale in the view."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from headgate.domain.fact import FIELD_OF
from headgate.domain.model import ModelCommand
from headgate.v1 import facts_pb2 as facts
from headgate.view.touched import refs_of, resource_at, touched
from tests.domain.test_machine import Lifecycle


class Touching(Lifecycle):
    """The state machine of all commands. After each fact it compares all resources with those before."""

    def do(self, command: ModelCommand, actor: str = "") -> None:
        before, count = self.rows(), len(self.facts)
        super().do(command, actor)
        for fact, _ in self.facts[count:]:
            changed = {ref for ref, data in self.rows().items() if before.get(ref) != data}
            record = facts.LifecycleRecord(**{FIELD_OF[type(fact).__name__]: fact})
            assert changed <= set(touched(self.state, record)), fact

    def rows(self) -> dict[object, bytes]:
        found = {}
        for ref in refs_of(self.state):
            resource = resource_at(self.state, ref)
            assert resource is not None
            found[ref] = resource.SerializeToString(deterministic=True)
        return found


Touching.TestCase.settings = settings(max_examples=25, stateful_step_count=40, suppress_health_check=list(HealthCheck))
TestTouching = Touching.TestCase
