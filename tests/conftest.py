"""Fixtures of the whole suite."""

import os
from collections.abc import Iterator

import pytest

from tests.kafka_broker import ADDRESS_VARIABLE, BrokerUnavailable, KafkaBroker


def pytest_configure(config: pytest.Config) -> None:
    # kafka-python reads its protocol's schemas in a way that Python 3.11 deprecates and 3.13 took back.
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    # It also leaves the socket of a refused connection to the garbage collector, which comes at any time.
    config.addinivalue_line("filterwarnings", r"ignore:unclosed <socket.*laddr=..0\.0\.0\.0:ResourceWarning")
    # Grafana's SDK would have its own format of tomorrow; every Grafana reads the classic one.
    config.addinivalue_line("filterwarnings", "ignore:Prefer using dashboardv2:DeprecationWarning")


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[str]:
    """The address of a real Kafka broker, host:port: the one named by the environment, or one of our own."""
    named = os.environ.get(ADDRESS_VARIABLE)
    if named:
        yield named
        return
    try:
        broker = KafkaBroker().start()
    except BrokerUnavailable as missing:
        if os.environ.get("CI"):
            pytest.fail(f"Kafka adapter: {missing}")
        pytest.skip(f"Kafka adapter not tested: {missing}")
    try:
        yield broker.address
    finally:
        broker.close()
