"""The topics of a Kafka cluster: what each should be set to, how it is, and how it comes to be."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import RetriableError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from headgate.log.kafka.client import RECORD_BATCH_BYTES, in_our_words, patiently
from headgate.log.port import BROKER_DEFAULT, Topic, TopicState, refuse_mismatch

_PARTITIONS = "partitions"
_REPLICATION = "replication.factor"
_NOT_CONFIGS = (_PARTITIONS, _REPLICATION)


class SettingsNotShown(RetriableError):  # type: ignore[misc] # the library has no types
    """The topic is there and its settings are not: it is new, or we may not describe it."""


class TopicNotReady(RetriableError):  # type: ignore[misc]
    """The topic was created and the brokers do not all know it yet."""


def create(admin: KafkaAdminClient, topics: Sequence[Topic]) -> None:
    """Creates what is missing and waits until it can be used. Raises LogError for what cannot be created."""
    states = describe(admin, topics)
    refuse_mismatch(states)
    missing = [topic for topic, state in zip(topics, states, strict=True) if not state.exists]
    if missing:
        patiently("creating topics", lambda: _create(admin, missing))
        refuse_mismatch(patiently("creating topics", lambda: _ready(admin, topics)))


def describe(admin: KafkaAdminClient, topics: Iterable[Topic]) -> list[TopicState]:
    """Each topic as declared and as the cluster has it."""
    return patiently("describing topics", lambda: _describe(admin, list(topics)))


def partitions_of(admin: KafkaAdminClient, topic: str) -> int:
    """How many partitions the topic has; 0 when there is none."""
    return len(_found(admin, [topic])[topic])


def _create(admin: KafkaAdminClient, topics: Sequence[Topic]) -> None:
    answer = admin.create_topics({topic.name: _creation(topic) for topic in topics}, raise_errors=False)
    for created in answer["topics"]:
        error = for_code(created["error_code"])
        if created["error_code"] in (0, TopicAlreadyExistsError.errno):  # another process may be faster
            continue
        if issubclass(error, RetriableError):
            raise error(created["error_message"])
        raise in_our_words(f"creating {created['name']}", error(created["error_message"]))


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
    """The partitions of each topic; none of one that does not exist."""
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
        raise SettingsNotShown(f"{', '.join(hidden)}: may this user describe their configuration?")
    return {name: {setting: str(described[name][setting]["value"]) for setting in described[name]} for name in wanted}


def _creation(topic: Topic) -> dict[str, Any]:
    settings = declared_settings(topic)
    return {
        "num_partitions": topic.partitions,
        "replication_factor": topic.replication,
        "configs": {name: value for name, value in settings.items() if name not in _NOT_CONFIGS},
    }


def declared_settings(topic: Topic) -> dict[str, str]:
    """What the topic is declared as, in Kafka's words; what is left to the brokers is left out."""
    settings = {
        _PARTITIONS: str(topic.partitions),
        "cleanup.policy": "delete",
        "max.message.bytes": str(RECORD_BATCH_BYTES),
        "message.timestamp.type": "LogAppendTime",  # never runs backwards, so that times can be looked up
        "retention.bytes": "-1",
        "retention.ms": str(topic.retention_ms),
    }
    if topic.replication != BROKER_DEFAULT:
        settings[_REPLICATION] = str(topic.replication)
    if topic.min_insync != BROKER_DEFAULT:
        settings["min.insync.replicas"] = str(topic.min_insync)
    return settings
