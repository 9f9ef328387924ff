"""Puts the registry's parts together. No other file constructs them."""

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from headgate.dead_letters.burials import Burials, counting
from headgate.lifecycle.authentication_setting import access_check, administrators_of
from headgate.lifecycle.service_parts import ServiceParts
from headgate.log.port import LogUnavailable
from headgate.runtime.deadline import Deadline
from headgate.runtime.observability.metric import REGISTRY
from headgate.runtime.rpc.metrics import RpcMetrics
from headgate.runtime.rpc.server import GrpcServer
from headgate.telemetry.clock_watch import ClockWatch
from headgate.telemetry.topic import TelemetryWriter
from headgate.v1 import access_service_pb2 as access_service
from headgate.v1 import access_service_pb2_grpc as access_service_grpc
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import release_service_pb2_grpc as release_service_grpc
from headgate.view.indexed import IndexedFold
from services.registry.access_servicer import AccessServicer
from services.registry.as_of import AsOfReads
from services.registry.attestations import Attestations
from services.registry.decider import Decider
from services.registry.first_token import first_digest, make_first_token
from services.registry.handlers import intakes
from services.registry.history import History
from services.registry.redis_parts import RedisParts
from services.registry.release_servicer import ReleaseServicer
from services.registry.release_times import ReleaseTimes
from services.registry.requests import Requests
from services.registry.search import Search
from services.registry.servicer import RegistryServicer
from services.registry.settings import Settings
from services.registry.voids import VoidBurials
from services.registry.watches import MAX_WATCHES, Watches

if TYPE_CHECKING:
    from services.registry.revocations import Revocations
    from services.registry.signing import Signing

UNARY_THREADS = 32
"""Threads for calls that are not watches. They stay free even when all watches are taken."""
SHARE_OF_CALLS = 0.6
"""Share of the grace for calls in progress."""
SHARE_OF_INTAKE = 0.4
"""Share of the grace for each of these: records in progress, burials, Redis. The rest is for closing the log."""


logger = logging.getLogger(__name__)


class Registry:
    """The running registry."""

    def __init__(self, settings: Settings) -> None:
        self._first_digest = first_digest(settings.authentication_first_token)
        self._parts = parts = ServiceParts(REGISTRY, settings)
        self.name, self.grace_seconds = parts.name, parts.grace_seconds
        log, fold, metrics = parts.log, parts.fold, parts.metrics
        self._clock_watch = ClockWatch(parts.clock, TelemetryWriter(log, settings.name), metrics)
        self.decider = decider = Decider(log, fold, parts.clock.now_ms, metrics)
        self._signing = signature_work(settings, parts, decider)
        requests = Requests(decider, fold)
        burials = Burials(log, settings.name, counting(metrics))
        self._voids = VoidBurials(log, fold, burials)
        self._intakes = intakes(log, fold, decider, settings.name, burials, metrics, settings.authentication)
        for intake in self._intakes:
            parts.watch_lag("registry", intake.topic, intake.positions)
        self._watches = Watches()
        self._redis = RedisParts(settings, log, fold, metrics)
        self._indexed = IndexedFold(fold)
        as_of = AsOfReads(log, fold, parts.clock.now_ms)
        search = Search(requests, self._indexed, as_of, self._redis.view, self._redis.count_read)
        history = History(log, fold, self._watches)
        now_ms = parts.clock.now_ms
        attestations = Attestations(requests, settings.keys, now_ms)
        registry = RegistryServicer(requests, history, search, as_of, self._watches, attestations, now_ms)
        release = ReleaseServicer(requests, search, as_of, self._watches, ReleaseTimes(fold))
        access = AccessServicer(requests, as_of, parts.clock.now_ms, administrators_of(settings))
        self._server = GrpcServer(
            settings.port,
            [
                lambda server: access_service_grpc.add_AccessServiceServicer_to_server(access, server),
                lambda server: registry_service_grpc.add_RegistryServiceServicer_to_server(registry, server),
                lambda server: release_service_grpc.add_ReleaseServiceServicer_to_server(release, server),
            ],
            [
                access_service.DESCRIPTOR.services_by_name["AccessService"].full_name,
                registry_service.DESCRIPTOR.services_by_name["RegistryService"].full_name,
                release_service.DESCRIPTOR.services_by_name["ReleaseService"].full_name,
            ],
            interceptors=[RpcMetrics(metrics), *self._redis.interceptors],
            threads=UNARY_THREADS + MAX_WATCHES,
            host=settings.host,
            tls=parts.tls,
            access=access_check(settings, parts),
        )

    def start(self) -> int:
        """Opens the port, replays the log, and only then takes commands. Returns the port."""
        port = self._server.start()
        self._voids.start()
        self._parts.start()
        self._parts.await_replay()
        self._indexed.start()
        self._await_time()
        if self._first_digest:
            make_first_token(self.decider, self._parts.fold, self._first_digest, self._parts.clock.now_ms())
        self._redis.start()
        for intake in self._intakes:
            intake.start()
        for work in self._signing:
            work.start()
            self._parts.watch(work)
        self._parts.ready(*self._intakes, self._clock_watch)
        self._server.admit()
        return port

    def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, finishes what is in progress, and leaves the consumer groups and the log."""
        deadline = Deadline(grace_seconds)
        self._parts.drain()
        self._clock_watch.stop_soon()
        self._watches.close()
        for intake in self._intakes:
            intake.stop_soon()
        self._server.stop(deadline.left(SHARE_OF_CALLS))
        for intake in self._intakes:
            intake.stop(deadline.left(SHARE_OF_INTAKE))
        self._voids.stop(deadline.left(SHARE_OF_INTAKE))
        for work in self._signing:
            work.stop(deadline.left(SHARE_OF_INTAKE))
        self._redis.close(deadline.left(SHARE_OF_INTAKE))
        self._parts.close(deadline)

    def _await_time(self) -> None:
        """Until the log takes records, commands are UNAVAILABLE with its reason. Reads are answered meanwhile."""
        with suppress(LogUnavailable):
            self._clock_watch.probe()
        self._clock_watch.start()


def signature_work(
    settings: Settings, parts: ServiceParts, decider: Decider
) -> "tuple[Signing, Revocations] | tuple[()]":
    """What signs artifacts, and what quarantines those of revoked keys.

    Nothing when the settings name no store and no keys. Raises SettingsError.
    """
    if not settings.artifacts or settings.keys is None:
        logger.warning("nothing is signed here: that needs HEADGATE_ARTIFACTS and HEADGATE_KEYS")
        return ()
    # Imported here: a registry that does not sign needs no library of cryptography.
    from headgate.lifecycle.artifact_setting import artifact_store
    from services.registry.revocations import Revocations
    from services.registry.signing import Signing, require_key

    require_key(settings.keys)
    store = artifact_store(settings)
    signing = Signing(store, settings.keys, parts.fold, decider, parts.clock.now_ms)
    return signing, Revocations(store, settings.keys, parts.fold, decider)


def build(settings: Settings) -> Registry:
    """The registry for these settings."""
    return Registry(settings)
