"""Predictions are written and read alike on every log."""

import uuid

import pytest

from headgate.log import topics
from headgate.log.port import EventLog, Message
from headgate.telemetry import predictions as prediction_log
from headgate.telemetry.predictions import message_of, newest, partition_of_model, prediction_of
from headgate.v1 import predictions_pb2 as predictions


def test_the_newest_predictions_of_a_model_are_found_among_others(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "FIRST_STEP", 2)
    log.create_topics(topics.TOPICS)
    model, other = two_models_of_one_partition()
    written = [
        predictions.Prediction(id=str(number), model=other if number % 3 == 2 else model, at_ms=number, rate=0.5)
        for number in range(20)
    ]
    messages = [message_of(each) for each in written]
    messages.insert(7, Message(topics.PREDICTIONS, f"models/{model}".encode(), b"\xff"))
    log.append_all(messages)
    ends = log.end(topics.PREDICTIONS)
    of_model = [each for each in written if each.model == model]
    assert newest(log, model, 100, ends) == of_model
    assert newest(log, model, 5, ends) == of_model[-5:]
    assert newest(log, "nobody", 5, {}) == []


def test_a_prediction_is_a_cloud_event_of_its_version(log: EventLog) -> None:
    log.create_topics(topics.TOPICS)
    written = predictions.Prediction(
        id=str(uuid.uuid4()), gateway="gateway-0", model=f"m-{uuid.uuid4().hex}", version=2
    )
    position = log.append(message_of(written))
    (record,) = log.read(topics.PREDICTIONS, position.partition, position.offset, 1)
    assert (position.partition, prediction_of(record)) == (partition_of_model(written.model), written)
    headers = dict(record.headers)
    assert (headers["ce_type"], headers["ce_subject"]) == (
        b"headgate.prediction.v1",
        f"models/{written.model}/versions/2".encode(),
    )


def two_models_of_one_partition() -> tuple[str, str]:
    """Two new names whose predictions share a partition. The broker's topic has those of other tests too."""
    first = f"m-{uuid.uuid4().hex}"
    second = first
    while second == first or partition_of_model(second) != partition_of_model(first):
        second = f"m-{uuid.uuid4().hex}"
    return first, second
