"""The log of a journey: the embedded one, and a Kafka broker of its own, for no two journeys share topics."""

import pytest

from tests.kafka_broker import KafkaBroker


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest) -> str:
    """What `headgate up` is told of its log; empty for the embedded one."""
    if request.param == "sqlite":
        return ""
    broker: KafkaBroker = request.getfixturevalue("own_broker")
    return f"kafka://{broker.start().address}"
