"""Who may read and write which topic: the one table from which Kafka's rights are made.

Each service is one principal. Only the registry may write facts, so nobody else can, whatever their code does.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from headgate.log.topics import (
    COMMANDS,
    DEAD_LETTERS,
    INBOX,
    LIFECYCLE,
    PREDICTIONS,
    REFUSALS,
    REGISTRY_GROUP,
    TELEMETRY,
    TOPICS,
)

PREFIX = "headgate."
"""How the name of each topic begins."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What one principal may do with the log. `about` says who it is, for people."""

    about: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """How the names of its consumer groups begin."""


class Acl(NamedTuple):
    """One right: the operations on topics or groups, by a whole name or by how their names begin."""

    resource: str
    """topic or group."""
    name: str
    is_prefix: bool
    operations: tuple[str, ...]


RIGHTS: Mapping[str, Rights] = {
    "registry": Rights(
        "It alone writes facts. It reads the dead letters too, so that a restart buries no record twice.",
        reads=(COMMANDS, INBOX, LIFECYCLE, DEAD_LETTERS),
        writes=(LIFECYCLE, REFUSALS, TELEMETRY, DEAD_LETTERS),
        groups=(f"{REGISTRY_GROUP}.",),
    ),
    "trainer": Rights(
        "It asks for facts by commands, and sends heartbeats and epochs.",
        reads=(LIFECYCLE, TELEMETRY),
        writes=(COMMANDS, TELEMETRY, DEAD_LETTERS),
    ),
    "evaluator": Rights(
        "It asks for facts by commands, and sends heartbeats.",
        reads=(LIFECYCLE, TELEMETRY),
        writes=(COMMANDS, TELEMETRY, DEAD_LETTERS),
    ),
    "deployer": Rights(
        "It asks for facts by commands. It buries the bad records of telemetry, each once.",
        reads=(LIFECYCLE, TELEMETRY, DEAD_LETTERS),
        writes=(COMMANDS, TELEMETRY, DEAD_LETTERS),
    ),
    "gateway": Rights("It reports counts, and samples of predictions.", (LIFECYCLE,), (TELEMETRY, PREDICTIONS)),
    "portal": Rights("It reads facts, and writes what webhooks tell of.", (LIFECYCLE,), (TELEMETRY, INBOX)),
    "publisher": Rights("An upstream system: events about commits and data, and nothing else.", writes=(INBOX,)),
    "operator": Rights(
        "People with `headgate log`, `doctor` and `replay`, who write where dead letters are replayed.",
        reads=tuple(topic.name for topic in TOPICS),
        writes=(INBOX, COMMANDS, TELEMETRY, DEAD_LETTERS),
    ),
}
"""The rights of each principal, by its name."""


def acls(rights: Rights) -> Iterator[Acl]:
    """The rights in the form of Kafka. Each principal describes all topics: at its start it compares their settings."""
    yield Acl("topic", PREFIX, True, ("Describe", "DescribeConfigs"))
    for topic in (topic.name for topic in TOPICS):
        operations = [
            operation for operation, topics in (("Read", rights.reads), ("Write", rights.writes)) if topic in topics
        ]
        if operations:
            yield Acl("topic", topic, False, tuple(operations))
    for group in rights.groups:
        yield Acl("group", group, True, ("Read", "Describe"))


def commands(name: str, principal: str) -> Iterator[str]:
    """The lines of kafka-acls.sh that give a principal its rights. They take the options of ACLS_OPTIONS."""
    for acl in acls(RIGHTS[name]):
        operations = " ".join(f"--operation {operation}" for operation in acl.operations)
        pattern = "prefixed" if acl.is_prefix else "literal"
        yield (
            f"kafka-acls.sh $ACLS_OPTIONS --add --allow-principal {shlex.quote(principal)} {operations}"
            f" --{acl.resource} {acl.name} --resource-pattern-type {pattern}"
        )


def strimzi_user(name: str, cluster: str) -> str:
    """The KafkaUser of a principal, as YAML. Strimzi puts its certificate in the Secret of the same name."""
    lines = [
        f"# {RIGHTS[name].about}",
        "apiVersion: kafka.strimzi.io/v1",
        "kind: KafkaUser",
        "metadata:",
        f"  name: {name}",
        f"  labels: {{strimzi.io/cluster: {cluster}}}",
        "spec:",
        "  authentication: {type: tls}",
        "  authorization:",
        "    type: simple",
        "    acls:",
    ]
    for acl in acls(RIGHTS[name]):
        pattern = "prefix" if acl.is_prefix else "literal"
        lines += [
            f"      - resource: {{type: {acl.resource}, name: {acl.name}, patternType: {pattern}}}",
            f"        operations: [{', '.join(acl.operations)}]",
        ]
    return "\n".join(lines)
