"""The part of a response that says who answered: model, version, arm and release. It is made once and copied."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import ARM, RELEASE
from headgate.telemetry.counters import ARM_NAMES
from services.gateway.prediction_metrics import PINNED
from services.gateway.routing import Routing

MAX_KEPT = 4_096


def answered_by(request_id: str, routing: Routing) -> inference.ModelInferResponse:
    """A response without outputs. The arm of a version that the request names itself is "pinned"."""
    response = inference.ModelInferResponse()
    response.CopyFrom(_made(routing.version.model, routing.version.version, _arm(routing), routing.entry.route.release))
    if request_id:
        response.id = request_id
    return response


def answered_by_in_words(routing: Routing) -> Mapping[str, Any]:
    """The fields of a response without outputs and id, for JSON. Copy them, as with everything that is made once."""
    return _fields(routing.version.model, routing.version.version, _arm(routing), routing.entry.route.release)


def _arm(routing: Routing) -> str:
    return PINNED if routing.pinned else ARM_NAMES[routing.arm]


@lru_cache(MAX_KEPT)
def _made(model: str, version: int, arm: str, release: int) -> inference.ModelInferResponse:
    response = inference.ModelInferResponse(model_name=model, model_version=str(version))
    response.parameters[ARM].string_param = arm
    response.parameters[RELEASE].int64_param = release
    return response


@lru_cache(MAX_KEPT)
def _fields(model: str, version: int, arm: str, release: int) -> Mapping[str, Any]:
    return {"model_name": model, "model_version": str(version), "parameters": {ARM: arm, RELEASE: release}}
