"""The log of a journey: the embedded one, or its own Kafka broker, because journeys must not share topics."""

import pytest

from tests.kafka_broker import KafkaBroker


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest) -> str:
    """The address of the log for `headgate up`; empty for the embedded one."""
    if request.param == "sqlite":
        return ""
    broker: KafkaBroker = request.getfixturevalue("own_broker")
    return f"kafka://{broker.start().address}"
