"""Trainers and deployers show a tenant the work on its own models alone."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headgate.access.subject import How, Kind, Subject
from headgate.access.table import row_of
from headgate.artifacts.store import open_store
from headgate.domain import model
from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.lifecycle.folded_access import FoldedAccess
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.call_check import Permission
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.worker.leases import Claim
from services.deployer.evidence import GatewayReports
from services.deployer.servicer import DeployerServicer
from services.trainer.artifact_servicer import ArtifactServicer
from services.trainer.attempts import Attempts
from services.trainer.servicer import TrainerServicer
from services.trainer.uploads import Uploads
from tests.domain.scenario import passed, requested, stamp

NOW_MS = 1_760_000_000_000


class Folded:
    """Two tenants with a model and a release each, and who may do what."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.models: dict[str, ModelState] = {}
        self.environments = {"production": EnvironmentState("production")}
        self.access = AccessState("default")
        for subject, models in (("anna", "a.*"), ("ben", "b.*"), ("root", "*")):
            self.access.grants[subject] = resources.Grant(
                grant=subject, subject=subject, role=facts.ROLE_ADMINISTRATOR, models=models, environments="*"
            )
        self.access.sequence = 1
        for name in ("a.secret", "b.mine"):
            state = self.models[name] = ModelState(name)
            for sequence, fact in enumerate([*passed(1), requested(1, 1)], 1):
                model.evolve(state, fact, stamp(sequence, sequence))
            state.versions[1].upload.model_sha256 = digest(name)

    def context(self, subject: str, method: str) -> Any:
        """The context of a call that was let through."""
        proof: Any = SimpleNamespace(subject=Subject(subject, Kind.PERSON, How.JWT))
        fold: Any = self
        return SimpleNamespace(permission=Permission(proof, lambda: None, FoldedAccess(fold), row_of(f"/{method}")))


def digest(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


@pytest.mark.parametrize(
    ("subject", "shown"), [("anna", {"a.secret"}), ("ben", {"b.mine"}), ("root", {"a.secret", "b.mine"})]
)
def test_a_list_of_work_shows_what_the_caller_may_read(subject: str, shown: set[str]):
    folded: Any = Folded()
    pilots = DeployerServicer(folded, GatewayReports(), SimpleNamespace(now_ms=lambda: NOW_MS)).ListPilots(
        worker_services.ListPilotsRequest(), folded.context(subject, "headgate.v1.DeployerService/ListPilots")
    )
    assert {pilot.release.name for pilot in pilots.pilots} == {f"models/{name}/releases/1" for name in shown}
    attempts, logs = Attempts(), SimpleNamespace()
    for name in folded.models:
        attempts.begin(Claim(f"models/{name}", 1, 1), NOW_MS)
    listed = TrainerServicer(attempts, logs).ListAttempts(  # type: ignore[arg-type]
        worker_services.ListAttemptsRequest(), folded.context(subject, "headgate.v1.TrainerService/ListAttempts")
    )
    assert {attempt.model for attempt in listed.attempts} == shown
    assert listed.busy_elsewhere == (subject != "root")


def test_a_blob_of_another_tenant_is_not_there(tmp_path: Path):
    folded, store = Folded(), open_store((tmp_path / "store").as_uri())
    for name in folded.models:
        (tmp_path / "file").write_text(name)
        store.put_file(tmp_path / "file", digest(name))
    fold: Any = folded
    servicer = ArtifactServicer(Uploads(store, tmp_path, None), fold)  # type: ignore[arg-type]

    def get(subject: str, sha256: str) -> Any:
        context = folded.context(subject, "headgate.v1.ArtifactService/GetBlob")
        return servicer.GetBlob(worker_services.GetBlobRequest(sha256=sha256), context)

    assert get("ben", digest("b.mine")).size_bytes == len("b.mine")
    assert get("root", digest("a.secret")).size_bytes == len("a.secret")
    said = []
    for sha256 in (digest("a.secret"), digest("a.nothing")):
        with pytest.raises(RpcRefused) as refused:
            get("ben", sha256)
        said.append((refused.value.code, str(refused.value).replace(sha256, "")))
    assert said[0] == said[1]
