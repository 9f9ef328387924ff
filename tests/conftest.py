"""Fixtures of all tests."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis

from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import EventLog
from headgate.runtime.rpc import quiet
from tests.kafka_broker import ADDRESS_VARIABLE, VERSION, BrokerUnavailable, KafkaBroker
from tests.late import note_loaded
from tests.redis_server import RedisNotStarted, RedisServer, named_by_environment

Broker = TypeVar("Broker")

# A busy machine must not fail a property test, so examples have no time limit.
settings.register_profile("headgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headgate")


def pytest_report_header() -> str:
    """The version of Kafka for the tests that start a broker."""
    return f"kafka: {VERSION}"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What collection makes stays to the end, so the garbage collector passes over it: else a tenth of the CPU time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a parallel run, files with the longest time limits come first, so that none of them is left at the end."""
    if not hasattr(config, "workerinput"):
        return
    limits: dict[Path, float] = {}
    for item in items:
        limits[item.path] = max(limits.get(item.path, 0.0), _own_limit_seconds(item))
    items.sort(key=lambda item: -limits[item.path])


def pytest_collection_finish(session: pytest.Session) -> None:
    note_loaded(session.config)


def _own_limit_seconds(item: pytest.Item) -> float:
    """The test's own limit, from pytest.mark.timeout; 0 without one."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


@pytest.fixture(scope="session", autouse=True)
def short_quiet() -> Iterator[None]:
    """The servers of this process wait less long for a last call, because hundreds of them stop one after the other."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(quiet, "QUIET_SECONDS", 0.02)
        yield


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    """An embedded log with all topics. Some folders have a `log` of their own."""
    log = open_log(f"sqlite://{tmp_path}/log.db")
    log.create_topics(topics.TOPICS)
    yield log
    log.close()


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[str]:
    """The address (host:port) of a real Kafka broker. The environment names it, or the tests start it."""
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
    """A broker for this test alone, which may fill, kill or restart it. It is not started yet."""
    broker = available(KafkaBroker)
    try:
        yield broker
    finally:
        broker.close()


def available(make: Callable[[], Broker]) -> Broker:
    """The result of `make`. When no broker can run here, the test is skipped, or fails in CI."""
    try:
        return make()
    except BrokerUnavailable as missing:
        if os.environ.get("CI"):
            pytest.fail(f"Kafka adapter: {missing}")
        pytest.skip(f"Kafka adapter not tested: {missing}")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The address of a real Redis server. The environment names it, or the tests start it."""
    if named := named_by_environment():
        yield named
        return
    with redis_available() as server:
        yield server.url


@pytest.fixture
def redis_server(redis_url: str) -> str:
    """The address of an empty Redis server."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A running server for this test alone, which may fill, kill or freeze it."""
    with redis_available() as server:
        yield server


def redis_available(*options: str) -> RedisServer:
    """A server that is not started yet. When none can run here, the test is skipped, or fails in CI."""
    try:
        return RedisServer(*options)
    except RedisNotStarted as missing:
        if os.environ.get("CI"):
            pytest.fail(f"Redis view: {missing}")
        pytest.skip(f"Redis view not tested: {missing}")
