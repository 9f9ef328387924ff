"""Keeps a device's routing table up to date with the routes that it was sent and the versions that it could load."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import edge_state_pb2 as edge_state
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.absence import unexplained
from services.gateway.assignment import hash_key
from services.gateway.edge.blob_folder import BlobFolder
from services.gateway.edge.sealed_file import read_sealed, write_sealed
from services.gateway.edge.serving import next_served
from services.gateway.evidence import EvidenceCounters
from services.gateway.loading.eviction import Role, VersionKey
from services.gateway.loading.next_load import Wanted, wanted_version
from services.gateway.loading.version_loader import NOT_REACHED, MemoryUse, VersionLoader
from services.gateway.memory import bytes_for_versions
from services.gateway.prediction_metrics import PredictionMetrics
from services.gateway.routed import artifacts_of, files_needed, route_of, withheld_of
from services.gateway.routes import NO_EPOCH, NO_RELEASE, NO_VERSION
from services.gateway.sessions import Load
from services.gateway.table import Entry, Table, build_entries

logger = logging.getLogger(__name__)

ROUTES_FILE = "routes"
MAX_STATUSES = 500
"""Routes in one report, so that it is never too large for a gateway."""

Kept = TypeVar("Kept", bound=Message)


def read_message(file: Path, kind: type[Kept]) -> Kept:
    """What the file holds, or an empty message when there is none that can be read."""
    content = read_sealed(file)
    try:
        return kind.FromString(content or b"")
    except DecodeError:
        return kind()


class DeviceFollower:
    """Replaces the table whenever routes come or versions become ready, and keeps both sets of routes on disk."""

    def __init__(
        self,
        folder: Path,
        blobs: BlobFolder,
        load: Load,
        evidence: EvidenceCounters,
        predictions: PredictionMetrics,
        on_change: Callable[[], None],
    ) -> None:
        self._file = folder / ROUTES_FILE
        self._blobs = blobs
        self._evidence = evidence
        self._predictions = predictions
        self._on_change = on_change
        self._lock = threading.Lock()
        self._loader = VersionLoader(load, lambda models: self._rebuild(), bytes_for_versions())
        self._kept = read_message(self._file, edge_state.DeviceRoutes)
        self.table = Table()

    @property
    def resume_token(self) -> str:
        """Of the routes that this device has; empty without any."""
        return self._kept.resume_token

    @property
    def has_routes(self) -> bool:
        """Whether this device has ever been sent routes."""
        return bool(self._kept.resume_token)

    @property
    def counted(self) -> set[tuple[str, int, int]]:
        """Model, release and epoch of the routes that are served."""
        return {(each.model, each.release, each.epoch) for each in self._kept.served.routes}

    def start(self) -> None:
        """Begins to load what is on the disk."""
        self._want()
        self._rebuild()
        self._loader.start()

    def close(self) -> None:
        """Ends the loader's thread."""
        self._loader.close()

    def take(self, routes: edge.EdgeRoutes, token: str) -> None:
        """Takes over routes that a gateway has sent."""
        with self._lock:
            self._kept = edge_state.DeviceRoutes(received=routes, resume_token=token, served=self._kept.served)
            self._keep()
        self._rebuild()
        self._want()

    def loads_finished(self) -> bool:
        """Whether every version that must answer now has been loaded, or has failed to load."""
        return self.has_routes and all(
            number in entry.versions or number in entry.failures
            for entry in self.table.entries.values()
            for number in entry.route.weighted_versions
        )

    def why_missing(self, model: str, number: int) -> str:
        """Why a version cannot answer here, for the caller who names it."""
        entry = self.table.entries.get(model)
        if entry is not None and number in entry.route.versions:
            return entry.why_missing(number)
        return unexplained(model, number)

    def memory(self) -> MemoryUse:
        """The memory for versions."""
        return self._loader.use()

    def statuses(self) -> list[telemetry.RouteStatus]:
        """What the device reports: for each route that it was sent what it serves, and what it refused and why.

        Refusals come first, and no more than MAX_STATUSES come. A file that could not be had yet is no refusal.
        """
        loads, table = self._loader.loads(), self.table
        refused = {key: why for key, why in loads.failures.items() if not why.startswith(NOT_REACHED)}
        found = [_status(route, table, loads.ready, refused) for route in self._kept.received.routes]
        return sorted(found, key=lambda status: not status.failures)[:MAX_STATUSES]

    def served(self, device: str, silent_seconds: float) -> list[edge.ServedModel]:
        """What answers the callers of this device now, of at most MAX_STATUSES models."""
        entries = sorted(self.table.entries.items())[:MAX_STATUSES]
        return [_served(entry, device, silent_seconds) for _, entry in entries]

    def _wanted(self) -> dict[VersionKey, Wanted]:
        """All that is wanted: first what is on the disk, so that no download delays it.

        None of them may sleep: what does not fit into the memory is refused, and the device keeps what it has.
        """
        artifacts = artifacts_of(self._kept.served) | artifacts_of(self._kept.received)
        ordered = sorted(artifacts.items(), key=lambda item: not self._is_here(item[1]))
        return {key: wanted_version(artifact, Role.FULL_CANDIDATE) for key, artifact in ordered}

    def _is_here(self, artifact: facts.Artifact) -> bool:
        return all(self._blobs.has(sha256) for sha256, _ in files_needed(artifact))

    def _want(self) -> None:
        wanted = self._wanted()
        self._loader.set_wanted(wanted)
        try:
            self._blobs.keep_only({sha256 for each in wanted.values() for sha256, _ in files_needed(each.artifact)})
        except OSError as error:
            logger.warning("files that no route needs were not deleted: %s", error)

    def _rebuild(self) -> None:
        with self._lock:
            loads = self._loader.loads()
            before = {route.model: route for route in self._kept.served.routes}
            served = next_served(self._kept.received, before, loads.ready)
            is_new = served != before
            if is_new:
                self._kept.served.CopyFrom(edge.EdgeRoutes(routes=served.values()))
                self._keep()
            self._predictions.keep_only(served)
            self.table = Table(
                build_entries(
                    {model: route_of(route) for model, route in served.items()},
                    loads.ready,
                    loads.failures,
                    self._evidence,
                    self._predictions,
                    withheld_of(self._kept.received),
                )
            )
        if is_new:
            self._want()
        self._on_change()

    def _keep(self) -> None:
        """Writes the routes to the disk. When that fails, the device serves on; the next change writes again."""
        try:
            write_sealed(self._file, self._kept.SerializeToString())
        except OSError as error:
            logger.error("the routes are not on the disk: %s", error)


def _served(entry: Entry, device: str, silent_seconds: float) -> edge.ServedModel:
    route = entry.route
    choice = entry.choose(hash_key(route.salt, device), silent_seconds)
    number = choice.version.version if choice.version else NO_VERSION
    arm = choice.arm if route.release != NO_RELEASE else telemetry.ARM_UNSPECIFIED
    return edge.ServedModel(model=route.model, version=number, arm=arm, release=route.release, epoch=route.epoch)


def _status(
    route: edge.EdgeRoute, table: Table, ready: Mapping[VersionKey, object], failures: Mapping[VersionKey, str]
) -> telemetry.RouteStatus:
    numbers = route_of(route).versions
    entry = table.entries.get(route.model)
    is_applied = entry is not None and entry.applied and entry.route == route_of(route)
    return telemetry.RouteStatus(
        model=route.model,
        epoch=route.epoch if is_applied else NO_EPOCH,
        ready_versions=[number for number in sorted(numbers) if (route.model, number) in ready],
        failures=[
            telemetry.LoadFailure(version=number, reason=failures[route.model, number])
            for number in sorted(numbers)
            if (route.model, number) in failures
        ],
    )
