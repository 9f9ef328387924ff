"""The prediction log: which predictions are recorded, what a record has, and what happens when too many come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.log import topics
from headgate.log.port import LogUnavailable, Message, Position
from headgate.log.sqlite.log import SqliteLog
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metric import GATEWAY
from headgate.runtime.observability.metrics import Metrics
from headgate.telemetry.predictions import newest
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.assignment import hash_key
from services.gateway.forward import Forward
from services.gateway.prediction_log import log as prediction_log
from services.gateway.prediction_log.log import PredictionLog
from services.gateway.prediction_log.record import Recording, Taken, record_of
from services.gateway.prediction_log.sampling import Allowance, Sampling, is_sampled, models_of, rates_of, salt_of
from services.gateway.request import request_of
from tests.metrics.exposed import text_of
from tests.waiting import PATIENCE_SECONDS

ROUTE = SimpleNamespace(release=3, epoch=7)
ROUTING: Any = SimpleNamespace(
    entry=SimpleNamespace(route=ROUTE), version=SimpleNamespace(version=2), arm=telemetry.ARM_CANDIDATE
)
FIT: Any = SimpleNamespace(inputs=SimpleNamespace(elements=3))
RECORDING = Recording("gateway-0", "production", 1_000, frozenset())
FEATURES = np.array([[1.5, 2.0, float("nan")]], np.float32)


def asked(raw: bool = True, id_: str = "r-1") -> inference.ModelInferRequest:
    request = inference.ModelInferRequest(model_name="fraud", id=id_)
    tensor = request.inputs.add(name="features", datatype="FP32", shape=[1, 3])
    if raw:
        request.raw_input_contents.append(FEATURES.tobytes())
    else:
        tensor.contents.fp32_contents.extend(FEATURES.ravel().tolist())
    return request


def answered() -> inference.ModelInferResponse:
    response = inference.ModelInferResponse(model_name="fraud", model_version="2")
    tensor = response.outputs.add(name="class", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"yes")
    return response


def answer_to(request: inference.ModelInferRequest) -> Any:
    return SimpleNamespace(forward=Forward(request_of(request), ROUTING, FIT), message=answered)


def taken(request: inference.ModelInferRequest) -> Taken:
    return Taken(
        request,
        request.raw_input_contents,
        request.id,
        answered(),
        2,
        telemetry.ARM_CANDIDATE,
        3,
        7,
        11,
        0.5,
        12.5,
        250,
        True,
        1_024,
    )


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with closing(SqliteLog(tmp_path / "log.db")) as log:
        log.create_topics(topics.TOPICS)
        yield log


def started(log: Any, metrics: Metrics, per_second: float = 1e9, **rates: float) -> PredictionLog:
    return PredictionLog(log, Sampling(rates.pop("rate", 1.0), rates, per_second), RECORDING, metrics, lambda: 1_000)


def take(written: PredictionLog, count: int, key: str = "", request: inference.ModelInferRequest | None = None) -> None:
    for number in range(count):
        sent = request or asked(id_=f"r-{number}")
        written.answered(lambda: key or sent.id, answer_to(sent), 0.00025, bad=False)  # noqa: B023


def ended(written: PredictionLog) -> None:
    written.start()
    written.close(PATIENCE_SECONDS)
    assert not written.is_alive()


def counts(metrics: Metrics) -> dict[str, float]:
    """The written predictions, and the dropped ones by reason."""
    lines = [
        line.rsplit(" ", 1) for line in text_of(metrics).splitlines() if line.startswith("headgate_prediction_log")
    ]
    return {name.removeprefix("headgate_prediction_log_"): float(value) for name, value in lines}


@given(st.floats(0, 1), st.floats(0, 1), st.text(max_size=20))
def test_a_higher_rate_only_adds_keys_and_a_key_is_always_decided_alike(low: float, high: float, key: str) -> None:
    low, high = min(low, high), max(low, high)
    found = hash_key(salt_of("fraud"), key)
    assert is_sampled(found, low) <= is_sampled(found, high)
    assert (is_sampled(found, 0.0), is_sampled(found, 1.0)) == (False, True)


def test_about_the_share_of_the_rate_is_sampled_and_independently_of_the_arm() -> None:
    keys = [f"caller-{number}" for number in range(10_000)]
    sampled = [key for key in keys if is_sampled(hash_key(salt_of("fraud"), key), 0.1)]
    of_arm = [key for key in sampled if hash_key("release-1", key) < 2**63]
    assert 850 < len(sampled) < 1_150
    assert 0.4 < len(of_arm) / len(sampled) < 0.6


def test_the_allowance_of_a_second_is_spent_once() -> None:
    now = [0.0]
    allowance = Allowance(2.0, lambda: now[0])
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    now[0] = 0.5
    assert [allowance.take() for _ in range(2)] == [True, False]
    now[0] = 60.0
    assert [allowance.take() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("text", ["fraud", "fraud=2", "fraud=-1", "fraud=x", "fraud=nan", "Fraud Team=0.1", "=0.1"])
def test_a_wrong_rate_of_a_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected (MODEL=RATE|a rate from 0 to 1)"):
        rates_of(text)


def test_the_lists_of_models_are_read() -> None:
    assert rates_of(" fraud=1, churn=0 ,") == {"fraud": 1.0, "churn": 0.0}
    assert (models_of("a, b"), models_of("*"), models_of("")) == ({"a", "b"}, {"*"}, frozenset())
    with pytest.raises(ValueError, match="expected the names of models"):
        models_of("a;b")


def test_a_record_has_the_contents_in_raw_form_however_they_were_sent() -> None:
    found = [record_of(taken(asked(raw)), RECORDING, 1_000) for raw in (True, False)]
    assert [record.inputs[0].raw for record in found] == [FEATURES.tobytes()] * 2
    assert [(record.inputs[0].size_bytes, list(record.inputs[0].shape)) for record in found] == [(12, [1, 3])] * 2
    assert (found[0].outputs[0].raw, found[0].version, found[0].bad) == (b"\x03\x00\x00\x00yes", 2, True)
    assert found[0].id != found[1].id


def test_contents_above_the_limit_are_cut_to_their_digest_and_the_answer_is_kept() -> None:
    record = record_of(taken(asked()), RECORDING._replace(content_bytes=15), 1_000)
    assert record.outputs[0].raw
    assert (record.inputs[0].raw, record.inputs[0].sha256) == (b"", hashlib.sha256(FEATURES.tobytes()).digest())


@pytest.mark.parametrize("models", ["fraud", "*"])
def test_inputs_that_are_left_out_leave_neither_values_nor_a_digest(models: str) -> None:
    record = record_of(taken(asked()), RECORDING._replace(without_inputs=models_of(models)), 1_000)
    assert record.inputs_left_out
    assert (record.inputs[0].WhichOneof("content"), record.inputs[0].name) == (None, "features")
    assert record.outputs[0].raw


def test_predictions_are_written_with_their_version_arm_and_release(log: SqliteLog) -> None:
    metrics = Metrics(GATEWAY)
    written = started(log, metrics)
    take(written, 3)
    ended(written)
    found = newest(log, "fraud", 10, log.end(topics.PREDICTIONS))
    assert [record.request_id for record in found] == ["r-0", "r-1", "r-2"]
    first = found[0]
    assert (first.version, first.arm, first.release, first.epoch) == (2, telemetry.ARM_CANDIDATE, 3, 7)
    assert (first.duration_us, first.rate, first.gateway) == (250, 1.0, "gateway-0")
    assert first.key_hash == hash_key(salt_of("fraud"), "r-0")
    assert counts(metrics)["written_total"] == 3


def test_a_request_whose_key_is_wrong_is_not_recorded_and_does_not_fail(log: SqliteLog) -> None:
    def wrong() -> str:
        raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-routing-key", "expected a string")

    written = started(log, Metrics(GATEWAY))
    written.answered(wrong, answer_to(asked()), 0.1, bad=False)
    ended(written)
    assert newest(log, "fraud", 10, log.end(topics.PREDICTIONS)) == []


def test_a_request_without_a_key_is_sampled_by_chance_and_has_the_hash_0(log: SqliteLog) -> None:
    written = started(log, Metrics(GATEWAY))
    take(written, 1, request=asked(id_=""))
    ended(written)
    (found,) = newest(log, "fraud", 10, log.end(topics.PREDICTIONS))
    assert (found.key_hash, found.request_id) == (0, "")


def test_a_model_with_the_rate_0_is_not_recorded(log: SqliteLog) -> None:
    written = started(log, Metrics(GATEWAY), fraud=0.0)
    take(written, 3)
    ended(written)
    assert newest(log, "fraud", 10, log.end(topics.PREDICTIONS)) == []


@pytest.mark.parametrize(("limit", "value"), [("MAX_WAITING", 5), ("MAX_WAITING_BYTES", 5 * 1_024)])
def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: str, value: int
) -> None:
    monkeypatch.setattr(prediction_log, limit, value)
    metrics = Metrics(GATEWAY)
    written = started(log, metrics)
    take(written, 8)
    ended(written)
    assert len(newest(log, "fraud", 10, log.end(topics.PREDICTIONS))) == 5
    assert counts(metrics) == {"written_total": 5, 'dropped_total{reason="queue-full"}': 3}
    assert [each.dropped for each in caplog.records] == [{"queue-full": 3}]  # type: ignore[attr-defined]


def test_more_than_the_rate_of_a_second_is_dropped_and_counted(log: SqliteLog) -> None:
    metrics = Metrics(GATEWAY)
    written = started(log, metrics, per_second=0.001)
    take(written, 4)
    ended(written)
    assert counts(metrics) == {"written_total": 1, 'dropped_total{reason="rate"}': 3}


class AwayLog:
    """A log that cannot be reached."""

    def append_all(self, messages: list[Message], timeout_seconds: float) -> list[Position]:
        raise LogUnavailable("the log is away")


def test_a_log_that_is_away_costs_predictions_and_stops_nothing() -> None:
    metrics = Metrics(GATEWAY)
    written = started(AwayLog(), metrics)
    take(written, 2)
    ended(written)
    assert counts(metrics) == {"written_total": 0, 'dropped_total{reason="log"}': 2}


def test_a_prediction_that_cannot_be_recorded_does_not_stop_the_others(log: SqliteLog) -> None:
    metrics = Metrics(GATEWAY)
    written = started(log, metrics)
    broken = asked()
    broken.inputs[0].datatype = "FP7"
    broken.ClearField("raw_input_contents")
    take(written, 1, request=broken)
    take(written, 1)
    ended(written)
    assert counts(metrics) == {"written_total": 1, 'dropped_total{reason="error"}': 1}
