"""The metrics of a fold and of the log's readers: live facts are counted once, and the lag is measured."""

from collections.abc import Iterator

import pytest

from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.port import EventLog, Message
from headgate.runtime.observability.log_metrics import FoldMetrics, LagWatch, Reader
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import facts_pb2 as facts
from tests.clocks import log_clock
from tests.gateway.fact_writer import FactWriter
from tests.metrics.exposed import Exposition, parsed, text_of
from tests.waiting import PATIENCE_SECONDS

WAITED_MS = 90_000


def shown(metrics: Metrics) -> Exposition:
    return parsed(text_of(metrics))


def await_all(log: EventLog, fold: LifecycleFold) -> None:
    for partition, end in log.end(topics.LIFECYCLE).items():
        assert fold.wait_position(partition, end - 1, PATIENCE_SECONDS)


@pytest.fixture
def folded(log: EventLog) -> Iterator[tuple[FactWriter, LifecycleFold, Metrics]]:
    """A fold that has replayed one fact, and the writer of further facts."""
    writer, metrics = FactWriter(log, "models/fraud"), Metrics("trainer")
    writer.write(facts.ModelCreated(description="replayed"))
    fold = LifecycleFold(log, FoldMetrics(metrics, log_clock()))
    fold.start()
    assert fold.wait_caught_up(PATIENCE_SECONDS)
    yield writer, fold, metrics
    fold.close()


Folded = tuple[FactWriter, LifecycleFold, Metrics]


def test_a_replayed_fact_is_not_counted_and_a_live_one_is_once(folded: Folded, log: EventLog) -> None:
    writer, fold, metrics = folded
    writer.write(facts.ModelDescribed(description="a"), facts.ModelDescribed(description="b"))
    writer.write(facts.VersionCreated(version=1, commit="c" * 40))
    await_all(log, fold)
    found = shown(metrics)
    assert found.value("headgate_facts_total", fact="ModelDescribed") == 2
    assert found.value("headgate_facts_total", fact="VersionCreated") == 1
    assert found.value("headgate_facts_total", fact="ModelCreated") is None
    assert found.value("headgate_fact_duration_seconds_count", fact="ModelDescribed") == 2
    assert found.value("headgate_fact_age_seconds_count") == 3
    assert found.value("headgate_void_records_total") == 0


def test_void_records_and_stopped_streams_are_counted(folded: Folded, log: EventLog) -> None:
    writer, fold, metrics = folded
    log.append(Message(topics.LIFECYCLE, b"models/fraud", b"no record"))
    writer.write(facts.GateDecided(version=7, passed=True))
    await_all(log, fold)
    found = shown(metrics)
    assert found.value("headgate_void_records_total") == 1
    assert found.value("headgate_fact_errors_total", fact="GateDecided") == 1
    assert found.value("headgate_streams_stopped") == 1
    again = Metrics("trainer")
    replayed = LifecycleFold(log, FoldMetrics(again, log_clock()))
    replayed.start()
    assert replayed.wait_caught_up(PATIENCE_SECONDS)
    writer.write(facts.ModelDescribed())
    await_all(log, replayed)
    replayed.close()
    assert shown(again).value("headgate_fact_errors_total", fact="GateDecided") is None
    assert shown(again).value("headgate_streams_stopped") == 1, "streams that stopped in the replay are counted"


def test_the_lag_is_measured_in_records_and_in_the_age_of_the_oldest(log: EventLog) -> None:
    positions = dict.fromkeys(log.end(topics.COMMANDS), 0)
    metrics = Metrics("registry")
    watch = LagWatch(log, metrics, [Reader("registry", topics.COMMANDS, lambda: positions)], log_clock(WAITED_MS))
    labels = {"topic": topics.COMMANDS, "reader": "registry"}

    def lag() -> tuple[float | None, float | None]:
        watch.measure()
        found = shown(metrics)
        return found.value("headgate_log_lag_records", **labels), found.value("headgate_log_lag_seconds", **labels)

    assert lag() == (0, 0)
    log.append_all([Message(topics.COMMANDS, f"key-{number}".encode(), b"value") for number in range(30)])
    records, seconds = lag()
    assert records == 30
    assert seconds == pytest.approx(WAITED_MS / 1000, abs=5)
    positions |= {partition: end - 1 for partition, end in log.end(topics.COMMANDS).items() if end}
    assert lag()[0] == sum(end > 0 for end in log.end(topics.COMMANDS).values())
    positions |= log.end(topics.COMMANDS)
    assert lag() == (0, 0)
