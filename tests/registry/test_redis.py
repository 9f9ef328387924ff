"""The registry with Redis: lists come from the view, and from the fold as soon as Redis fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from redis import Redis
from redis.exceptions import NoPermissionError

from headgate.domain.credentials import hides_nothing
from headgate.runtime.rpc import redis_buckets
from headgate.runtime.rpc.rate_limit import Rate
from headgate.runtime.settings import SettingsError, from_env
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from headgate.view.fields import Kind
from headgate.view.redis import layout
from headgate.view.redis import view as redis_view
from headgate.view.redis.reader import RedisReader
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


def wait_for_view(registry: Running, models: list[str] | None = None) -> None:
    """Waits until lists come from the view. If models are given, waits until a list has exactly these models."""
    until(lambda: read(registry)[0] == VIEW, "lists to come from the view")
    if models is not None:
        until(lambda: read(registry) == (VIEW, models), "a list of the view")


@contextmanager
def traffic(registry: Running) -> Iterator[list[str]]:
    """Creates models and lists them, again and again. Every list must have all models that were acknowledged before."""
    created: list[str] = []
    stopping = threading.Event()

    def write() -> None:
        while not stopping.is_set():
            name = f"m{len(created):04d}"
            registry.models.CreateModel(registry_service.CreateModelRequest(model=name), timeout=PATIENCE_SECONDS)
            created.append(name)

    def list_all() -> None:
        while not stopping.is_set():
            wanted = list(created)
            request = registry_service.ListModelsRequest(page_size=1_000)
            found = [model.name for model in registry.models.ListModels(request, timeout=PATIENCE_SECONDS).models]
            assert found[: len(wanted)] == [f"models/{name}" for name in wanted]

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(each) for each in (write, list_all, list_all)]
        try:
            yield created
        finally:
            stopping.set()
    for each in running:
        each.result()


def wait_for_more(created: list[str], count: int = 30) -> None:
    before = len(created)
    until(lambda: len(created) >= before + count or len(created) > 800, f"{count} more models")


def test_lists_come_from_the_view_and_include_the_change_that_was_just_acknowledged(
    start: Start, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_view, "CATCH_UP_SECONDS", 10.0)
    registry = start("registry-0", redis=redis_server)
    wait_for_view(registry)
    for number in range(20):
        registry.models.CreateModel(
            registry_service.CreateModelRequest(model=f"m{number:02d}", labels={"n": str(number % 2)})
        )
        source, found = read(registry, f"labels.n = {number % 2}")
        assert (source, found) == (VIEW, [f"m{each:02d}" for each in range(number + 1) if each % 2 == number % 2])
    create(registry, 1, model="m00")
    answer = registry.models.ListVersions(registry_service.ListVersionsRequest(parent="models/-"))
    assert (answer.read.source, [version.name for version in answer.versions]) == (VIEW, ["models/m00/versions/1"])


def test_lists_stay_complete_when_redis_is_flushed_under_load(start: Start, redis_server: str) -> None:
    registry = start("registry-0", redis=redis_server)
    wait_for_view(registry)
    with traffic(registry) as created, Redis.from_url(redis_server) as client:
        for _ in range(4):
            wait_for_more(created)
            client.flushall()
    wait_for_view(registry, created[:100])


def test_a_killed_redis_stops_no_call_and_is_used_again_after_its_restart(start: Start, own_redis: RedisServer) -> None:
    registry = start("registry-0", redis=own_redis.url)
    wait_for_view(registry)
    with traffic(registry) as created:
        wait_for_more(created)
        own_redis.kill()
        wait_for_more(created)
        assert read(registry)[0] == FOLD
        until(lambda: "cannot be reached" in why_down(registry), "the registry to report it")
        own_redis.start()
        wait_for_view(registry)
        wait_for_more(created)


def test_no_call_waits_for_a_redis_that_hangs(start: Start, own_redis: RedisServer) -> None:
    registry = start("registry-0", redis=own_redis.url)
    wait_for_view(registry)
    own_redis.freeze()
    try:
        with traffic(registry) as created:
            wait_for_more(created)
        assert read(registry)[0] == FOLD
    finally:
        own_redis.thaw()
    wait_for_view(registry)


def test_a_full_redis_stops_no_call(start: Start, own_redis: RedisServer) -> None:
    registry = start("registry-0", redis=own_redis.url)
    wait_for_view(registry)
    with Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", "1mb")
        with traffic(registry) as created:
            wait_for_more(created)
        assert read(registry) == (FOLD, created[:100])
        until(lambda: "is full" in why_down(registry), "the registry to report it")
        client.config_set("maxmemory", "0")
    wait_for_view(registry, created[:100])


def test_a_redis_that_becomes_a_read_only_replica_stops_no_call(start: Start, own_redis: RedisServer) -> None:
    registry = start("registry-0", redis=own_redis.url)
    wait_for_view(registry)
    with Redis.from_url(own_redis.url) as client:
        client.replicaof("127.0.0.1", "1")
        create(registry, 1)
        assert read(registry) == (FOLD, ["fraud"])
        until(lambda: "read-only replica" in why_down(registry), "the registry to report it")
        client.replicaof("NO", "ONE")
    wait_for_view(registry, ["fraud"])


def test_a_redis_that_may_evict_keys_is_not_used(start: Start, own_redis: RedisServer) -> None:
    with Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        registry = start("registry-0", redis=own_redis.url)
        until(lambda: "maxmemory-policy allkeys-lru" in why_down(registry), "the registry to report it")
        assert read(registry)[0] == FOLD
        client.config_set("maxmemory-policy", "noeviction")
    wait_for_view(registry)


def test_a_damaged_view_is_not_shown_and_is_rebuilt(start: Start, redis_server: str) -> None:
    registry = start("registry-0", redis=redis_server)
    create(registry, 1)
    wait_for_view(registry, ["fraud"])
    with Redis.from_url(redis_server, decode_responses=True) as client:
        client.delete(f"{layout.prefix_of(client.get(layout.CURRENT))}model")
    assert read(registry) == (FOLD, ["fraud"])
    wait_for_view(registry, ["fraud"])
    assert measured(registry)['headgate_view_rebuilds_total{reason="damaged"}'] == 1


def test_an_overwritten_row_is_not_shown_and_the_view_is_rebuilt(start: Start, redis_server: str) -> None:
    registry = start("registry-0", redis=redis_server)
    create(registry, 1)
    wait_for_view(registry, ["fraud"])
    with Redis.from_url(redis_server, decode_responses=True) as client:
        client.hset(f"{layout.prefix_of(client.get(layout.CURRENT))}model", "fraud", "no model at all")
    assert read(registry) == (FOLD, ["fraud"])
    wait_for_view(registry, ["fraud"])
    assert measured(registry)['headgate_view_rebuilds_total{reason="damaged"}'] == 1


def test_a_wrong_password_is_reported_and_stops_no_call(start: Start) -> None:
    with redis_available("--requirepass", "right") as server:
        registry = start("registry-0", redis=f"redis://:wrong@127.0.0.1:{server.port}/0")
        until(lambda: "refuses the user or the password" in why_down(registry), "the registry to report it")
        assert "wrong@" not in why_down(registry)
        create(registry, 1)
        assert read(registry) == (FOLD, ["fraud"])
        silent = start("registry-1", redis=server.url)
        until(
            lambda: "refuses the user or the password: Authentication required" in why_down(silent),
            "the other registry to report it",
        )


def test_a_redis_that_starts_later_is_used_as_soon_as_it_is_there(start: Start) -> None:
    server = redis_available()
    registry = start("registry-0", redis=server.url)
    create(registry, 1)
    assert read(registry) == (FOLD, ["fraud"])
    with server:
        wait_for_view(registry, ["fraud"])


def test_a_wrong_address_is_refused_at_the_start() -> None:
    for url in ("http://:secret@127.0.0.1/", "redis://:secret@127.0.0.1:port/0", "redis://:secret@127.0.0.1/first"):
        with pytest.raises(SettingsError, match=r"HEADGATE_REDIS='.*\*\*\*@127.0.0.1.*': expected redis://") as caught:
            from_env(Settings, {"HEADGATE_LOG": "sqlite:x", "HEADGATE_REDIS": url})
        assert "secret" not in str(caught.value)
        assert hides_nothing(str(caught.value).replace("***@", ""))  # a log line would not show the hint
    for url in ("redis://:pa/ss@127.0.0.1:6379/0", "redis://:pa#ss@127.0.0.1", "redis://:12#3@h", "redis://h#6379"):
        with pytest.raises(SettingsError, match=r"in the password / is %2F, # is %23 and \? is %3F") as caught:
            from_env(Settings, {"HEADGATE_LOG": "sqlite:x", "HEADGATE_REDIS": url})
        assert "pa" not in str(caught.value).partition(": expected")[0]


def calls_until_limited(registry: Running, actor: str = "") -> tuple[int, float]:
    """The calls that were accepted before the first refused one, and the seconds until it may be sent again."""
    metadata = [("x-actor", actor)] if actor else []
    for let_in in range(1_000):
        try:
            registry.models.ListModels(registry_service.ListModelsRequest(), metadata=metadata)
        except grpc.RpcError as error:
            return let_in, retry_seconds(error)
    raise AssertionError("no call was refused")


def retry_seconds(error: grpc.RpcError) -> float:
    status = rpc_status.from_call(error)
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (error.code(), info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate-limited")
    wait_ms = retry.retry_delay.ToMilliseconds()
    assert wait_ms <= int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"]) <= wait_ms + 1
    return wait_ms / 1000


def test_a_caller_with_too_many_calls_is_refused_with_the_time_until_the_next_one(start: Start) -> None:
    registry = start("registry-0", rate_per_second=0.01, rate_burst=5)
    let_in, wait = calls_until_limited(registry, "loud")
    assert let_in == 5
    assert 0 < wait <= 100
    assert calls_until_limited(registry, "another") == (5, pytest.approx(100, abs=20))
    assert calls_until_limited(registry)[0] == 5


def test_replicas_share_the_rate_limit_through_redis_and_count_separately_without_it(
    start: Start, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine Redis may answer later than a call waits for it.
    monkeypatch.setattr(redis_buckets, "TAKE_SECONDS", PATIENCE_SECONDS)
    settings = {"redis": own_redis.url, "rate_per_second": 0.01, "rate_burst": 20}
    one, other = start("registry-0", **settings), start("registry-1", **settings)
    for _ in range(15):
        one.models.ListModels(registry_service.ListModelsRequest())
    assert calls_until_limited(other)[0] == 5
    own_redis.kill()
    assert calls_until_limited(other)[0] == 20


def test_a_wrong_rate_is_refused_at_the_start() -> None:
    environ = {"HEADGATE_LOG": "sqlite:x", "HEADGATE_RATE_PER_SECOND": "-1", "HEADGATE_RATE_BURST": "-2"}
    with pytest.raises(SettingsError, match=r"HEADGATE_RATE_PER_SECOND='-1'.*HEADGATE_RATE_BURST='-2'"):
        from_env(Settings, environ)
    with pytest.raises(SettingsError, match=r"HEADGATE_RATE_BURST='0': expected 1 or more, or no such setting"):
        from_env(Settings, environ | {"HEADGATE_RATE_PER_SECOND": "1", "HEADGATE_RATE_BURST": "0"})


def measured(registry: Running) -> dict[str, float]:
    lines = text_of(registry.registry._parts.metrics).splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_the_view_and_the_rate_limit_have_metrics(start: Start, own_redis: RedisServer) -> None:
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
    calls_until_limited(registry)
    assert measured(registry)['headgate_rate_limited_total{door="RegistryService"}'] == 1


def test_the_users_in_the_docs_have_the_rights_they_need_and_no_others(start: Start, own_redis: RedisServer) -> None:
    page = (Path(__file__).parents[2] / "docs/operators/redis.md").read_text()
    lines = [line.replace("PASSWORD", "s3cret") for line in page.splitlines() if line.startswith("ACL SETUSER")]
    with Redis.from_url(own_redis.url) as administrator:
        for line in lines[:2]:
            administrator.execute_command(*line.split())
        writing, reading = (own_redis.url.replace("//", f"//{user}:s3cret@") for user in ("registry", "reader"))
        registry = start("registry-0", redis=writing)
        create(registry, 1)
        wait_for_view(registry, ["fraud"])
        buckets = redis_buckets.RedisBuckets(writing, Rate(0.01, 1))
        assert (buckets.take("a"), buckets.take("a") > 0) == (0, True)
        assert administrator.keys("headgate:rate:*")
        buckets.close()
    reader = RedisReader(reading)
    assert reader.status().generation
    assert next(reader.changes()) == []
    assert [found.name for found in reader.get(Kind.MODEL, ["fraud"])[0] if found] == ["models/fraud"]
    reader.close()
    for address, forbidden in ((reading, f"DEL {layout.CURRENT}"), (writing, "SET others 1"), (writing, "FLUSHALL")):
        with Redis.from_url(address) as client, pytest.raises(NoPermissionError):
            client.execute_command(*forbidden.split())
