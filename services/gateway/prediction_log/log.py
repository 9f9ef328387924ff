"""Samples predictions and writes them to headgate.predictions, beside the request path.

A caller never waits for it, and no prediction fails because of it: what does not fit is dropped and counted.
"""

import logging
import math
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import islice

from headgate.log.port import MAX_RECORD_BYTES, EventLog, LogError, Message, record_bytes
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metrics import Metrics
from headgate.telemetry.predictions import message_of
from services.gateway.assignment import HASH_BITS, hash_key
from services.gateway.forward import Answer
from services.gateway.prediction_log.record import Recording, Taken, record_of, taken_from
from services.gateway.prediction_log.sampling import Allowance, Sampling, is_sampled, salt_of

MAX_WAITING = 512
"""Predictions that wait to be written. One more is dropped."""
MAX_WAITING_BYTES = 32 * 2**20
"""About the memory that the waiting predictions may hold."""
BATCH = 100
"""Predictions that are written together."""
WRITE_SECONDS = 5.0
PAUSE_SECONDS = 0.1
"""Time between two looks at the queue. To wake the thread for each prediction would cost the request path a switch."""
WARN_SECONDS = 60.0
"""A warning about dropped predictions comes once in this time."""
REASONS = QUEUE_FULL, RATE, LOG, SIZE, ERROR = "queue-full", "rate", "log", "size", "error"

logger = logging.getLogger(__name__)


def begin_counters(metrics: Metrics) -> None:
    """Shows the counters of this log as 0, where nothing is recorded too."""
    metrics.counter("headgate_prediction_log_written_total").labels()
    for reason in REASONS:
        metrics.counter("headgate_prediction_log_dropped_total").labels(reason)


class PredictionLog:
    """Any thread may call `answered`. The thread of this log makes the records and writes them."""

    def __init__(
        self, log: EventLog, sampling: Sampling, recording: Recording, metrics: Metrics, now_ms: Callable[[], int]
    ) -> None:
        self._log = log
        self._now_ms = now_ms
        self._sampling = sampling
        self._recording = recording
        self._written = metrics.counter("headgate_prediction_log_written_total").labels()
        self._dropped = metrics.counter("headgate_prediction_log_dropped_total")
        self._waiting: deque[Taken] = deque()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._allowance = Allowance(sampling.per_second, time.monotonic)
        self._drops: Counter[str] = Counter()
        self._unwarned: Counter[str] = Counter()
        self._warned_at = -math.inf
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self, grace_seconds: float) -> None:
        """Writes what waits, as far as the log takes it within the grace, and stops."""
        self._closing.set()
        self._thread.join(grace_seconds)

    def answered(self, key: Callable[[], str | None], answer: Answer, seconds: float, bad: bool) -> None:
        """Samples an answered prediction by its key, and keeps references to it. Its messages must not change any more.

        `key` gives the caller's routing key, or else the id of its request, or None.
        """
        model = answer.forward.request.signature.model
        rate = self._sampling.rate_of(model)
        if rate <= 0:
            return
        try:
            key_hash = self._sampled_hash(model, key() or "", rate)
        except RpcRefused:  # a key that nobody needed for the answer
            key_hash = None
        if key_hash is not None:
            self._put(taken_from(answer, key_hash, rate, seconds, bad))

    def _sampled_hash(self, model: str, key: str, rate: float) -> int | None:
        """The hash of a key that is sampled; 0 without a key. None for what is not sampled."""
        key_hash = hash_key(salt_of(model), key) if key else 0
        return key_hash if is_sampled(key_hash if key else random.getrandbits(HASH_BITS), rate) else None

    def _put(self, taken: Taken) -> None:
        with self._lock:
            bytes_then = self._waiting_bytes + taken.size_bytes
            if len(self._waiting) < MAX_WAITING and bytes_then <= MAX_WAITING_BYTES:
                self._waiting.append(taken)
                self._waiting_bytes = bytes_then
            else:
                self._drops[QUEUE_FULL] += 1

    def _run(self) -> None:
        while not self._closing.wait(PAUSE_SECONDS):
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        while batch := self._next_batch():
            messages = [message for taken in batch if (message := self._message(taken)) is not None]
            if messages:
                self._append(messages)
        self._report_drops(time.monotonic())

    def _next_batch(self) -> list[Taken]:
        with self._lock:
            batch = list(islice(self._waiting, BATCH))
            for taken in batch:
                self._waiting.popleft()
                self._waiting_bytes -= taken.size_bytes
        return batch

    def _message(self, taken: Taken) -> Message | None:
        """The message of a prediction; None when it was dropped instead."""
        if not self._allowance.take():
            self._drop(RATE, 1)
            return None
        try:
            message = message_of(record_of(taken, self._recording, self._log_time_ms(taken.ended_at)))
        except LogError:
            self._drop(LOG, 1)
            return None
        except Exception:  # a prediction that cannot be recorded must not stop the others
            logger.exception("prediction not recorded", extra={"model": taken.request.model_name})
            self._drop(ERROR, 1)
            return None
        if record_bytes(message) > MAX_RECORD_BYTES:
            self._drop(SIZE, 1)
            return None
        return message

    def _log_time_ms(self, monotonic: float) -> int:
        """The log's time at a moment of the monotonic clock. Raises LogError while the log's time is not known."""
        return self._now_ms() - round((time.monotonic() - monotonic) * 1_000)

    def _append(self, messages: list[Message]) -> None:
        try:
            self._log.append_all(messages, WRITE_SECONDS)
        except LogError as error:
            logger.debug("predictions not written", extra={"error": str(error)})
            self._drop(LOG, len(messages))
        else:
            self._written.inc(len(messages))

    def _drop(self, reason: str, count: int) -> None:
        with self._lock:
            self._drops[reason] += count

    def _report_drops(self, now: float) -> None:
        """Counts what was dropped, and now and then logs how many predictions were dropped and why."""
        with self._lock:
            drops, self._drops = self._drops, Counter()
        for reason, count in drops.items():
            self._dropped.labels(reason).inc(count)
        self._unwarned += drops
        if self._unwarned and now - self._warned_at >= WARN_SECONDS:
            logger.warning("predictions were not logged", extra={"dropped": dict(self._unwarned)})
            self._unwarned, self._warned_at = Counter(), now
