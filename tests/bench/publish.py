"""Measures publishing events to Kafka, compared with kafka-python alone: one by one, and pipelined.

Headgate puts each event into its envelope, appends all of them and returns their positions. kafka-python gets the same
records ready made. In the last row it sends values of the same size without keys and headers.
"""

import gc
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from kafka import KafkaProducer

from headgate.client.change import Change, change_event
from headgate.log.envelope import CloudEvent, encode
from headgate.log.open import open_log
from headgate.log.partitioner import partition_of
from headgate.log.port import PARTITIONS, EventLog, Message, record_bytes
from headgate.log.startup import create_declared
from headgate.log.topics import INBOX
from tests.bench.results import Results, Slice
from tests.kafka_broker import BrokerUnavailable, KafkaBroker

SLICES, QUICK_SLICES = 7, 3
EVENTS, QUICK_EVENTS = 10_000, 3_000
ONE_BY_ONE = 300
MODELS = 100
SOURCE = "https://git.example/models"
WRITE_SECONDS = 60.0

Way = Callable[[], int]


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures all ways in turns, on one broker."""
    count, slices = (QUICK_EVENTS, QUICK_SLICES) if quick else (EVENTS, SLICES)
    with ExitStack() as stack:
        try:
            broker = stack.enter_context(KafkaBroker())
        except BrokerUnavailable as error:
            results.notes.append(f"publishing was not measured: {error}")
            return
        log = stack.enter_context(closing(open_log(f"kafka://{broker.address}")))
        create_declared(log)
        single = stack.enter_context(closing(_producer(broker.address, linger_ms=0)))
        pipelined = stack.enter_context(closing(_producer(broker.address, linger_ms=5)))
        events = [_event(number) for number in range(count)]
        records = [_enveloped(event) for event in events]
        ways: dict[str, Way] = {
            "headgate": lambda: _ours(log, events),
            "kafka-python pipelined": lambda: _written([_send(pipelined, record) for record in records]),
            "kafka-python send().get()": lambda: sum(_written([_send(single, each)]) for each in records[:ONE_BY_ONE]),
            "values alone, pipelined": lambda: _written(_values(pipelined, record_bytes(records[0]), count)),
        }
        found = {who: results.add("publish", who, some) for who, some in _alternate(ways, slices).items()}
    ours, pipelined_sends, single_sends, _ = found.values()
    results.compare("publish, against send().get()", ours["events/s"] / single_sends["events/s"], 10, 10)
    # By CPU time, because both use one core fully. send().get() mostly waits, so it is compared by wall time.
    ratio = pipelined_sends["us CPU/event"] / ours["us CPU/event"]
    results.compare("publish, against pipelined, per CPU second", ratio, 0.6, 0.6)


def _alternate(ways: dict[str, Way], slices: int) -> dict[str, list[Slice]]:
    for way in ways.values():
        way()
    found: dict[str, list[Slice]] = {who: [] for who in ways}
    for _ in range(slices):
        for who, way in ways.items():
            found[who].append(_timed(way))
    return found


def _timed(way: Way) -> Slice:
    gc.collect()  # So that no way pays for garbage of another one.
    wall, cpu = time.perf_counter(), time.process_time()
    events = way()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"events/s": events / wall, "us CPU/event": cpu / events * 1e6}


def _event(number: int) -> CloudEvent:
    model = f"model-{number % MODELS:03d}"
    change = Change(model, f"{SOURCE}/{model}.git", f"{number:040x}", "Weigh the rare class by its cost")
    return change_event(change, str(uuid.uuid4()), SOURCE, 1_700_000_000_000 + number)


def _enveloped(event: CloudEvent) -> Message:
    headers, value = encode(event)
    return Message(INBOX, event.attributes["partitionkey"].encode(), value, headers)


def _ours(log: EventLog, events: Sequence[CloudEvent]) -> int:
    return len(log.append_all([_enveloped(event) for event in events], WRITE_SECONDS))


def _producer(address: str, linger_ms: int) -> KafkaProducer:
    return KafkaProducer(bootstrap_servers=address, acks="all", linger_ms=linger_ms, batch_size=256 * 1024)


def _send(producer: KafkaProducer, record: Message):
    partition = partition_of(record.key, PARTITIONS)
    return producer.send(INBOX, record.value, record.key, list(record.headers), partition)


def _values(producer: KafkaProducer, size_bytes: int, count: int) -> list:
    return [producer.send(INBOX, b"x" * size_bytes, partition=number % PARTITIONS) for number in range(count)]


def _written(sent: Sequence) -> int:
    return len([each.get(WRITE_SECONDS) for each in sent])
