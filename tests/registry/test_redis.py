"""The registry with Redis beside it: lists come from the view, and from the fold as soon as Redis fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from redis import Redis

from headgate.runtime.settings import SettingsError
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from headgate.view.redis import layout
from headgate.view.redis import view as redis_view
from services.registry.app import build
from services.registry.settings import Settings
from tests.conftest import redis_available
from tests.metrics.exposed import text_of
from tests.redis_server import RedisServer
from tests.registry.conftest import Running
from tests.registry.test_servicer import create
from tests.waiting import PATIENCE_SECONDS, until

VIEW, FOLD = resources.READ_SOURCE_VIEW, resources.READ_SOURCE_FOLD
Start = Callable[..., Running]


def read(registry: Running, text: str = "") -> tuple[resources.ReadSource.ValueType, list[str]]:
    answer = registry.models.ListModels(registry_service.ListModelsRequest(filter=text))
    return answer.read.source, [model.name.removeprefix("models/") for model in answer.models]


def why_down(registry: Running) -> str:
    view = registry.registry._redis.view
    assert view is not None
    return view.writer.why_down


def until_view(registry: Running, models: list[str] | None = None) -> None:
    """Until lists come from the view; they then hold exactly these models, if any are given."""
    until(lambda: read(registry)[0] == VIEW, "lists to come from the view")
    if models is not None:
        until(lambda: read(registry) == (VIEW, models), "a list of the view")


@contextmanager
def traffic(registry: Running) -> Iterator[list[str]]:
    """Creates models and lists them, over and over; every list must hold all that was acknowledged before it."""
    made: list[str] = []
    stopping = threading.Event()

    def write() -> None:
        while not stopping.is_set():
            name = f"m{len(made):04d}"
            registry.models.CreateModel(registry_service.CreateModelRequest(model=name), timeout=PATIENCE_SECONDS)
            made.append(name)

    def list_all() -> None:
        while not stopping.is_set():
            wanted = list(made)
            request = registry_service.ListModelsRequest(page_size=1_000)
            found = [model.name for model in registry.models.ListModels(request, timeout=PATIENCE_SECONDS).models]
            assert found[: len(wanted)] == [f"models/{name}" for name in wanted]

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(each) for each in (write, list_all, list_all)]
        try:
            yield made
        finally:
            stopping.set()
    for each in running:
        each.result()


def some_more(made: list[str], count: int = 30) -> None:
    before = len(made)
    until(lambda: len(made) >= before + count or len(made) > 800, f"{count} more models")


def test_lists_come_from_the_view_and_hold_what_was_just_acknowledged(
    start: Start, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_view, "KEEP_UP_SECONDS", 10.0)
    registry = start("registry-0", redis=redis_server)
    until_view(registry)
    for number in range(20):
        registry.models.CreateModel(
            registry_service.CreateModelRequest(model=f"m{number:02d}", labels={"n": str(number % 2)})
        )
        source, found = read(registry, f"labels.n = {number % 2}")
        assert (source, found) == (VIEW, [f"m{each:02d}" for each in range(number + 1) if each % 2 == number % 2])
    create(registry, 1, model="m00")
    answer = registry.models.ListVersions(registry_service.ListVersionsRequest(parent="models/-"))
    assert (answer.read.source, [version.name for version in answer.versions]) == (VIEW, ["models/m00/versions/1"])


def test_flushall_under_load_loses_nothing(start: Start, redis_server: str) -> None:
    registry = start("registry-0", redis=redis_server)
    until_view(registry)
    with traffic(registry) as made, Redis.from_url(redis_server) as client:
        for _ in range(4):
            some_more(made)
            client.flushall()
    until_view(registry, made[:100])


def test_a_killed_redis_stops_nobody_and_is_used_again_when_it_is_back(start: Start, own_redis: RedisServer) -> None:
    registry = start("registry-0", redis=own_redis.url)
    until_view(registry)
    with traffic(registry) as made:
        some_more(made)
        own_redis.kill()
        some_more(made)
        assert read(registry)[0] == FOLD
        until(lambda: "cannot be reached" in why_down(registry), "the registry to say so")
        own_redis.start()
        until_view(registry)
        some_more(made)


def test_a_redis_that_hangs_is_not_waited_for(start: Start, own_redis: RedisServer) -> None:
    registry = start("registry-0", redis=own_redis.url)
    until_view(registry)
    own_redis.freeze()
    try:
        with traffic(registry) as made:
            some_more(made)
        assert read(registry)[0] == FOLD
    finally:
        own_redis.thaw()
    until_view(registry)


def test_a_full_redis_stops_nobody(start: Start, own_redis: RedisServer) -> None:
    registry = start("registry-0", redis=own_redis.url)
    until_view(registry)
    with Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", "1mb")
        with traffic(registry) as made:
            some_more(made)
        assert read(registry) == (FOLD, made[:100])
        until(lambda: "is full" in why_down(registry), "the registry to say so")
        client.config_set("maxmemory", "0")
    until_view(registry, made[:100])


def test_a_redis_that_becomes_a_read_only_replica_stops_nobody(start: Start, own_redis: RedisServer) -> None:
    registry = start("registry-0", redis=own_redis.url)
    until_view(registry)
    with Redis.from_url(own_redis.url) as client:
        client.replicaof("127.0.0.1", "1")
        create(registry, 1)
        assert read(registry) == (FOLD, ["fraud"])
        until(lambda: "read-only replica" in why_down(registry), "the registry to say so")
        client.replicaof("NO", "ONE")
    until_view(registry, ["fraud"])


def test_a_redis_that_drops_keys_is_not_trusted(start: Start, own_redis: RedisServer) -> None:
    with Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        registry = start("registry-0", redis=own_redis.url)
        until(lambda: "maxmemory-policy allkeys-lru" in why_down(registry), "the registry to say so")
        assert read(registry)[0] == FOLD
        client.config_set("maxmemory-policy", "noeviction")
    until_view(registry)


def test_a_view_that_someone_damaged_is_not_shown_and_is_built_anew(start: Start, redis_server: str) -> None:
    registry = start("registry-0", redis=redis_server)
    create(registry, 1)
    until_view(registry, ["fraud"])
    with Redis.from_url(redis_server, decode_responses=True) as client:
        client.delete(f"{layout.prefix_of(client.get(layout.CURRENT))}model")
    assert read(registry) == (FOLD, ["fraud"])
    until_view(registry, ["fraud"])
    assert measured(registry)['headgate_view_rebuilds_total{reason="damaged"}'] == 1


def test_a_row_that_someone_overwrote_is_not_shown_and_is_written_anew(start: Start, redis_server: str) -> None:
    registry = start("registry-0", redis=redis_server)
    create(registry, 1)
    until_view(registry, ["fraud"])
    with Redis.from_url(redis_server, decode_responses=True) as client:
        client.hset(f"{layout.prefix_of(client.get(layout.CURRENT))}model", "fraud", "no model at all")
    assert read(registry) == (FOLD, ["fraud"])
    until_view(registry, ["fraud"])
    assert measured(registry)['headgate_view_rebuilds_total{reason="damaged"}'] == 1


def test_a_wrong_password_is_said_and_hinders_nothing(start: Start) -> None:
    with redis_available("--requirepass", "right") as server:
        registry = start("registry-0", redis=f"redis://:wrong@127.0.0.1:{server.port}/0")
        until(lambda: "refuses the user or the password" in why_down(registry), "the registry to say so")
        assert "wrong@" not in why_down(registry)
        create(registry, 1)
        assert read(registry) == (FOLD, ["fraud"])
        silent = start("registry-1", redis=server.url)
        until(
            lambda: "refuses the user or the password: Authentication required" in why_down(silent),
            "the other registry to say so",
        )


def test_a_redis_that_comes_late_is_used_when_it_comes(start: Start) -> None:
    server = redis_available()
    registry = start("registry-0", redis=server.url)
    create(registry, 1)
    assert read(registry) == (FOLD, ["fraud"])
    with server:
        until_view(registry, ["fraud"])


def test_an_address_that_is_none_is_refused_at_the_start(log_url: str) -> None:
    for url in ("http://:secret@127.0.0.1/", "redis://:secret@127.0.0.1:port/0", "redis://:secret@127.0.0.1/first"):
        with pytest.raises(SettingsError, match=r"HEADGATE_REDIS='.*\*\*\*@127.0.0.1.*': expected redis://") as caught:
            build(Settings(log=log_url, port=0, redis=url))
        assert "secret" not in str(caught.value)


def limited(registry: Running, actor: str = "") -> tuple[int, float]:
    """Calls let in before the first that was not, and when that one may come again."""
    metadata = [("x-actor", actor)] if actor else []
    for let_in in range(1_000):
        try:
            registry.models.ListModels(registry_service.ListModelsRequest(), metadata=metadata)
        except grpc.RpcError as error:
            return let_in, retry_seconds(error)
    raise AssertionError("no call was turned away")


def retry_seconds(error: grpc.RpcError) -> float:
    status = rpc_status.from_call(error)
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (error.code(), info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate-limited")
    return retry.retry_delay.ToMilliseconds() / 1000


def test_a_caller_that_asks_too_often_is_told_when_to_come_back(start: Start) -> None:
    registry = start("registry-0", rate_per_second=0.01, rate_burst=5)
    let_in, wait = limited(registry, "loud")
    assert let_in == 5
    assert 0 < wait <= 100
    assert limited(registry, "another") == (5, pytest.approx(100, abs=20))
    assert limited(registry)[0] == 5


def test_replicas_share_their_limits_through_redis_and_count_alone_without_it(
    start: Start, own_redis: RedisServer
) -> None:
    settings = {"redis": own_redis.url, "rate_per_second": 0.01, "rate_burst": 20}
    one, other = start("registry-0", **settings), start("registry-1", **settings)
    for _ in range(15):
        one.models.ListModels(registry_service.ListModelsRequest())
    assert limited(other)[0] == 5
    own_redis.kill()
    assert limited(other)[0] == 20


def test_a_rate_that_means_nothing_is_refused_at_the_start(log_url: str) -> None:
    with pytest.raises(SettingsError, match=r"HEADGATE_RATE_PER_SECOND=-1.*HEADGATE_RATE_BURST=-2"):
        build(Settings(log=log_url, port=0, rate_per_second=-1, rate_burst=-2))


def measured(registry: Running) -> dict[str, float]:
    lines = text_of(registry.registry._parts.metrics).splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_the_view_and_the_limits_are_measured(start: Start, own_redis: RedisServer) -> None:
    registry = start("registry-0", redis=own_redis.url, rate_per_second=0.01, rate_burst=30)
    until(lambda: measured(registry)["headgate_view_up"] == 1, "the view to be up")
    assert measured(registry)['headgate_view_rebuilds_total{reason="empty"}'] == 1
    assert read(registry)[0] == VIEW
    own_redis.kill()
    create(registry, 1)
    assert read(registry)[0] == FOLD
    until(lambda: measured(registry)["headgate_view_up"] == 0, "the view to be down")
    now = measured(registry)
    assert now["headgate_view_lag_records"] == 1
    assert now["headgate_view_lag_seconds"] > 0
    assert now['headgate_view_reads_total{source="view"}'] == 1
    assert now['headgate_view_reads_total{source="fold"}'] == 1
    limited(registry)
    assert measured(registry)['headgate_rate_limited_total{door="RegistryService"}'] == 1
