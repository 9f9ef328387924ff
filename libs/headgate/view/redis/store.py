"""What a writer does to the view, one step inside Redis each."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headgate.runtime.redis_client import WRITE_SECONDS, NoPermission, RedisUnavailable, connect, explained, shown
from headgate.view.redis import layout, scripts
from headgate.view.redis.reader import RedisReader, Status

SWEEP_KEYS = 200
"""Keys of an old generation removed in one step."""


class Detached(Exception):
    """The generation is not what this writer took it for: look at the view afresh."""


class Batch(NamedTuple):
    """What changed in one partition between two positions; without positions, a part of a new generation."""

    heads: Mapping[str, str]
    rows: Sequence[layout.Row]
    partition: int | None = None
    base: int = -1
    position: int = -1


class RedisStore:
    """The writing side. Used by one thread."""

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
        """Raises RedisUnavailable for a server that takes no writes, or may drop a part of the view without a word."""
        with explained(self._url):
            try:
                told = {**self._client.info("memory"), **self._client.info("replication")}
            except NoPermission:
                return  # a user who may not ask: what the server refuses, it will say at the first write
        policy = str(told.get("maxmemory_policy", ""))
        if policy.startswith("allkeys"):
            rule = "the view needs noeviction or a volatile policy"
            raise RedisUnavailable(f"Redis at {shown(self._url)} has maxmemory-policy {policy}: {rule}")
        if told.get("role") == "slave" and told.get("slave_read_only"):
            raise RedisUnavailable(f"Redis at {shown(self._url)} is a read-only replica: name the primary")

    def write(self, generation: str, batch: Batch, is_current: bool) -> None:
        """Brings one partition of the generation to the batch's position. Raises Detached, RedisUnavailable.

        Does nothing when another replica has brought it there or further.
        """
        current, lease = (generation, "") if is_current else ("", generation)
        partition = "" if batch.partition is None else batch.partition
        news = json.dumps([[row.kind, row.id] for row in batch.rows]) if is_current else ""
        arguments: list[object] = [layout.prefix_of(generation), current, lease, partition, batch.base, batch.position]
        arguments += [layout.CHANGES if is_current else "", news, len(batch.heads)]
        for each in (*batch.heads.items(), *batch.rows):
            arguments += each
        with explained(self._url):
            result = self._apply([layout.CURRENT, layout.LEASE], arguments)
        if result not in (b"written", b"held"):
            raise Detached(f"{generation} is {result.decode()}")

    def begin(self, generation: str, positions: Mapping[int, int]) -> bool:
        """Takes the lease to build this generation; False while another replica holds it."""
        with explained(self._url):
            arguments = [generation, self._building, scripts.LEASE_MS]
            if not self._begin([layout.LEASE, layout.GENERATIONS], arguments):
                return False
            self._building = generation
            if positions:
                self._client.hset(layout.prefix_of(generation) + "positions", mapping=_texts(positions))
        return True

    def switch(self, generation: str, expected: str, force: bool) -> bool:
        """Makes the generation the current one; False while that would take a reader back. Raises Detached."""
        arguments = [layout.ROOT, generation, expected, "1" if force else "", layout.CHANGES]
        with explained(self._url):
            result = self._switch([layout.CURRENT, layout.LEASE], arguments)
        if result == b"gone":
            raise Detached(f"{generation} lost its lease")
        return bool(result == b"switched")

    def is_current(self, generation: str) -> bool:
        with explained(self._url):
            return bool(self._client.get(layout.CURRENT) == generation.encode())

    def ask_for_rebuild(self, seconds: int) -> None:
        """Leaves a wish that the next writer to see it fulfils."""
        with explained(self._url):
            self._client.set(layout.WANTED, "asked", ex=seconds)

    def take_wish(self) -> bool:
        """Whether someone asked for a rebuild; the wish is then this writer's."""
        with explained(self._url):
            return bool(self._client.getdel(layout.WANTED))

    def sweep(self) -> None:
        """Removes a bounded part of the generations that nobody reads or builds."""
        with explained(self._url):
            known = self._client.smembers(layout.GENERATIONS)
            # In this order and in one step: a known generation that neither is has been given up for good.
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
