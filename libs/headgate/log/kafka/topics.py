"""Creates the topics of a Kafka cluster, and compares their settings with the declared ones."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import RetriableError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from headgate.log.kafka.client import RECORD_BATCH_BYTES, retried, translate
from headgate.log.port import BROKER_DEFAULT, Topic, TopicState, refuse_mismatch

_PARTITIONS = "partitions"
_REPLICATION = "replication.factor"
_NOT_CONFIGS = (_PARTITIONS, _REPLICATION)


class SettingsNotShown(RetriableError):  # type: ignore[misc] # the library has no types
    """The topic exists, but the broker does not show its settings: it is new, or this user may not describe it."""


class TopicNotReady(RetriableError):  # type: ignore[misc]
    """The topic was created, but not all brokers know it yet."""


def create(admin: KafkaAdminClient, topics: Sequence[Topic]) -> None:
    """Creates the missing topics and waits until they can be used. Raises TopicMismatch, LogError."""
    states = describe(admin, topics)
    refuse_mismatch(states)
    missing = [topic for topic, state in zip(topics, states, strict=True) if not state.exists]
    if missing:
        retried("creating topics", lambda: _create(admin, missing))
        refuse_mismatch(retried("creating topics", lambda: _ready(admin, topics)))


def describe(admin: KafkaAdminClient, topics: Iterable[Topic]) -> list[TopicState]:
    """The declared and the found settings of each topic."""
    return retried("describing topics", lambda: _describe(admin, list(topics)))


def partitions_of(admin: KafkaAdminClient, topic: str) -> int:
    """The number of partitions of the topic; 0 when it does not exist."""
    return len(_found(admin, [topic])[topic])


def _create(admin: KafkaAdminClient, topics: Sequence[Topic]) -> None:
    answer = admin.create_topics({topic.name: _creation(topic) for topic in topics}, raise_errors=False)
    for created in answer["topics"]:
        error = for_code(created["error_code"])
        if created["error_code"] in (0, TopicAlreadyExistsError.errno):  # another process may have created it
            continue
        if issubclass(error, RetriableError):
            raise error(created["error_message"])
        raise translate(f"creating {created['name']}", error(created["error_message"]))


def _ready(admin: KafkaAdminClient, topics: Sequence[Topic]) -> list[TopicState]:
    states = _describe(admin, topics)
    if missing := [state.name for state in states if not state.exists]:
        raise TopicNotReady(", ".join(missing))
    return states


def _describe(admin: KafkaAdminClient, topics: Sequence[Topic]) -> list[TopicState]:
    declared = {topic.name: declared_settings(topic) for topic in topics}
    partitions = _found(admin, list(declared))
    configs = _configs(admin, {name: declared[name] for name in declared if partitions[name]})
    return [
        TopicState(
            name,
            settings,
            {
                _PARTITIONS: str(len(partitions[name])),
                _REPLICATION: str(min(len(each["replica_nodes"]) for each in partitions[name])),
                **configs[name],
            }
            if partitions[name]
            else {},
        )
        for name, settings in declared.items()
    ]


def _found(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, list[Any]]:
    """The partitions of each topic. Empty for a topic that does not exist."""
    found = {}
    for topic in admin.describe_topics(list(names)):
        if topic["error_code"] not in (0, UnknownTopicOrPartitionError.errno):
            raise for_code(topic["error_code"])(topic["name"])
        found[topic["name"]] = topic["partitions"]
    return found


def _configs(admin: KafkaAdminClient, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    if not wanted:
        return {}
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name, {each: None for each in settings if each not in _NOT_CONFIGS})
        for name, settings in wanted.items()
    ]
    described = admin.describe_configs(resources, config_filter="all")["topic"]
    if hidden := [name for name in wanted if not described.get(name)]:
        raise SettingsNotShown(
            f"the broker does not show the settings of {', '.join(hidden)}: may this user describe them?"
        )
    return {name: {setting: str(described[name][setting]["value"]) for setting in described[name]} for name in wanted}


def _creation(topic: Topic) -> dict[str, Any]:
    settings = declared_settings(topic)
    return {
        "num_partitions": topic.partitions,
        "replication_factor": topic.replication,
        "configs": {name: value for name, value in settings.items() if name not in _NOT_CONFIGS},
    }


def declared_settings(topic: Topic) -> dict[str, str]:
    """The declared settings under Kafka's names, without those that the brokers choose."""
    settings = {
        _PARTITIONS: str(topic.partitions),
        "cleanup.policy": "delete",
        "max.message.bytes": str(RECORD_BATCH_BYTES),
        "message.timestamp.type": "LogAppendTime",  # such times never decrease, so they can be searched
        "retention.bytes": "-1",
        "retention.ms": str(topic.retention_ms),
    }
    if topic.replication != BROKER_DEFAULT:
        settings[_REPLICATION] = str(topic.replication)
    if topic.min_insync != BROKER_DEFAULT:
        settings["min.insync.replicas"] = str(topic.min_insync)
    return settings
