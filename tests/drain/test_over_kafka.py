"""A drain over Kafka: members leave their groups, and a dead broker does not delay the end of a service."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from headgate.log import topics
from headgate.runtime.observability.metric import EVERY
from tests.drain.processes import Installation
from tests.kafka_admin import members_of
from tests.kafka_broker import KafkaBroker

GRACE_SECONDS = 4.0
"""Of the services that end without the broker, which take most of it."""
END_SECONDS = 5.0
"""After its grace a process needs a moment to end, and more on a busy machine."""
GROUPS = {f"registry.{topic}": 1 for topic in (topics.COMMANDS, topics.INBOX)}

pytestmark = pytest.mark.kafka


def test_members_leave_their_groups_and_services_end_in_time_without_the_broker(
    own_broker: KafkaBroker, tmp_path: Path
) -> None:
    own_broker.start()
    installation = Installation(tmp_path, f"kafka://{own_broker.address}")
    with ExitStack() as stack:
        running = {
            service: stack.enter_context(installation.running(service, grace_seconds=GRACE_SECONDS))
            for service in EVERY
            if service != "registry"
        }
        running["registry"] = stack.enter_context(installation.running("registry"))
        other = stack.enter_context(installation.running("registry", name="registry-1"))
        for process in (*running.values(), other):
            process.await_ready()
        assert all(members_of(own_broker.address, list(GROUPS)).values()), "both registries are members of the groups"
        for process in (running.pop("registry"), other):
            process.terminate()
            assert process.exit_code()[0] == 0
        assert members_of(own_broker.address, list(GROUPS)) == dict.fromkeys(GROUPS, 0)
        own_broker.kill()
        for process in running.values():
            process.terminate()
        for service, process in running.items():
            code, seconds = process.exit_code()
            assert (service, code, seconds < GRACE_SECONDS + END_SECONDS) == (service, 0, True)
    installation.log.close()
