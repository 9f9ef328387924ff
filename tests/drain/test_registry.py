"""A registry that gets SIGTERM: no accepted command is lost or executed twice, and the registry leaves its group."""

from collections import deque
from pathlib import Path

import grpc
import pytest

from headgate.lifecycle.fold import Fold
from headgate.lifecycle.replay import fold_all
from headgate.log import topics
from headgate.log.port import Message, Record
from headgate.log.sqlite.log import SqliteLog
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from tests.drain.processes import Installation
from tests.metrics.exposed import until

COMMANDS = 400
CALLS = 200


def facts(installation: Installation) -> int:
    return sum(installation.log.end(topics.LIFECYCLE).values())


def test_calls_in_progress_are_answered_and_the_commands_of_the_topic_are_executed_once(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    with installation.running("registry") as first:
        first.await_ready()
        installation.log.append_all([command(number) for number in range(COMMANDS)])
        stub = registry_service_grpc.RegistryServiceStub(first.channel)
        watch = stub.WatchHistory(registry_service.WatchHistoryRequest())
        next(iter(watch))
        calls = [
            stub.CreateModel.future(registry_service.CreateModelRequest(model=f"called-{n}")) for n in range(CALLS)
        ]
        calls[0].result()
        first.terminate()
        assert first.exit_code()[0] == 0
        with pytest.raises(grpc.RpcError) as ended:
            deque(watch)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        answered = [number for number, call in enumerate(calls) if call.exception() is None]
        assert {call.code() for call in calls} <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        done = installation.log.committed(topics.COMMANDS, "registry")
    handled = sum(name.startswith("sent-") for name in fold_all(installation.log).models)
    assert sum(done.values()) == handled, "the offsets of all executed commands are committed"

    assert left_to_others(tmp_path / "log.db") == COMMANDS - handled, "the registry has left the group"

    with installation.running("registry") as second:
        second.await_ready()
        until(
            lambda: installation.log.committed(topics.COMMANDS, "registry") == installation.log.end(topics.COMMANDS),
            "the rest",
        )
    fold: Fold = fold_all(installation.log)
    assert {f"sent-{number}" for number in range(COMMANDS)} <= fold.models.keys()
    assert {f"called-{number}" for number in answered} <= fold.models.keys()
    assert (fold.revision, fold.void_records) == (len(fold.models), 0)
    installation.log.close()


def left_to_others(path: Path) -> int:
    """The records that a new member of the group gets. It would wait an hour for a member that has not left."""
    log = SqliteLog(path, session_seconds=3_600)
    with log.consumer(topics.COMMANDS, "registry", "probe") as probe:
        found: list[Record] = []
        while records := probe.poll(1.0):
            found += records
    log.close()
    return len(found)


def command(number: int) -> Message:
    stream = f"models/sent-{number}"
    create = commands.Command(command_id=f"c{number}", stream=stream, actor="test", create_model=commands.CreateModel())
    return Message(topics.COMMANDS, stream.encode(), create.SerializeToString())
