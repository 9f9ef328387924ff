"""The registry, wired: the only place that chooses its parts."""

from headgate.log.at_start import await_log
from headgate.log.fold import LifecycleFold
from headgate.log.port import LogUnavailable
from headgate.runtime.clock import now_ms
from headgate.runtime.grpc_server import GrpcServer
from headgate.v1 import registry_service_pb2 as registry_rpc
from headgate.v1 import registry_service_pb2_grpc as registry_grpc
from headgate.v1 import release_service_pb2 as release_rpc
from headgate.v1 import release_service_pb2_grpc as release_grpc
from headgate.worker.dead_letters import Burials
from services.registry.decider import Decider
from services.registry.door import Door
from services.registry.handlers import intakes
from services.registry.history import History
from services.registry.release_servicer import ReleaseServicer
from services.registry.search import Search
from services.registry.servicer import RegistryServicer
from services.registry.settings import Settings
from services.registry.voids import VoidBurials
from services.registry.watches import MAX_WATCHES, Watches

REPLAY_SECONDS = 600.0
UNARY_THREADS = 32
"""Left to the other calls while every place of a watch is taken."""


class Registry:
    """The running registry."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.name
        self._log = await_log(settings.log, settings.log_wait_seconds)
        self._fold = LifecycleFold(self._log)
        decider = Decider(self._log, self._fold, now_ms)
        door = Door(decider, self._fold)
        burials = Burials(self._log, settings.name)
        self._voids = VoidBurials(self._fold, burials)
        self._intakes = intakes(self._log, self._fold, decider, settings.name, burials)
        self._watches = Watches()
        search = Search(door)
        history = History(self._log, self._fold, self._watches)
        registry = RegistryServicer(door, history, search, self._watches)
        release = ReleaseServicer(door, search, self._watches)
        self._server = GrpcServer(
            settings.port,
            [
                lambda server: registry_grpc.add_RegistryServiceServicer_to_server(registry, server),
                lambda server: release_grpc.add_ReleaseServiceServicer_to_server(release, server),
            ],
            [
                registry_rpc.DESCRIPTOR.services_by_name["RegistryService"].full_name,
                release_rpc.DESCRIPTOR.services_by_name["ReleaseService"].full_name,
            ],
            threads=UNARY_THREADS + MAX_WATCHES,
            host=settings.host,
        )

    def start(self) -> int:
        """Replays the log, then opens the door and takes commands; returns the port."""
        self._voids.start()
        self._fold.start()
        if not self._fold.wait_caught_up(REPLAY_SECONDS):
            raise LogUnavailable(f"the log was not replayed within {REPLAY_SECONDS:.0f} s")
        for intake in self._intakes:
            intake.start()
        return self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Turns callers away, finishes what is in hand, leaves the group."""
        self._watches.close()
        self._server.stop(grace_seconds)
        for intake in self._intakes:
            intake.stop_soon()
        for intake in self._intakes:
            intake.stop(grace_seconds)
        self._voids.stop(grace_seconds)
        self._fold.close()
        self._log.close()


def build(settings: Settings) -> Registry:
    """The registry for these settings."""
    return Registry(settings)
