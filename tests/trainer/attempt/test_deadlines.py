"""Until when the stages of an attempt may last, as others see it. Nothing here starts torch."""

from pathlib import Path

import pytest

from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.checkout import GIT_SECONDS
from services.trainer.attempt.remote_data import DATA_SECONDS
from services.trainer.attempt.tools import MAX_DEADLINE_SECONDS, Limits, deadline_of
from services.trainer.attempts import Attempt, Attempts
from services.trainer.packages.installing import Installing
from tests.downloads.servers import Files, serving
from tests.trainer.attempt.test_locked_packages import TRAINS, locked
from tests.trainer.conftest import Trial
from tests.trainer.packages.wheels import index_in, of_the_base, wheel
from tests.trainer.remote import access_in
from tests.trainer.repositories import DATA

AT_MS = 1_700_000_000_000


class Seen(Attempts):
    """Attempts whose list is read whenever a limit or a stage begins."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines_ms: list[tuple[facts.Stage.ValueType, int]] = []

    def limit(self, attempt: Attempt, deadline_ms: int) -> None:
        super().limit(attempt, deadline_ms)
        self._look()

    def enter_stage(self, attempt: Attempt, stage: facts.Stage.ValueType) -> None:
        super().enter_stage(attempt, stage)
        self._look()

    def _look(self) -> None:
        (listed,) = self.listed()
        seen = (listed.stage, listed.deadline_ms)
        if seen not in self.deadlines_ms:
            self.deadlines_ms.append(seen)


def test_each_stage_with_a_limit_says_when_it_is_ended_at_the_latest(trial: Trial, tmp_path: Path) -> None:
    attempts = Seen()
    files = Files({"/numbers.csv": DATA.encode()})
    with serving(files) as url, index_in(tmp_path / "index") as index:
        lock = of_the_base("torch") + wheel(index, "shade", "1.0")
        report = trial.run(
            locked(tmp_path / "tiny", lock, uri=f"{url}/numbers.csv"),
            child=TRAINS,
            attempts=attempts,
            data=access_in(tmp_path, url),
            limits=Limits(tests_seconds=30.5, training_seconds=580),
            log_time_ms=lambda: AT_MS,
        )
    assert report is not None
    assert report.WhichOneof("command") == "report_training_finished", report
    assert attempts.deadlines_ms == [
        (facts.STAGE_CHECKOUT, AT_MS + GIT_SECONDS * 1_000),
        (facts.STAGE_CONFIGURATION, 0),
        (facts.STAGE_DATA, 0),
        (facts.STAGE_DATA, AT_MS + DATA_SECONDS * 1_000),
        (facts.STAGE_PACKAGES, 0),
        (facts.STAGE_PACKAGES, AT_MS + Installing().seconds * 1_000),
        (facts.STAGE_TESTS, 0),
        (facts.STAGE_TESTS, AT_MS + 30_500),
        (facts.STAGE_TRAINING, 0),
        (facts.STAGE_TRAINING, AT_MS + 580_000),
        (facts.STAGE_EXPORT, 0),
    ]
    assert attempts.listed()[0].deadline_ms == 0


@pytest.mark.parametrize(("seconds", "deadline_ms"), [(0.5, AT_MS + 500), (2 * MAX_DEADLINE_SECONDS, 0), (1e300, 0)])
def test_a_limit_that_nobody_awaits_has_no_deadline(seconds: float, deadline_ms: int) -> None:
    assert deadline_of(AT_MS, seconds) == deadline_ms
