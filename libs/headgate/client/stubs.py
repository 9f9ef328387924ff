"""The gRPC stubs that a caller needs. Each channel opens on first use."""

from functools import cached_property
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from headgate.client.actor import ActorHeader
from headgate.client.as_of_field import AsOfField
from headgate.client.bearer import BearerToken
from headgate.client.change_fields import ChangeFields
from headgate.client.log_time import LogTime
from headgate.client.tls import ClientTls
from headgate.domain.address import ADDRESS_RULE, is_address
from headgate.domain.credentials import without_credentials
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.inference_parameters import MAX_MESSAGE_BYTES
from headgate.v1 import access_service_pb2_grpc as access_service_grpc
from headgate.v1 import edge_service_pb2_grpc as edge_grpc
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.v1 import release_service_pb2_grpc as release_service_grpc
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc

TIMEOUT_SECONDS = 15.0
"""How long one call waits for its answer."""


class Stubs:
    """Stubs for the services at their addresses (host:port). The registry records `actor` in the log.

    With `tls` all services are called with TLS. With a `token` they all learn by it who calls.

    The first use of a stub raises ValueError when its address is not host:port.
    """

    def __init__(
        self,
        registry: str,
        gateway: str,
        actor: str = "",
        *,
        trainer: str = "",
        evaluator: str = "",
        deployer: str = "",
        fields: ChangeFields | None = None,
        tls: ClientTls | None = None,
        token: str = "",
    ) -> None:
        self.tls = tls
        self.token = token
        self.registry_address = registry
        self.gateway_address = gateway
        self.trainer_address = trainer
        self.evaluator_address = evaluator
        self.deployer_address = deployer
        self.as_of = AsOfField()
        """The moment in the past that all calls read, once it is set."""
        self._interceptors = (*([ActorHeader(actor)] if actor else ()), *([fields] if fields else ()), self.as_of)
        self._bearer = [BearerToken(token)] if token else []
        self._channels: dict[str, grpc.Channel] = {}

    @cached_property
    def registry(self) -> registry_service_grpc.RegistryServiceStub:
        return registry_service_grpc.RegistryServiceStub(self._registry_channel)

    @cached_property
    def log_time(self) -> LogTime:
        """The log's time, as the registry knows it."""
        return LogTime(self.registry.GetLogTime)

    def shown_ms(self) -> int:
        """The time of what is shown: the log's, or that of the moment in the past, in ms since the epoch."""
        moment = self.as_of.moment
        return moment.time_ms if moment is not None and moment.time_ms else self.log_time.shown_ms()

    @cached_property
    def releases(self) -> release_service_grpc.ReleaseServiceStub:
        return release_service_grpc.ReleaseServiceStub(self._registry_channel)

    @cached_property
    def access(self) -> access_service_grpc.AccessServiceStub:
        return access_service_grpc.AccessServiceStub(self._registry_channel)

    @cached_property
    def inference(self) -> inference_grpc.GRPCInferenceServiceStub:
        return inference_grpc.GRPCInferenceServiceStub(self._channel(self.gateway_address))

    @cached_property
    def artifacts(self) -> worker_services_grpc.ArtifactServiceStub:
        return worker_services_grpc.ArtifactServiceStub(self._channel(self.trainer_address))

    @cached_property
    def trainer(self) -> worker_services_grpc.TrainerServiceStub:
        return worker_services_grpc.TrainerServiceStub(self._channel(self.trainer_address))

    @cached_property
    def evaluator(self) -> worker_services_grpc.EvaluatorServiceStub:
        return worker_services_grpc.EvaluatorServiceStub(self._channel(self.evaluator_address))

    @cached_property
    def deployer(self) -> worker_services_grpc.DeployerServiceStub:
        return worker_services_grpc.DeployerServiceStub(self._channel(self.deployer_address))

    def edge(self, address: str) -> edge_grpc.EdgeServiceStub:
        """What a gateway offers to devices, at the address of its server for devices."""
        return edge_grpc.EdgeServiceStub(self._channel(address))

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _registry_channel(self) -> grpc.Channel:
        return grpc.intercept_channel(self._channel(self.registry_address), *self._interceptors)

    def _channel(self, address: str) -> grpc.Channel:
        if address not in self._channels:
            self._channels[address] = _channel_to(address, self.tls)
        return grpc.intercept_channel(self._channels[address], *self._bearer)


def serves(address: str, timeout_seconds: float = 1.0, tls: ClientTls | None = None) -> bool:
    """Whether a gRPC server answers at the address and reports that it is healthy.

    Raises ValueError for an address that is not host:port.
    """
    with _channel_to(address, tls) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=timeout_seconds, wait_for_ready=True
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel_to(address: str, tls: ClientTls | None) -> grpc.Channel:
    if not is_address(address):
        raise ValueError(f"{without_credentials(address)!r}: {ADDRESS_RULE}")
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
    if tls is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, tls.credentials(), options)
