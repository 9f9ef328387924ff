"""Keeps a producer from getting stuck after an outage.

An idempotent producer of kafka-python drops its id when a record that it had sent expires. It waits for a new id before
it sends anything else, but asks for one only in its first state, to which it never returns. So it sends nothing more.
"""

from kafka import KafkaProducer
from kafka.producer.transaction_manager import TransactionState


def renew_lost_id(producer: KafkaProducer) -> bool:
    """Makes a producer that lost its id ask for a new one. Returns whether it had lost it."""
    manager = producer._transaction_manager
    with manager._lock:
        is_lost = manager._current_state == TransactionState.READY and not manager.has_producer_id()
        if is_lost:
            manager._current_state = TransactionState.UNINITIALIZED
    return is_lost
