"""The log of the journeys that run on Kafka. The others run on the embedded log, as `headgate up` does by itself."""

import pytest

from tests.kafka_broker import KafkaBroker


@pytest.fixture
def kafka_log(own_broker: KafkaBroker) -> str:
    """The address of a broker for one journey alone, because journeys must not share topics."""
    return f"kafka://{own_broker.start().address}"
