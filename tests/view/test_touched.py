"""Every resource that a fact changes is named as touched: what is not would grow stale in the view."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from headgate.domain.fact import FIELD_OF
from headgate.domain.model import ModelCommand
from headgate.v1 import facts_pb2 as facts
from headgate.view.touched import places, resource_at, touched
from tests.domain.test_machine import Lifecycle


class Touching(Lifecycle):
    """The machine of all commands, watched from outside."""

    def do(self, command: ModelCommand, actor: str = "") -> None:
        before, count = self.rows(), len(self.facts)
        super().do(command, actor)
        for fact, _ in self.facts[count:]:
            changed = {place for place, data in self.rows().items() if before.get(place) != data}
            record = facts.LifecycleRecord(**{FIELD_OF[type(fact).__name__]: fact})
            assert changed <= set(touched(self.state, record)), fact

    def rows(self) -> dict[object, bytes]:
        found = {}
        for place in places(self.state):
            resource = resource_at(self.state, place)
            assert resource is not None
            found[place] = resource.SerializeToString(deterministic=True)
        return found


Touching.TestCase.settings = settings(max_examples=25, stateful_step_count=40, suppress_health_check=list(HealthCheck))
TestTouching = Touching.TestCase
