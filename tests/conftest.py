"""Fixtures of the whole suite."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis

from tests.kafka_broker import ADDRESS_VARIABLE, VERSION, BrokerUnavailable, KafkaBroker
from tests.redis_server import RedisNotStarted, RedisServer, named_by_environment

Broker = TypeVar("Broker")

# A busy machine must not decide whether a property holds.
settings.register_profile("headgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headgate")


def pytest_report_header() -> str:
    """Which Kafka the tests that start a broker run on."""
    return f"kafka: {VERSION}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side, the files whose tests may take longest come first: none is left when the others are done."""
    if not hasattr(config, "workerinput"):
        return
    limits: dict[Path, float] = {}
    for item in items:
        limits[item.path] = max(limits.get(item.path, 0.0), _own_limit_seconds(item))
    items.sort(key=lambda item: -limits[item.path])


def _own_limit_seconds(item: pytest.Item) -> float:
    """What the test asks for with pytest.mark.timeout; 0 when the limit of all is enough."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[str]:
    """The address of a real Kafka broker, host:port: the one named by the environment, or one of our own."""
    named = os.environ.get(ADDRESS_VARIABLE)
    if named:
        yield named
        return
    broker = available(lambda: KafkaBroker().start())
    try:
        yield broker.address
    finally:
        broker.close()


@pytest.fixture
def own_broker() -> Iterator[KafkaBroker]:
    """A broker that nobody else uses, for a test that fills, kills or starts it; it does not run yet."""
    broker = available(KafkaBroker)
    try:
        yield broker
    finally:
        broker.close()


def available(make: Callable[[], Broker]) -> Broker:
    """What `make` gives; skips, and fails in CI, when no broker can run here."""
    try:
        return make()
    except BrokerUnavailable as missing:
        if os.environ.get("CI"):
            pytest.fail(f"Kafka adapter: {missing}")
        pytest.skip(f"Kafka adapter not tested: {missing}")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The address of a real Redis server: the one named by the environment, or one of our own."""
    if named := named_by_environment():
        yield named
        return
    with redis_available() as server:
        yield server.url


@pytest.fixture
def redis_server(redis_url: str) -> str:
    """The address of a Redis server that holds nothing."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A running server that nobody else uses, for a test that fills, kills or freezes it."""
    with redis_available() as server:
        yield server


def redis_available(*options: str) -> RedisServer:
    """A server, not started yet; skips, and fails in CI, when none can run here."""
    try:
        return RedisServer(*options)
    except RedisNotStarted as missing:
        if os.environ.get("CI"):
            pytest.fail(f"Redis view: {missing}")
        pytest.skip(f"Redis view not tested: {missing}")
