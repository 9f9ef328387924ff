"""The metrics of commands by outcome, and of refusals and dead letters by code."""

import grpc
import pytest

from headgate.log import topics
from headgate.log.port import Message
from headgate.v1 import registry_service_pb2 as registry_service
from tests.metrics.exposed import exposition
from tests.server_process import free_ports
from tests.waiting import until


def test_commands_are_counted_by_outcome_refusals_and_dead_letters_by_code(start) -> None:
    (port,) = free_ports(1)
    registry = start("registry-0", metrics_port=port)
    create = registry_service.CreateModelRequest(model="fraud", request_id="one")
    registry.models.CreateModel(create)
    registry.models.CreateModel(create)
    with pytest.raises(grpc.RpcError):
        registry.models.CreateModel(registry_service.CreateModelRequest(model="fraud", request_id="two"))
    registry.log.append(Message(topics.COMMANDS, b"key", b"\xff not a command"))
    registry.log.append(Message(topics.INBOX, b"key", b"\xff not an event"))
    until(lambda: exposition(port).total("headgate_dead_letters_total") == 2, "the dead letters")
    shown = exposition(port)
    for outcome in ("accepted", "repeated", "refused"):
        assert shown.value("headgate_commands_total", command="create_model", outcome=outcome) == 1
    assert shown.value("headgate_command_duration_seconds_count", command="create_model") == 3
    assert shown.value("headgate_refusals_total", code="already-exists") == 1
    assert shown.value("headgate_dead_letters_total", topic=topics.COMMANDS, code="malformed-command") == 1
    assert shown.value("headgate_facts_total", fact="ModelCreated") == 1
