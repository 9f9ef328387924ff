"""What clients of Triton ask beside the protocol: configuration, statistics, and which versions are there.

Without a transport, like the rest of the protocol. Releases alone decide what is loaded, so nothing here changes it.
"""

import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import grpc

from headgate.artifacts.datatypes import BYTES
from headgate.artifacts.layout import MODEL_FILE
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.runtime.clock import now_ms
from headgate.runtime.errors import RpcRefused
from services.gateway.absence import ASLEEP, LOADING
from services.gateway.sessions import LoadedVersion
from services.gateway.statistics import NANOSECONDS_PER_SECOND, Statistics
from services.gateway.table import Entry, Table
from services.gateway.tensors import TensorSpec

PLATFORM, BACKEND = "onnxruntime_onnx", "onnxruntime"
READY_STATE, LOADING_STATE, UNAVAILABLE_STATE = "READY", "LOADING", "UNAVAILABLE"
NO_REPOSITORY = (
    "a gateway loads what releases say, and no caller; release a version with:"
    " headgate release start {model}/NUMBER --environment ENVIRONMENT"
)
ModelIndex = inference.RepositoryIndexResponse.ModelIndex
Specific = inference.ModelVersionPolicy.Specific
Find = Callable[[str, str], LoadedVersion]
"""The loaded version of a model, by the number as text, or the one whose metadata stands for it. Raises RpcRefused."""
MayAsk = Callable[[str], bool]
"""Whether a caller may ask the model of this name."""


def anything(model: str) -> bool:
    """Where nobody asks who calls, everybody may ask every model."""
    return True


class Repository:
    """Every method may be called on any thread."""

    def __init__(self, table: Callable[[], Table], find: Find) -> None:
        self._table = table
        self._find = find

    def index(
        self, request: inference.RepositoryIndexRequest, may_ask: MayAsk = anything
    ) -> inference.RepositoryIndexResponse:
        """The versions that routes name, by model and number, of the models that the caller may ask."""
        entries = sorted(self._table().entries.items())
        found = (each for model, entry in entries if may_ask(model) for each in _states(entry))
        models = [each for each in found if each.state == READY_STATE or not request.ready]
        return inference.RepositoryIndexResponse(models=models)

    def config(self, request: inference.ModelConfigRequest) -> inference.ModelConfigResponse:
        """How the version is served, as Triton writes it. Raises RpcRefused."""
        version = self._find(request.name, request.version)
        versions = self._table().entries[request.name].offered if not request.version else [version.version]
        return inference.ModelConfigResponse(
            config=inference.ModelConfig(
                name=request.name,
                platform=PLATFORM,
                backend=BACKEND,
                default_model_filename=MODEL_FILE,
                version_policy=inference.ModelVersionPolicy(specific=Specific(versions=versions)),
                input=[
                    inference.ModelInput(name=each.name, data_type=data_type(each), dims=each.wire_shape)
                    for each in version.inputs.values()
                ],
                output=[
                    inference.ModelOutput(name=each.name, data_type=data_type(each), dims=each.wire_shape)
                    for each in version.outputs
                ],
                model_transaction_policy=inference.ModelTransactionPolicy(decoupled=False),
            )
        )

    def statistics(self, request: inference.ModelStatisticsRequest) -> inference.ModelStatisticsResponse:
        """What the loaded versions have answered: one version, those of one model, or all. Raises RpcRefused."""
        table, since_1970 = self._table(), now_ms() / 1000 - time.monotonic()
        if request.name:
            versions = self._versions(request.name, request.version)
        else:
            versions = [version for entry in table.entries.values() for version in entry.versions.values()]
        ordered = sorted(versions, key=lambda version: (version.model, version.version))
        return inference.ModelStatisticsResponse(model_stats=[_statistics(each, since_1970) for each in ordered])

    def _versions(self, model: str, version: str) -> list[LoadedVersion]:
        """The loaded versions of the model, or the one of this number; none while it sleeps. Raises RpcRefused."""
        entry = self._table().entries.get(model)
        if entry is not None and entry.asleep and version in ("", str(entry.route.stable)):
            return [] if version else list(entry.versions.values())
        found = self._find(model, version)
        return [found] if version or entry is None else list(entry.versions.values())

    def load(self, request: inference.RepositoryModelLoadRequest) -> NoReturn:
        """Refuses."""
        _refuse(request.model_name)

    def unload(self, request: inference.RepositoryModelUnloadRequest) -> NoReturn:
        """Refuses."""
        _refuse(request.model_name)


def data_type(spec: TensorSpec) -> inference.DataType.ValueType:
    """Triton's name of the datatype in a configuration. Text has another one there than in the protocol."""
    return inference.DataType.Value("TYPE_STRING" if spec.datatype == BYTES else f"TYPE_{spec.datatype}")


def _states(entry: Entry) -> Iterator[ModelIndex]:
    for number in sorted(entry.route.versions):
        reason = entry.why_missing(number)
        state = (LOADING_STATE if reason == LOADING else UNAVAILABLE_STATE) if reason else READY_STATE
        reason = reason or (ASLEEP if entry.is_asleep(number) else "")
        yield ModelIndex(name=entry.route.model, version=str(number), state=state, reason=reason)


def _statistics(version: LoadedVersion, since_1970: float) -> inference.ModelStatistics:
    counted: Statistics = version.statistics
    last = int((since_1970 + counted.last_monotonic) * 1000) if counted.last_monotonic else 0
    return inference.ModelStatistics(
        name=version.model,
        version=str(version.version),
        last_inference=last,
        inference_count=counted.answered,
        execution_count=counted.answered,
        inference_stats=inference.InferStatistics(
            success=_duration(counted.answered, counted.answered_seconds),
            fail=_duration(counted.failed, counted.failed_seconds),
        ),
    )


def _duration(count: int, seconds: float) -> inference.StatisticDuration:
    return inference.StatisticDuration(count=count, ns=int(seconds * NANOSECONDS_PER_SECOND))


def _refuse(model: str) -> NoReturn:
    rule = NO_REPOSITORY.format(model=model or "MODEL")
    raise RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, "releases-decide", rule, "model_name")
