"""The writing steps of the view. Each is one step inside Redis."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headgate.domain.credentials import without_credentials
from headgate.runtime.redis_client import (
    WRITE_SECONDS,
    NoPermission,
    RedisUnavailable,
    connect,
    redis_errors,
)
from headgate.view.redis import layout, scripts
from headgate.view.redis.reader import RedisReader, Status

SWEEP_KEYS = 200
"""Keys of an old generation that are removed in one step."""


class Detached(Exception):
    """The generation is no longer the one that this writer may write: attach to the view again."""


class Batch(NamedTuple):
    """The changes of one partition between two positions. Without positions, a part of a new generation."""

    heads: Mapping[str, str]
    rows: Sequence[layout.Row]
    partition: int | None = None
    base: int = -1
    position: int = -1


class RedisStore:
    """Writes the view. For use by one thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = connect(url, WRITE_SECONDS)
        self._reader = RedisReader(url, WRITE_SECONDS)
        self._apply = self._client.register_script(scripts.APPLY)
        self._begin = self._client.register_script(scripts.BEGIN)
        self._building = ""
        self._switch = self._client.register_script(scripts.SWITCH)

    def status(self) -> Status:
        return self._reader.status()

    def check_server(self) -> None:
        """Raises RedisUnavailable when the server takes no writes, or may silently remove parts of the view."""
        with redis_errors(self._url):
            try:
                info = {**self._client.info("memory"), **self._client.info("replication")}
            except NoPermission:
                return  # the user has no right to INFO; a server that takes no writes refuses the first one
        policy = str(info.get("maxmemory_policy", ""))
        if policy.startswith("allkeys"):
            rule = "the view needs noeviction or a volatile policy"
            raise RedisUnavailable(f"Redis at {without_credentials(self._url)} has maxmemory-policy {policy}: {rule}")
        if info.get("role") == "slave" and info.get("slave_read_only"):
            raise RedisUnavailable(
                f"Redis at {without_credentials(self._url)} is a read-only replica: name the primary"
            )

    def write(self, generation: str, batch: Batch, is_current: bool) -> None:
        """Brings one partition of the generation to the batch's position. Raises Detached and RedisUnavailable.

        Does nothing when another replica has already brought it there or further.
        """
        current, lease = (generation, "") if is_current else ("", generation)
        partition = "" if batch.partition is None else batch.partition
        changes = json.dumps([[row.kind, row.id] for row in batch.rows]) if is_current else ""
        arguments: list[object] = [layout.prefix_of(generation), current, lease, partition, batch.base, batch.position]
        arguments += [layout.CHANGES if is_current else "", changes, len(batch.heads)]
        for each in (*batch.heads.items(), *batch.rows):
            arguments += each
        with redis_errors(self._url):
            result = self._apply([layout.CURRENT, layout.LEASE], arguments)
        if result not in (b"written", b"held"):
            raise Detached(f"{generation} is {result.decode()}")

    def begin(self, generation: str, positions: Mapping[int, int]) -> bool:
        """Takes the lease to build this generation. Returns False while another replica holds it."""
        with redis_errors(self._url):
            arguments = [generation, self._building, scripts.LEASE_MS]
            if not self._begin([layout.LEASE, layout.GENERATIONS], arguments):
                return False
            self._building = generation
            if positions:
                self._client.hset(layout.prefix_of(generation) + "positions", mapping=_texts(positions))
        return True

    def switch(self, generation: str, expected: str, force: bool) -> bool:
        """Makes the generation the current one. Returns False while it is behind the present one. Raises Detached."""
        arguments = [layout.ROOT, generation, expected, "1" if force else "", layout.CHANGES]
        with redis_errors(self._url):
            result = self._switch([layout.CURRENT, layout.LEASE], arguments)
        if result == b"gone":
            raise Detached(f"{generation} lost its lease")
        return bool(result == b"switched")

    def is_current(self, generation: str) -> bool:
        with redis_errors(self._url):
            return bool(self._client.get(layout.CURRENT) == generation.encode())

    def request_rebuild(self, seconds: int) -> None:
        """Asks the writers for a rebuild. The first one that sees the request takes it. It expires."""
        with redis_errors(self._url):
            self._client.set(layout.REBUILD_REQUEST, "asked", ex=seconds)

    def take_rebuild_request(self) -> bool:
        """Takes the request for a rebuild. Returns whether there was one."""
        with redis_errors(self._url):
            return bool(self._client.getdel(layout.REBUILD_REQUEST))

    def sweep(self) -> None:
        """Removes up to SWEEP_KEYS keys of each generation that is neither current nor being built."""
        with redis_errors(self._url):
            known = self._client.smembers(layout.GENERATIONS)
            # Read after `known`, both in one step: so a known generation that is neither one was abandoned.
            kept = self._client.mget(layout.CURRENT, layout.LEASE)
            for name in known.difference(kept):
                generation = name.decode()
                prefix = layout.prefix_of(generation)
                keys = self._client.spop(f"{prefix}keys", SWEEP_KEYS)
                if keys:
                    self._client.unlink(*(prefix + key.decode() for key in keys))
                else:
                    self._client.unlink(*layout.fixed_keys(generation))
                    self._client.srem(layout.GENERATIONS, name)

    def close(self) -> None:
        self._client.close()
        self._reader.close()


def _texts(positions: Mapping[int, int]) -> dict[str, int]:
    return {str(partition): offset for partition, offset in positions.items()}
