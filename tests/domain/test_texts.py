"""A person's text stands in every copy of the state, so it has a limit wherever a command brings one."""

import pytest

from headgate.domain import environment
from headgate.domain.refusal import MAX_TEXT_CHARACTERS, Refused
from headgate.domain.state import EnvironmentState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from tests.domain.scenario import PRODUCTION, given

TEXTS = [
    (payload.message_type._concrete_class, text)
    for payload in commands.Command.DESCRIPTOR.oneofs_by_name["command"].fields
    for text in ("reason", "description")
    if text in payload.message_type.fields_by_name
]
ENVIRONMENT = (commands.CreateEnvironment, commands.DeclareFreeze, commands.LiftFreeze)


def decide(command: object) -> object:
    if isinstance(command, ENVIRONMENT):
        return environment.decide(EnvironmentState(PRODUCTION), command, 1)
    return given(facts.ModelCreated()).when(command).decision


@pytest.mark.parametrize(("command", "text"), TEXTS)
def test_a_text_beyond_the_limit_is_refused_with_its_field_and_one_at_the_limit_is_not(command, text: str) -> None:
    refused = decide(command(**{text: "x" * (MAX_TEXT_CHARACTERS + 1)}))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.field) == ("invalid-argument", text)
    accepted = decide(command(**{text: "x" * MAX_TEXT_CHARACTERS}))
    assert not isinstance(accepted, Refused) or accepted.field != text
