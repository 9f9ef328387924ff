"""Writes and reads the records of headgate.predictions, the sample of what gateways were asked and answered."""

from collections.abc import Iterator, Mapping

from google.protobuf.message import DecodeError

from headgate.domain.names import model_stream
from headgate.log import topics
from headgate.log.envelope import PROTOBUF, CloudEvent, encode
from headgate.log.partitioner import partition_of
from headgate.log.port import PARTITIONS, EventLog, Message, Record
from headgate.log.scan import scan
from headgate.v1 import predictions_pb2 as predictions

EVENT_TYPE = "headgate.prediction.v1"
FIRST_STEP = 200
"""Records that a reader looks at first from the end of a partition. It doubles the step until it has enough."""


def message_of(prediction: predictions.Prediction) -> Message:
    """The prediction as a CloudEvent in binary mode. All predictions of a model are in one partition."""
    event = CloudEvent(
        id=prediction.id,
        source=f"/headgate/gateway/{prediction.gateway}",
        type=EVENT_TYPE,
        data=prediction.SerializeToString(),
        content_type=PROTOBUF,
        attributes={"subject": f"{model_stream(prediction.model)}/versions/{prediction.version}"},
    )
    headers, value = encode(event)
    return Message(topics.PREDICTIONS, model_stream(prediction.model).encode(), value, headers)


def prediction_of(record: Record) -> predictions.Prediction | None:
    """The prediction in a record; None when a gateway cannot have written it."""
    try:
        found = predictions.Prediction.FromString(record.value or b"")
    except DecodeError:
        return None
    return found if found.id and record.key == model_stream(found.model).encode() else None


def partition_of_model(model: str) -> int:
    """The partition that has the predictions of a model."""
    return partition_of(model_stream(model).encode(), PARTITIONS)


def newest(log: EventLog, model: str, count: int, ends: Mapping[int, int]) -> list[predictions.Prediction]:
    """The last predictions of a model before the ends, oldest first. Raises LogError.

    It reads backwards in growing steps, so a few predictions of a long topic cost little.
    """
    partition = partition_of_model(model)
    stop, step = ends.get(partition, 0), FIRST_STEP
    found: list[predictions.Prediction] = []
    while stop > 0 and len(found) < count:
        start = max(0, stop - step)
        found = [*of_model(scan(log, topics.PREDICTIONS, partition, start, stop), model), *found]
        stop, step = start, 2 * step
    return found[max(0, len(found) - count) :]


def of_model(records: Iterator[Record], model: str) -> Iterator[predictions.Prediction]:
    """The predictions of a model among these records."""
    for record in records:
        found = prediction_of(record)
        if found is not None and found.model == model:
            yield found
