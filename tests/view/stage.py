"""A log to which tests append facts as a registry does, and a view that follows it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from redis import Redis

from headgate.domain.names import model_stream
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.stream import message_of, new_stream, record_of
from headgate.log import topics
from headgate.log.sqlite.log import SqliteLog
from headgate.v1 import commands_pb2 as commands
from headgate.view.fields import Kind, resource_id
from headgate.view.redis import layout
from headgate.view.redis.reader import RedisReader
from headgate.view.redis.writer import ViewWriter
from headgate.view.touched import refs_of, resource_at
from tests.waiting import PATIENCE_SECONDS


class Stage:
    """One fold of one log, and its view in Redis."""

    def __init__(self, path: Path, url: str) -> None:
        self.log = SqliteLog(path)
        self.log.create_topics(topics.TOPICS)
        self.fold = LifecycleFold(self.log)
        self.fold.start()
        assert self.fold.wait_caught_up(PATIENCE_SECONDS)
        self.rebuilt: list[str] = []
        self.writer = ViewWriter(url, self.log, self.fold, self.rebuilt.append)
        self.reader = RedisReader(url, 5.0)
        self.redis = Redis.from_url(url)

    def append(self, stream_name: str, *facts: object) -> None:
        """Appends facts as a registry does, and waits until they are folded."""
        for fact in facts:
            with self.fold.lock:
                stream = self.fold.streams.get(stream_name) or new_stream(stream_name)
            assert stream is not None
            command = commands.Command(command_id=f"{stream_name}/{stream.sequence + 1}", stream=stream_name)
            message = message_of(record_of(command, fact, stream, 1_000 + stream.sequence))  # type: ignore[arg-type]
            position = self.log.append(message)
            assert self.fold.wait_position(position.partition, position.offset, PATIENCE_SECONDS)

    def append_models(self, facts: Mapping[str, list[object]]) -> None:
        for model, its in facts.items():
            self.append(model_stream(model), *its)

    def wait_written(self) -> None:
        """Waits until the view reflects everything that is folded."""
        with self.fold.lock:
            accepted = dict(self.fold.accepted)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.writer.wait_written(accepted, 1.0):
            assert time.monotonic() < deadline, f"the view was not written: {self.writer.why_down}"
            time.sleep(0.01)

    def assert_equal(self) -> None:
        """Checks that the view equals the fold, byte for byte, in every row, head, position and index entry."""
        found = self.reader.status()
        prefix = layout.prefix_of(found.generation)
        with self.fold.lock:
            assert found.positions == self.fold.accepted
            assert found.heads == {name: (one.sequence, one.digest) for name, one in self.fold.streams.items()}
            expected = self._rows()
        for kind in Kind:
            rows = {row.id: row for row in expected if row.kind == kind.value}
            stored = self.redis.hgetall(prefix + kind.value)
            assert {id_.decode(): data for id_, data in stored.items()} == {id_: row.data for id_, row in rows.items()}
            entries = self.redis.hgetall(f"{prefix}index:{kind.value}")
            assert {id_.decode(): text.decode() for id_, text in entries.items()} == {
                id_: row.entries for id_, row in rows.items()
            }
        self._assert_index(prefix, expected)

    def _rows(self) -> list[layout.Row]:
        rows = []
        for state in self.fold.models.values():
            for ref in refs_of(state):
                resource = resource_at(state, ref)
                assert resource is not None
                rows.append(layout.row(ref.kind, resource.SerializeToString(deterministic=True)))
                assert rows[-1].id == resource_id(resource)
        return rows

    def _assert_index(self, prefix: str, rows: list[layout.Row]) -> None:
        sets: dict[str, set[str]] = {}
        orders: dict[str, dict[str, float]] = {}
        for row in rows:
            entries = json.loads(row.entries)
            for key in entries["t"]:
                sets.setdefault(key, set()).add(row.id)
            for key, score in entries["o"].items():
                orders.setdefault(key, {})[row.id] = float(score)
        owned = {key.decode() for key in self.redis.smembers(f"{prefix}keys")}
        assert owned >= sets.keys() | orders.keys()
        for key in owned:
            if key.startswith("t:"):
                assert {id_.decode() for id_ in self.redis.smembers(prefix + key)} == sets.get(key, set()), key
            else:
                stored = self.redis.zrange(prefix + key, 0, -1, withscores=True)
                assert {id_.decode(): score for id_, score in stored} == orders.get(key, {}), key

    def close(self) -> None:
        self.writer.close()
        self.reader.close()
        self.redis.close()
        self.fold.close()
        self.log.close()
