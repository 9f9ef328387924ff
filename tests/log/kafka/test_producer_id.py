"""A producer after an outage that is longer than a record may wait."""

import pytest
from kafka.producer.transaction_manager import ProducerIdAndEpoch, TransactionManager, TransactionState

from headgate.log.kafka.log import KafkaLog
from headgate.log.port import LogError, Message, Topic
from tests.kafka_broker import KafkaBroker
from tests.waiting import until


def test_a_writer_goes_on_after_an_outage_in_which_a_record_that_it_had_sent_expired(
    own_broker: KafkaBroker,
) -> None:
    log = KafkaLog([own_broker.start().address], {})
    log.create_topics([Topic("topic", -1, 1)])
    log.append(Message("topic", b"key", b"before"))
    log._writer._producer._accumulator.config["delivery_timeout_ms"] = 2_000
    own_broker.freeze()
    with pytest.raises(LogError):
        log.append(Message("topic", b"key", b"sent"), timeout_seconds=1.0)
    own_broker.kill()
    manager = log._writer._producer._transaction_manager
    until(lambda: not manager.has_producer_id(), "the record expires")
    own_broker.start()

    def written() -> bool:
        try:
            return log.append(Message("topic", b"key", b"after"), timeout_seconds=5.0).offset > 0
        except LogError:
            return False

    until(written, "a record is written")
    log.close()


def test_the_library_still_asks_for_an_id_only_once() -> None:
    """When this fails, kafka-python needs the workaround in producer_id.py no longer."""
    manager = TransactionManager()
    manager.init_producer_id()
    manager.set_producer_id_and_epoch(ProducerIdAndEpoch(7, 0))
    manager._transition_to(TransactionState.READY)
    manager.reset_producer_id()
    manager.init_producer_id()
    assert manager._current_state == TransactionState.READY
