"""The version that answers one request, and the arm that its answer is counted for."""

from typing import NamedTuple

from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.prediction_metrics import ArmMetrics
from services.gateway.sessions import LoadedVersion
from services.gateway.table import Entry


class Routing(NamedTuple):
    """The version that answers one request, and the arm that its answer is counted for."""

    entry: Entry
    version: LoadedVersion
    arm: telemetry.Arm.ValueType
    key_hash: int
    counted: bool
    metrics: ArmMetrics
    pinned: bool = False

    @property
    def is_candidate(self) -> bool:
        """Whether the answer counts for the candidate."""
        return self.arm == telemetry.ARM_CANDIDATE

    def to(self, version: LoadedVersion) -> "Routing":
        """The same request for another version. Its answer is sent to nobody and counts for nothing."""
        return self._replace(version=version, counted=False)

    def count_evidence(self, bad: bool, late: bool = False) -> None:
        """Counts the answer as evidence, unless it must not be counted. Thread-safe."""
        if self.counted:
            self.entry.counter.count(self.arm, self.key_hash, bad, late)
