"""The address and users of k8s/components/strimzi on a real broker: each service has the rights it needs, no more."""

import time

import pytest

from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.partitioner import partition_of
from headgate.log.port import EventLog, LogError, Message
from tests.conftest import available
from tests.deploy.changes import variable
from tests.deploy.cluster_policies import ACCESS
from tests.deploy.manifests import objects
from tests.deploy.pod_policies import of_kind
from tests.deploy.secured_broker import SecuredBroker
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.kafka

ALL = [topic.name for topic in topics.TOPICS]
KEY = b"models/fraud"


TEMPLATE = str(variable(objects("prod"), "registry", "HEADGATE_LOG")["value"])


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = available(lambda: SecuredBroker(tmp_path_factory.mktemp("secrets"), ACCESS))
    try:
        running.start()
        log = open_log(f"kafka://{running.address}")
        log.create_topics(topics.TOPICS)
        log.append_all([Message(topic, KEY, b"value") for topic in ALL])
        log.close()
        running.grant(of_kind(objects("prod"), "KafkaUser"))
        yield running
    finally:
        running.close()


@pytest.fixture(params=ACCESS)
def user(request, broker):
    log = open_log(broker.url(request.param, TEMPLATE))
    yield request.param, log
    log.close()


def may_read(log: EventLog, topic: str) -> bool:
    """Reads the partition with a record. An empty partition is not fetched, so the broker would refuse nothing."""
    try:
        return bool(log.read(topic, partition_of(KEY, topics.TOPICS[0].partitions), 0))
    except LogError as error:
        if "AuthorizationFailed" not in str(error):
            raise
        return False
    return True


def test_a_user_reads_and_writes_its_topics_and_reads_no_others(user):
    name, log = user
    reads, writes = ACCESS[name]
    log.create_topics(topics.TOPICS)  # like every service at its start: compares the topics with the declared ones
    log.append_all([Message(topic, KEY, b"value") for topic in writes])
    assert {topic for topic in ALL if may_read(log, topic)} == reads


def test_a_user_writes_no_other_topic(user):
    name, log = user
    forbidden = topics.INBOX if name == "registry" else topics.LIFECYCLE
    with pytest.raises(LogError, match="AuthorizationFailed"):
        log.append(Message(forbidden, KEY, b"value"))


def test_the_registry_is_a_member_of_its_groups(broker):
    log = open_log(broker.url("registry", TEMPLATE))
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        with log.consumer(topics.COMMANDS, topics.REGISTRY_GROUP, "registry-0") as consumer:
            records = []
            while not records and time.monotonic() < deadline:
                records = consumer.poll(1.0)
            consumer.commit(records)
        assert log.committed(topics.COMMANDS, topics.REGISTRY_GROUP)
    finally:
        log.close()


def test_another_service_cannot_join_the_registrys_groups(broker):
    log = open_log(broker.url("trainer", TEMPLATE))
    try:
        with (
            pytest.raises(LogError, match="Authorization"),
            log.consumer(topics.COMMANDS, topics.REGISTRY_GROUP, "intruder") as consumer,
        ):
            consumer.poll(1.0)
    finally:
        log.close()
