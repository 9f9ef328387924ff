"""`headgate topics` on both kinds of log: it makes missing topics and never changes existing ones."""

import json
import shlex
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import Topic
from headgate.log.rights import RIGHTS
from headgate.log.sqlite.log import SqliteLog
from headgate.log.startup import await_log
from tests.cli.running import Headgate, run_headgate
from tests.kafka_admin import grow_topics
from tests.kafka_broker import KafkaBroker

ROOT = Path(__file__).parents[2]
LIFECYCLE_FOR_EVER = {"topic": "headgate.lifecycle", "setting": "retention.ms", "declared": "-1", "found": "-1"}


@pytest.fixture
def headgate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Headgate:
    """Runs one command and returns its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    return partial(run_headgate, monkeypatch, capsys)


@pytest.mark.kafka
def test_topics_are_made_once_and_a_difference_is_refused_with_every_setting_named(
    headgate: Headgate, own_broker: KafkaBroker
) -> None:
    log = f"--log=kafka://{own_broker.start().address}"

    code, printed, _ = headgate(log, "topics", "apply", "--dry-run")
    assert (code, printed.count("would be created")) == (0, len(topics.TOPICS))
    code, _, printed = headgate(log, "topics", "apply", "--replication", "3")
    assert (code, "creating headgate.inbox" in printed, "only 1 broker(s) are registered" in printed) == (1, True, True)
    code, printed, _ = headgate(log, "topics", "apply", "--replication", "1", "--min-insync", "1")
    assert (code, printed.count(" created: ")) == (0, len(topics.TOPICS))
    assert "min.insync.replicas=1" in printed
    code, printed, _ = headgate(log, "topics", "apply")
    assert (code, printed.count("is as declared")) == (0, len(topics.TOPICS))
    code, printed, _ = headgate(log, "topics", "list", "-o", "json")
    assert code == 0
    assert LIFECYCLE_FOR_EVER in json.loads(printed)

    grow_topics(own_broker.address, {topics.INBOX: 13, topics.REFUSALS: 14})
    for command in ("apply", "list"):
        code, _, printed = headgate(log, "topics", command, "--replication", "3")
        assert code == 5
        assert "headgate.inbox: partitions is 13, declared is 12" in printed
        assert "headgate.refusals: partitions is 14, declared is 12" in printed
        assert printed.count("replication.factor is 1, declared is 3") == len(topics.TOPICS)


def test_the_topics_of_the_embedded_log_are_also_listed_and_compared(headgate: Headgate, tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/log.db"
    log = open_log(url)
    assert isinstance(log, SqliteLog)
    log.create_topics(topics.TOPICS[:2])
    log.close()
    code, printed, _ = headgate(f"--log={url}", "topics", "apply")
    assert (code, printed.count("is as declared"), printed.count(" created: ")) == (0, 2, len(topics.TOPICS) - 2)
    assert headgate(f"--log={url}", "topics", "list")[0] == 0
    code, _, printed = headgate(f"--log={url}", "topics", "apply", "--replication", "3")
    assert (code, "the embedded log keeps one copy" in printed) == (2, True)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_a_topic_that_is_not_declared_is_not_a_difference(
    headgate: Headgate, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """Earlier versions declared topics that no service used."""
    broker = request.getfixturevalue("own_broker").start() if kind == "kafka" else None
    url = f"kafka://{broker.address}" if broker else f"sqlite://{tmp_path}/log.db"
    with closing(open_log(url)) as log:
        log.create_topics([*topics.TOPICS, Topic("headgate.checkpoints", topics.FOR_EVER)])
    await_log(url, wait_seconds=0).close()
    for command in ("apply", "list"):
        code, printed, _ = headgate(f"--log={url}", "topics", command)
        assert (code, "headgate.checkpoints" in printed) == (0, False)


def test_a_min_insync_above_the_replication_is_refused(headgate: Headgate) -> None:
    code, _, printed = headgate("--log=kafka://nowhere:1", "topics", "apply", "--replication=2", "--min-insync=3")
    assert (code, "--min-insync is 3: at most the 2 copies" in printed) == (2, True)


def test_the_rights_are_printed_as_lines_of_kafkas_tool_and_only_the_registry_writes_facts(headgate: Headgate) -> None:
    code, printed, _ = headgate("topics", "acls")
    lines = [shlex.split(line) for line in printed.splitlines() if not line.startswith("#")]
    writers = {line[line.index("--allow-principal") + 1] for line in lines if {"Write", topics.LIFECYCLE} <= set(line)}
    assert (code, writers) == (0, {"User:registry"})
    assert {line[0] for line in lines} == {"kafka-acls.sh"}
    assert all(line.count("--resource-pattern-type") == 1 for line in lines)


def test_the_users_of_strimzi_in_the_manifests_are_those_of_the_table(headgate: Headgate) -> None:
    code, printed, _ = headgate("topics", "acls", "--form", "strimzi")
    manifest = (ROOT / "k8s/components/strimzi/users.yaml").read_text()
    assert (code, manifest.endswith(printed)) == (0, True), "write it again by `headgate topics acls --form strimzi`"
    code, printed, _ = headgate("topics", "acls", "--form", "strimzi", "--cluster", "mine")
    assert (code, printed.count("strimzi.io/cluster: mine")) == (0, len(RIGHTS))


def test_rights_are_given_to_principals_of_kafka_alone(headgate: Headgate, tmp_path: Path) -> None:
    code, printed, _ = headgate("topics", "acls", "--principal", "User:CN={name},O=it's me")
    assert (code, shlex.split(printed.splitlines()[2])[4]) == (0, "User:CN=registry,O=it's me")
    code, _, err = headgate("topics", "acls", "--principal", "User:me")
    assert (code, "expected a text with {name} in it" in err) == (2, True)
    code, _, err = headgate(f"--log=sqlite://{tmp_path}/log.db", "topics", "acls", "--apply")
    assert (code, "the embedded log has no users" in err) == (2, True)
