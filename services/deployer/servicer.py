"""DeployerService: shows the releases that this deployer steers, the versions in line, and what each one waits for."""

import grpc

from headgate.domain.names import stream_of
from headgate.lifecycle.follower import LifecycleFold
from headgate.runtime.log_clock import LogClock
from headgate.runtime.rpc.access_check import readable_in
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from services.deployer.evidence import GatewayReports
from services.deployer.pilot import pilots
from services.deployer.queue import Rules, versions_in_line


class DeployerServicer(worker_services_grpc.DeployerServiceServicer):
    def __init__(self, fold: LifecycleFold, reports: GatewayReports, clock: LogClock) -> None:
        self._fold = fold
        self._clock = clock
        self._reports = reports

    def ListPilots(
        self, request: worker_services.ListPilotsRequest, context: grpc.ServicerContext
    ) -> worker_services.ListPilotsResponse:
        with self._fold.lock:
            found = pilots(self._fold.models, self._fold.environments, self._reports, self._clock.now_ms())
            in_line = versions_in_line(self._fold.models, Rules(self._fold.environments, self._fold.access))
        may_read = readable_in(context)
        return worker_services.ListPilotsResponse(
            pilots=[pilot for pilot in found if may_read(stream_of(pilot.release.name))],
            waiting_versions=[version for version in in_line if may_read(stream_of(version.name))],
        )
