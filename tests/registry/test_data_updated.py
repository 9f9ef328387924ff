"""An event about new data makes a version of each model that depends on it."""

from headgate.log import topics
from headgate.log.port import Message
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from tests.registry.conftest import Running
from tests.registry.test_inbox import binary, data, wait_for
from tests.registry.waiting import commit
from tests.waiting import until

UPDATED = "headgate.data.updated.v1"
ROWS, OLD, NEW = "s3://datasets/rows.csv", "a" * 64, "b" * 64


def send(registry: Running, id_: str, **payload: object) -> None:
    command = commands.Command(command_id=id_, stream="models/fraud", actor="trainer-0", **payload)
    registry.log.append(Message(topics.COMMANDS, b"models/fraud", command.SerializeToString()))


def version(registry: Running, number: int) -> resources.Version:
    return registry.models.GetVersion(registry_service.GetVersionRequest(name=f"models/fraud/versions/{number}"))


def with_tested_version(registry: Running) -> None:
    """Version 1, whose configuration names the data by its old digest."""
    registry.log.append(binary("1", data(1)))
    wait_for(registry, 1)
    send(registry, "start", start_testing=commands.StartTesting(version=1, attempt=1, worker="t", lease_ms=600_000))
    declared = configuration.ModelConfiguration(
        model="fraud", task="binary", data=[configuration.DataFile(name="rows", uri=ROWS, sha256=OLD)]
    )
    tested = facts.CodeTested(version=1, attempt=1, passed=True, configuration=declared)
    send(registry, "tested", report_code_tested=commands.ReportCodeTested(fact=tested))
    until(lambda: version(registry, 1).HasField("configuration"), "the configuration of version 1")


def test_new_data_makes_a_version_of_the_same_commit_with_the_new_digest(registry: Running) -> None:
    with_tested_version(registry)
    event = {"uri": ROWS, "sha256": NEW}
    for _ in range(2):
        registry.log.append(binary("2", event, type=UPDATED))
    wait_for(registry, 1, 1)
    made = version(registry, 2)
    assert (made.commit, made.label) == (commit(1), "created")
    assert list(made.updated_data) == [configuration.UpdatedData(uri=ROWS, sha256=NEW)]
    history = registry.models.ListHistory(registry_service.ListHistoryRequest(stream="models/fraud")).records
    assert (history[-1].record.actor, history[-1].record.causation_id) == ("/ci", "2")


def test_data_on_which_nothing_depends_and_events_that_cannot_be_used_become_dead_letters(registry: Running) -> None:
    with_tested_version(registry)
    events = (
        {"uri": "s3://datasets/other.csv", "sha256": NEW},
        {"uri": ROWS, "sha256": "B"},
        {"uri": [], "sha256": NEW},
        {"uri": ROWS},
    )
    for number, event in enumerate(events, 2):
        registry.log.append(binary(str(number), event, type=UPDATED))
    letters = registry.dead_letters(4)
    assert [letter.code for letter in letters] == ["nothing-depends", "bad-data", "bad-data", "bad-data"]
    assert [letter.reason for letter in letters] == [
        "uri: the newest version of no model names this place with another SHA-256",
        "data.sha256: a SHA-256 has 64 hex digits in small letters",
        "data.uri: expected text, got a list",
        "data.sha256 is missing; give the SHA-256 of the new bytes, 64 hex digits in small letters",
    ]
