"""Bad records in every topic of a running Headgate: the services keep working, and each record is buried once."""

import json
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from examples.driver import Running
from headgate.dead_letters.settling import REPLAY_HEADER
from headgate.log import topics
from headgate.log.kafka.workarounds.header_names import RawName
from headgate.log.open import open_log
from headgate.log.port import EventLog, Headers, Message
from headgate.log.scan import scan_all
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import telemetry_pb2 as telemetry
from tests import waiting
from tests.kafka_broker import KafkaBroker
from tests.registry.test_inbox import data, structured
from tests.waiting import PATIENCE_SECONDS

KEY = b"models/fraud"
NO_HEADERS: Headers = ()
BAD_HEADERS: Headers = (("ce_id", b"\xff\xfe"), ("content-type", b"\x80"), ("ce_id", b"again"))
RAW_NAME: Headers = ((RawName(b"\xff\xfe"), b"1"),)
HUGE_HEADERS: Headers = (("ce_id", b"x" * 850_000),)

FACT = facts.LifecycleRecord(stream="models/fraud", sequence=1, model_created=facts.ModelCreated())
COMMAND = commands.Command(command_id="1", stream="models/fraud", create_model=commands.CreateModel())
BAD_EVIDENCE = telemetry.TelemetryRecord(
    source="g", boot_id="b", sequence=1, evidence=telemetry.Evidence(environment="production", model="fraud", release=1)
)
BAD_EVIDENCE.evidence.arms.add(requests=-(2**63), keys=2**63 - 1)
FAR_FACT = facts.LifecycleRecord(stream="models/fraud", sequence=2**63 - 1, model_created=facts.ModelCreated())

WRONG_KIND = {
    topics.INBOX: COMMAND,
    topics.COMMANDS: FACT,
    topics.LIFECYCLE: COMMAND,
    topics.TELEMETRY: COMMAND,
    topics.DEAD_LETTERS: FACT,
}
IMPOSSIBLE = {topics.LIFECYCLE: FAR_FACT, topics.TELEMETRY: BAD_EVIDENCE}
OWNER = {
    topics.INBOX: "registry-0",
    topics.COMMANDS: "registry-0",
    topics.LIFECYCLE: "registry-0",
    topics.TELEMETRY: "deployer-0",
}


def bad_records(topic: str, on_kafka: bool) -> list[Message]:
    values: list[tuple[bytes | None, Headers]] = [
        (b"\xff\xff\xff", NO_HEADERS),
        (None, NO_HEADERS),
        (b"", NO_HEADERS),
        (b"\xff", BAD_HEADERS),
        (b"\xff", HUGE_HEADERS),
        (WRONG_KIND.get(topic, COMMAND).SerializeToString(), NO_HEADERS),
    ]
    if on_kafka:
        values.append((b"\xff", RAW_NAME))
    if topic in IMPOSSIBLE:
        values.append((IMPOSSIBLE[topic].SerializeToString(), NO_HEADERS))
    return [Message(topic, KEY, value, named) for value, named in values]


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/log.db"
    broker: KafkaBroker = request.getfixturevalue("own_broker")
    return f"kafka://{broker.start().address}"


def letters(log: EventLog, topic: str) -> list[commands.DeadLetter]:
    found = []
    for record in scan_all(log, topics.DEAD_LETTERS):
        try:
            letter = commands.DeadLetter.FromString(record.value or b"")
        except Exception:  # noqa: BLE001 - the topic also has the bad records of this test
            continue
        if letter.topic == topic:
            found.append(letter)
    return found


until = partial(waiting.until, pause_seconds=0.1)


def has_fact(running: Running, stream: str, fact: str) -> bool:
    try:
        records = running.stubs.registry.ListHistory(
            registry_service.ListHistoryRequest(stream=stream), timeout=PATIENCE_SECONDS
        ).records
    except Exception:  # noqa: BLE001 - the stream does not exist yet
        return False
    return any(record.record.WhichOneof("fact") == fact for record in records)


@pytest.mark.timeout(300)
def test_a_bad_record_in_any_topic_is_buried_once_and_stops_no_service(log_url: str, tmp_path: Path) -> None:
    log = open_log(log_url)
    log.create_topics(topics.TOPICS)
    appended = {topic.name: bad_records(topic.name, log_url.startswith("kafka")) for topic in topics.TOPICS}
    places: dict[tuple[str, int, int], Message] = {}
    with Running(tmp_path, log_url, {"HEADGATE_LOG": log_url}, ["--insecure"]) as running:
        for messages in appended.values():
            for message in messages:
                position = log.append(message)
                places[position.topic, position.partition, position.offset] = message
        await_burials(log, appended)
        # After the bad records the registry still decides, the trainer works, and the gateway and the deployer answer.
        assert_works(running, log, "first")
        replay_one(running, log)
        if log_url.startswith("sqlite"):
            # A restart reads the letters from the log again; one adapter is enough for this. From now on callers need
            # tokens, as in a folder that an older version has made.
            running.stop()
            running.options = []
            running.start()
            assert_works(running, log, "second")
        listed = json.loads(running.command("log", "dead-letters", "list", "-o", "json", "-n", "1000"))
        running.command("replay")
    for topic, owner in OWNER.items():
        found = [letter for letter in letters(log, topic) if not is_replayed(letter)]
        assert Counter((letter.partition, letter.offset) for letter in found) == Counter(
            (partition, offset) for name, partition, offset in places if name == topic
        )
        for letter in found:
            check_letter(letter, places[topic, letter.partition, letter.offset], owner)
    of_the_letters = [row for row in listed if row["topic"] == topics.DEAD_LETTERS]
    assert {row["code"] for row in of_the_letters} == {"not-a-letter"}
    assert len(of_the_letters) == len(appended[topics.DEAD_LETTERS])
    log.close()


def await_burials(log: EventLog, appended: dict[str, list[Message]]) -> None:
    for topic in OWNER:
        until(lambda name=topic: len(letters(log, name)) >= len(appended[name]), f"the letters of {topic}")


def replay_one(running: Running, log: EventLog) -> None:
    """Replays a buried record twice. It is appended once, is still bad, and is buried again."""
    rows = json.loads(running.command("log", "dead-letters", "list", "--topic", "commands", "-o", "json"))
    for _ in range(2):
        running.command("log", "dead-letters", "replay", rows[0]["id"], "--reason", "a test")

    def again() -> list[commands.DeadLetter]:
        return [letter for letter in letters(log, topics.COMMANDS) if is_replayed(letter)]

    until(lambda: bool(again()), "the new letter")
    (letter,) = again()
    assert letter.headers[-1].value == rows[0]["id"].encode()


def is_replayed(letter: commands.DeadLetter) -> bool:
    return any(header.name == REPLAY_HEADER for header in letter.headers)


def check_letter(letter: commands.DeadLetter, message: Message, owner: str) -> None:
    assert letter.value == (message.value or b"")
    assert letter.null_value == (message.value is None)
    assert letter.key == message.key
    assert [(header.name, header.value) for header in letter.headers] == list(message.headers)
    assert letter.code
    assert letter.reason
    assert letter.service == owner


def assert_works(running: Running, log: EventLog, model: str) -> None:
    # An event asks for the version, which needs no token.
    log.append(structured(model, data=data(1, model=model, repository=str(running.folder / "nowhere"))))
    until(lambda: has_fact(running, f"models/{model}", "training_failed"), f"{model} fails")
    ports = json.loads((running.folder / ".headgate" / "up.json").read_text())["ports"]
    assert set(ports) >= {"registry", "trainer", "evaluator", "deployer", "gateway"}
