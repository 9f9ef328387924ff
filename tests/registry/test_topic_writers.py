"""What a record of a topic may ask for where callers prove who they are: nothing that a person decides."""

import ast
from pathlib import Path

import pytest

from headgate.domain.refusal import Refused
from headgate.domain.state import ModelState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources
from services.registry.topic_writers import OF_WORKERS, refuse_peoples
from tests.domain.scenario import PRODUCTION
from tests.model_states import with_versions

FIELDS = commands.Command.DESCRIPTOR.oneofs_by_name["command"].fields
WORKERS = ("trainer", "evaluator", "deployer")


def sent(**body: object) -> commands.Command:
    return commands.Command(command_id="1", stream="models/fraud", actor="root", **body)  # type: ignore[arg-type]


def models() -> dict[str, ModelState]:
    """Version 1 of fraud, which asks for a canary into production."""
    wish = configuration.ReleaseWish(environment=PRODUCTION, strategy=configuration.STRATEGY_CANARY)
    made = configuration.ModelConfiguration(model="fraud", release=wish)
    return {"fraud": with_versions("fraud", resources.Version(version=1, configuration=made))}


@pytest.mark.parametrize("name", [field.name for field in FIELDS if field.name not in OF_WORKERS])
def test_what_only_people_decide_is_refused(name: str):
    command = sent()
    getattr(command, name).SetInParent()
    refused = refuse_peoples(command, models())
    assert isinstance(refused, Refused)
    assert "comes by gRPC alone" in refused.rule


def test_workers_send_the_commands_that_they_may_send_and_no_others():
    """Read from their code, so that a new command of a worker is not refused by a table that nobody has changed."""
    kinds = {field.message_type.name: field.name for field in FIELDS if field.message_type is not None}
    found = set()
    for worker in WORKERS:
        for file in sorted(Path("services", worker).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                called = node.func if isinstance(node, ast.Call) else None
                if isinstance(called, ast.Attribute) and getattr(called.value, "id", "") == "commands":
                    found.add(kinds.get(called.attr, ""))
    assert found - {""} == OF_WORKERS


def test_a_worker_starts_the_release_that_the_version_asks_for_and_no_other():
    canary = {"environment": PRODUCTION, "candidate": 1, "strategy": configuration.STRATEGY_CANARY}
    assert refuse_peoples(sent(start_release=commands.StartRelease(**canary)), models()) is None
    others = (
        {"environment": "staging"},
        {"strategy": configuration.STRATEGY_DIRECT},
        {"override_quarantine": True},
        {"policy": configuration.ReleasePolicy(bake_ms=1)},
    )
    for other in others:
        start = commands.StartRelease(**{**canary, **other})  # type: ignore[arg-type]
        assert refuse_peoples(sent(start_release=start), models()) is not None, other


def test_a_promotion_by_a_person_comes_by_grpc_alone():
    by_a_person = commands.PromoteRelease(release=1, reason="trust me", from_pause=True)
    assert refuse_peoples(sent(promote_release=by_a_person), models()) is not None
    assert refuse_peoples(sent(promote_release=commands.PromoteRelease(release=1)), models()) is None
