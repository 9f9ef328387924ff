"""Changes to a broker's groups and topics that Headgate does not make itself."""

import threading
import time
from collections.abc import Mapping, Sequence

from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove

from tests.waiting import PATIENCE_SECONDS


def members_of(address: str, groups: Sequence[str]) -> dict[str, int]:
    """The number of members of each consumer group."""
    admin = KafkaAdminClient(bootstrap_servers=address)
    found = admin.describe_groups(list(groups))
    admin.close()
    return {name: len(group["members"]) for name, group in found.items()}


def remove_member(address: str, group: str, name: str) -> None:
    """Removes a member from its group, as the broker does at the end of a session."""
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.remove_group_members(group, [MemberToRemove("", name, "test")])
    admin.close()


def grow_topics(address: str, partitions: Mapping[str, int]) -> None:
    """Adds partitions to topics, up to the given numbers. Returns when the broker shows them."""
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_partitions(dict(partitions))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(list(partitions))} != partitions:
        assert time.monotonic() < deadline, "the partitions were never added"
        threading.Event().wait(0.05)
    admin.close()
