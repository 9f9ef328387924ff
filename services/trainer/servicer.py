"""TrainerService: the attempts of this process, their epochs, and the logs of versions."""

from collections.abc import Iterator

import grpc

from headgate.domain.names import model_stream
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.access_check import readable_in, require_in
from headgate.runtime.rpc.names import version_in
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from services.trainer.attempts import Attempts
from services.trainer.log_reading import LogReading

WAIT_SECONDS = 1.0


class TrainerServicer(worker_services_grpc.TrainerServiceServicer):
    def __init__(self, attempts: Attempts, logs: LogReading) -> None:
        self._attempts = attempts
        self._logs = logs

    def ListAttempts(
        self, request: worker_services.ListAttemptsRequest, context: grpc.ServicerContext
    ) -> worker_services.ListAttemptsResponse:
        may_read = readable_in(context)
        attempts = self._attempts.listed()
        shown = [each for each in attempts if may_read(model_stream(each.model))]
        return worker_services.ListAttemptsResponse(
            attempts=shown, busy_elsewhere=any(each.running for each in attempts if each not in shown)
        )

    def WatchEpochs(
        self, request: worker_services.WatchEpochsRequest, context: grpc.ServicerContext
    ) -> Iterator[worker_services.WatchEpochsResponse]:
        model, version = version_in(request.name)
        attempt = self._attempts.latest(model_stream(model), version)
        if attempt is None:
            rule = f"this trainer has no attempt at {request.name}; headgate.telemetry has the epochs of all trainers"
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "not-found", rule, "name")
        for epoch in self._attempts.follow_epochs(attempt, WAIT_SECONDS):
            if not context.is_active():
                return
            require_in(context)
            if epoch is not None:
                yield worker_services.WatchEpochsResponse(epoch=epoch)

    def WatchLogs(
        self, request: worker_services.WatchLogsRequest, context: grpc.ServicerContext
    ) -> Iterator[worker_services.WatchLogsResponse]:
        for part in self._logs.read(*version_in(request.name), request.follow):
            if not context.is_active():
                return
            require_in(context)
            if part is not None:
                yield part
