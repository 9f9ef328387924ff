"""The part of a response that says who answered: model, version, arm and release. It is made once and copied."""

from functools import lru_cache

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import ARM, RELEASE
from headgate.telemetry.counters import ARM_NAMES
from services.gateway.prediction_metrics import PINNED
from services.gateway.routing import Routing

MAX_KEPT = 4_096


def answered_by(request_id: str, routing: Routing) -> inference.ModelInferResponse:
    """A response without outputs. The arm of a version that the request names itself is "pinned"."""
    arm = PINNED if routing.pinned else ARM_NAMES[routing.arm]
    response = inference.ModelInferResponse()
    version = routing.version
    response.CopyFrom(_made(version.model, version.version, arm, routing.entry.route.release))
    if request_id:
        response.id = request_id
    return response


@lru_cache(MAX_KEPT)
def _made(model: str, version: int, arm: str, release: int) -> inference.ModelInferResponse:
    """Copy it, because every response with the same answers shares it."""
    response = inference.ModelInferResponse(model_name=model, model_version=str(version))
    response.parameters[ARM].string_param = arm
    response.parameters[RELEASE].int64_param = release
    return response
