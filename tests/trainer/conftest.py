"""An attempt without a log: its reports and its telemetry go into lists."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from headgate.artifacts.checkpoint_keys import new_checkpoint_key
from headgate.artifacts.store import open_store
from headgate.jail.bubblewrap import Bubblewrap
from headgate.jail.decision import JailSettings
from headgate.runtime.clock import now_ms
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import resources_pb2 as resources
from headgate.worker.leases import Claim
from services.trainer.attempt.tools import AttemptTools, Limits
from services.trainer.attempt.work import run_attempt
from services.trainer.attempts import Attempts
from services.trainer.packages.installing import GIB, Installing
from services.trainer.packages.kept import Kept
from services.trainer.packages.locked import LockedPackages
from tests.trainer.remote import access_in
from tests.trainer.repositories import TAKEN_NAMES, repository

JAIL = Bubblewrap()
TRUSTED = {"jail": Bubblewrap(program=""), "jail_settings": JailSettings(trusted=("*",))}
"""The tools of a trainer on a machine without a jail, whose operator trusts every repository."""
CLAIM = Claim("models/tiny", 1, 1)


@dataclass
class Telemetry:
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def send(self, key: str, **measurement: Any) -> None:
        self.sent.append((key, measurement))


@dataclass
class Trial:
    """One attempt, the commands it sent on its way, its telemetry, and its report."""

    tools: AttemptTools
    sent: list[commands.Command]
    telemetry: Telemetry
    report: commands.Command | None = None

    def run(self, source: tuple[str, str], **changes: Any) -> commands.Command | None:
        self.tools = replace(self.tools, **changes)
        version = resources.Version(
            version=1, build=resources.BUILD_STATE_TESTING, repository=source[0], commit=source[1], attempt=1
        )
        self.report = run_attempt(self.tools, CLAIM, version)
        return self.report


def trial_in(directory: Path) -> Trial:
    sent, telemetry = [], Telemetry()
    tools = AttemptTools(
        worker="trainer-0",
        store=open_store("memory:///"),
        checkpoint_key=new_checkpoint_key(),
        telemetry=telemetry,  # type: ignore[arg-type]
        attempts=Attempts(),
        report=sent.append,
        log_time_ms=now_ms,
        scratch=directory / "scratch",
        data=access_in(directory),
        jail=JAIL,
        packages=LockedPackages(Kept(directory / "environments", 9, GIB), Installing()),
        limits=Limits(tests_seconds=30, training_seconds=580, epoch_seconds=580, checkpoint_seconds=0),
    )
    return Trial(tools, sent, telemetry)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return trial_in(tmp_path)


@dataclass
class Trained:
    trial: Trial
    source: tuple[str, str]
    outcomes: dict[str, Any]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A whole attempt, and in the same process the trainings that must fail, so that torch starts once."""
    directory = tmp_path_factory.mktemp("trained")
    source = repository(directory / "tiny", files=TAKEN_NAMES, module="headgate.model")
    outcomes = directory / "outcomes.json"
    trial = trial_in(directory)
    # The cases are files of this tree, which a jail does not show.
    cases = ("python", "-P", str(Path(__file__).with_name("cases.py")), str(outcomes))
    trial.run(source, child=cases, **TRUSTED)
    trial.tools = replace(trial.tools, jail=JAIL, jail_settings=JailSettings())
    assert outcomes.exists(), trial.report
    return Trained(trial, source, json.loads(outcomes.read_text()))
