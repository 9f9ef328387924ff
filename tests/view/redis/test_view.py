"""The view in Redis equals the fold, whatever happens to Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headgate.domain.names import environment_stream, model_stream
from headgate.runtime.redis_client import RedisUnavailable
from headgate.v1 import facts_pb2 as facts
from headgate.view.fields import Kind
from headgate.view.query import new_query
from headgate.view.redis import layout
from headgate.view.redis.store import RedisStore
from tests.redis_server import RedisServer
from tests.view.material import FLEET, ids
from tests.view.stage import Stage
from tests.waiting import until

Open = Callable[..., Stage]


@pytest.fixture
def open_stage(tmp_path: Path) -> Iterator[Open]:
    """Opens another stage on the same log, or on a log of another name."""
    opened: list[Stage] = []

    def begin(url: str, name: str = "log") -> Stage:
        opened.append(Stage(tmp_path / f"{name}.db", url))
        return opened[-1]

    yield begin
    for stage in opened:
        stage.close()


def test_the_view_equals_the_fold_byte_for_byte(open_stage: Open, redis_server: str) -> None:
    stage = open_stage(redis_server)
    stage.append_models({"churn": FLEET["churn"]})
    stage.writer.start()
    stage.wait_written()
    stage.append_models({name: FLEET[name] for name in ("fraud", "fraud-eu")})
    stage.append(environment_stream("production"), facts.EnvironmentCreated(description="live"))
    stage.wait_written()
    stage.assert_equal()
    assert stage.rebuilt == ["empty"]


def test_a_new_writer_continues_an_existing_view(open_stage: Open, redis_server: str) -> None:
    first = open_stage(redis_server)
    first.writer.start()
    first.append_models({"fraud": FLEET["fraud"]})
    first.wait_written()
    first.writer.close()
    first.append_models({"churn": FLEET["churn"]})
    first.append(model_stream("fraud"), facts.ModelLabelled(key="team", value="growth"))
    second = open_stage(redis_server)
    second.writer.start()
    second.wait_written()
    second.assert_equal()
    assert second.rebuilt == []


def test_two_writers_write_one_view(open_stage: Open, redis_server: str) -> None:
    one, other = open_stage(redis_server), open_stage(redis_server)
    one.writer.start()
    other.writer.start()
    seen: list[int] = []
    stopping = threading.Event()

    def watch_positions() -> None:
        while not stopping.is_set():
            seen.append(sum(one.reader.status().positions.values()))

    watcher = threading.Thread(target=watch_positions)
    until(lambda: one.writer.is_up and other.writer.is_up, "both writers to be up to date")
    watcher.start()
    for number in range(40):
        one.append(model_stream(f"m{number % 3}"), facts.ModelDescribed(description=str(number)))
        assert other.fold.wait_caught_up(10)
    one.wait_written()
    until(lambda: other.fold.accepted == one.fold.accepted, "the other fold to catch up")
    other.wait_written()
    stopping.set()
    watcher.join()
    one.assert_equal()
    assert seen == sorted(seen)
    assert len(one.rebuilt) + len(other.rebuilt) == 1


def test_a_flushed_view_is_built_again_at_once(open_stage: Open, redis_server: str) -> None:
    stage = open_stage(redis_server)
    stage.append_models(FLEET)
    stage.writer.start()
    stage.wait_written()
    stage.redis.flushall()
    until(lambda: stage.rebuilt == ["empty", "empty"], "the view to be built again")
    stage.wait_written()
    stage.assert_equal()


@pytest.mark.parametrize(("part", "field"), [("heads", model_stream("fraud")), ("positions", "0")])
def test_a_view_with_unreadable_heads_or_positions_is_built_again(
    open_stage: Open, redis_server: str, part: str, field: str
) -> None:
    first = open_stage(redis_server, "log")
    first.writer.start()
    first.append_models(FLEET)
    first.wait_written()
    first.writer.close()
    first.redis.hset(layout.prefix_of(first.reader.status().generation) + part, field, "no such thing")
    again = open_stage(redis_server, "log")
    again.writer.start()
    until(lambda: again.rebuilt == ["unreadable"], "the view to be built again")
    again.wait_written()
    again.assert_equal()


def test_the_writer_goes_on_after_an_unexpected_error(
    open_stage: Open, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = open_stage(redis_server)
    stage.append_models(FLEET)

    def fail(store: RedisStore) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError("an unexpected error")

    monkeypatch.setattr(RedisStore, "check_server", fail)
    stage.writer.start()
    until(lambda: stage.rebuilt == ["empty"], "the view to be built")
    stage.wait_written()
    stage.assert_equal()


def test_a_view_of_another_log_is_built_again(open_stage: Open, redis_server: str) -> None:
    longer = open_stage(redis_server, "longer")
    longer.writer.start()
    longer.append_models(FLEET)
    longer.wait_written()
    longer.writer.close()
    shorter = open_stage(redis_server, "shorter")
    shorter.append_models({"churn": FLEET["churn"]})
    shorter.writer.start()
    shorter.wait_written()
    assert shorter.rebuilt == ["log-replaced"]
    shorter.assert_equal()
    shorter.writer.close()
    # A log of the same length as the view's, but with other facts: only the digests differ.
    other = open_stage(redis_server, "other")
    other.append_models({"churn": [*FLEET["churn"][:-1], facts.ModelDescribed(description="another life")]})
    other.writer.start()
    other.wait_written()
    assert other.rebuilt == ["log-replaced"]
    other.assert_equal()


def test_a_view_of_an_older_schema_serves_until_the_new_one_replaces_it(
    open_stage: Open, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_stage(redis_server)
    old.writer.start()
    old.append_models(FLEET)
    old.wait_written()
    before = old.reader.status().generation
    old.writer.close()
    monkeypatch.setattr(layout, "SCHEMA", layout.SCHEMA + 1)
    new = open_stage(redis_server)
    new.writer.start()
    new.wait_written()
    assert new.rebuilt == ["schema"]
    new.assert_equal()
    until(lambda: new.redis.smembers(layout.GENERATIONS) == {new.reader.status().generation.encode()}, "a sweep")
    assert not new.redis.keys(layout.prefix_of(before) + "*")
    monkeypatch.setattr(layout, "SCHEMA", layout.SCHEMA - 1)
    late = open_stage(redis_server)
    late.writer.start()
    until(lambda: "newer" in late.writer.why_down, "the older registry to write nothing")
    assert late.rebuilt == []
    with pytest.raises(RedisUnavailable, match=f"schema {layout.SCHEMA + 1}, not {layout.SCHEMA}"):
        late.reader.find(new_query(Kind.MODEL))


def test_the_old_view_serves_during_a_requested_rebuild(open_stage: Open, redis_server: str) -> None:
    stage = open_stage(redis_server)
    stage.writer.start()
    stage.append_models(FLEET)
    stage.wait_written()
    before = stage.reader.status().generation
    stopping = threading.Event()

    def read_on() -> int:
        count = 0
        while not stopping.is_set():
            assert ids(stage.reader.find(new_query(Kind.MODEL)).answer)[:3] == ["churn", "fraud", "fraud-eu"]
            count += 1
        return count

    with ThreadPoolExecutor(1) as readers:
        reading = readers.submit(read_on)
        stage.writer._store.request_rebuild(60)
        until(lambda: stage.rebuilt == ["empty", "asked"], "the rebuild")
        stopping.set()
        assert reading.result() > 0
    stage.append_models({"late": [facts.ModelCreated()]})
    stage.wait_written()
    assert stage.reader.status().generation != before
    stage.assert_equal()
    until(lambda: not stage.redis.keys(layout.prefix_of(before) + "*"), "the old generation to be removed")


def test_a_rebuild_starts_when_the_lease_of_a_dead_registry_has_run_out(open_stage: Open, redis_server: str) -> None:
    stage = open_stage(redis_server)
    stage.append_models(FLEET)
    stage.redis.set(layout.LEASE, "1:dead", px=300)  # of a registry that died while it built the view
    stage.writer.start()
    until(lambda: "another replica" in stage.writer.why_down, "the writer to wait")
    stage.wait_written()
    stage.assert_equal()


def test_the_reader_needs_only_redis(open_stage: Open, redis_server: str) -> None:
    stage = open_stage(redis_server)
    with pytest.raises(RedisUnavailable, match="there is no view"):
        stage.reader.find(new_query(Kind.MODEL))
    stage.writer.start()
    stage.append_models(FLEET)
    stage.wait_written()
    answer, positions = stage.reader.find(new_query(Kind.MODEL, filter_text="labels.team = risk"))
    assert ids(answer) == ["fraud", "fraud-eu"]
    assert positions == stage.fold.accepted
    (version, none), _ = stage.reader.get(Kind.VERSION, ["fraud/0000000002", "fraud/0000000099"])
    assert version == stage.fold.models["fraud"].versions[2]
    assert none is None


def test_the_reader_receives_changes_as_they_are_written(open_stage: Open, redis_server: str) -> None:
    stage = open_stage(redis_server)
    stage.writer.start()
    stage.append_models(FLEET)
    stage.wait_written()
    changes = stage.reader.changes()
    assert next(changes) == []
    for foreign in ("[" * 100_000, "no JSON", "1", '[["nothing", "x"]]'):
        stage.redis.publish(layout.CHANGES, foreign)
    stage.append(model_stream("fraud"), facts.VersionTagged(version=1, key="k", value="v"))
    received = next(each for each in changes if each)
    assert set(received) == {(Kind.MODEL, "fraud"), (Kind.VERSION, "fraud/0000000001")}
    changes.close()


def test_a_failed_rebuild_is_tried_again_without_waiting_for_its_own_lease(
    open_stage: Open, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = open_stage(own_redis.url)
    stage.append_models(FLEET)
    begin = RedisStore.begin

    def fill_up(store: RedisStore, generation: str, positions: Mapping[int, int]) -> bool:
        begun = begin(store, generation, positions)
        stage.redis.config_set("maxmemory", "1mb")
        return begun

    monkeypatch.setattr(RedisStore, "begin", fill_up)
    stage.writer.start()
    until(lambda: "is full" in stage.writer.why_down, "the writer to report it")
    monkeypatch.undo()
    assert stage.redis.exists(layout.LEASE)
    stage.redis.config_set("maxmemory", "0")
    until(lambda: stage.rebuilt == ["empty"], "the view to be built")
    stage.wait_written()
    stage.assert_equal()


def test_a_full_redis_keeps_the_last_complete_state(open_stage: Open, own_redis: RedisServer) -> None:
    stage = open_stage(own_redis.url)
    stage.writer.start()
    stage.append_models(FLEET)
    stage.wait_written()
    before = contents(stage)
    stage.redis.config_set("maxmemory", "1mb")
    for number in range(5):
        stage.append(model_stream("fraud"), facts.VersionTagged(version=1, key=f"k{number}", value="v"))
    until(lambda: "is full" in stage.writer.why_down, "the writer to report it")
    assert contents(stage) == before
    stage.redis.config_set("maxmemory", "0")
    stage.wait_written()
    stage.assert_equal()
    assert stage.rebuilt == ["empty"]


def contents(stage: Stage) -> dict[bytes, bytes | None]:
    return {key: stage.redis.dump(key) for key in stage.redis.keys("*")}
