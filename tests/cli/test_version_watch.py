"""What `headgate version watch` prints, on a pipe and on terminals of 80 and 120 columns."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

import grpc
import pytest
from rich.console import Console
from rich.live import Live

from headgate.artifacts.store import ArtifactStore
from headgate.cli.version_watch import (
    EPOCH_MS,
    Block,
    EpochPace,
    Lines,
    epoch_bar,
    epoch_text,
    outcome,
    screen_of,
    verdict_of,
    watch_version,
)
from headgate.client.stubs import Stubs
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from headgate.worker.leases import Claim
from services.trainer.attempts import Attempts
from services.trainer.log_reading import LogReading
from services.trainer.servicer import TrainerServicer
from tests.deployer.world import STREAM, World

AT_MS = 1_700_000_000_000
CLOSED = "127.0.0.1:1"
WAIT = "its tests; trainer-0 has worked on it for {} s"


def epoch(number: int, epochs: int = 40, duration_ms: int = 1_500) -> telemetry.EpochMeasured:
    return telemetry.EpochMeasured(
        model="fraud", version=3, epoch=number, epochs=epochs, validation_loss=0.0123, duration_ms=duration_ms
    )


def started() -> facts.LifecycleRecord:
    return facts.LifecycleRecord(occurred_at_ms=AT_MS, training_started=facts.TrainingStarted(version=3, attempt=1))


def test_an_epoch_says_how_far_the_training_is_and_how_long_the_rest_takes():
    assert epoch_text(epoch(30), 15_000) == "epoch 30 of 40, validation loss 0.0123, about 15 s left"
    assert epoch_text(epoch(40), 0) == "epoch 40 of 40, validation loss 0.0123"


def test_the_time_that_is_left_is_by_the_mean_of_the_latest_epochs_of_the_attempt():
    pace = EpochPace()
    assert [pace.left_ms(epoch(number, 10, duration_ms)) for number, duration_ms in ((1, 1_000), (2, 9_000))] == [
        9 * 1_000,
        8 * 5_000,
    ]
    of_another_attempt = epoch(1, 10, 2_000)
    of_another_attempt.attempt = 2
    assert pace.left_ms(of_another_attempt) == 9 * 2_000


@pytest.mark.parametrize(
    ("label", "waiting_for", "expected"),
    [
        ("passed", "", "version 3 of fraud has passed its gate."),
        (
            "passed",
            "release 2 (preparing)",
            "version 3 of fraud has passed its gate; it waits for release 2 (preparing).",
        ),
        ("tests failed", "", "version 3 of fraud: its tests failed."),
        ("cancelled", "", "version 3 of fraud is cancelled."),
    ],
)
def test_a_watch_ends_with_one_sentence(label: str, waiting_for: str, expected: str):
    version = resources.Version(name="models/fraud/versions/3", label=label)
    assert outcome(version, waiting_for) == f"{expected} More: headgate version get fraud/3"


@pytest.mark.parametrize("width", [80, 120])
def test_the_bar_of_the_epochs_fills_the_line(width: int):
    for number in (1, 20, 40):
        line = epoch_bar(epoch(number), 15_000, width)
        bar = line[1 : line.index("]")]
        assert len(line) == width
        assert bar == ("#" * (len(bar) * number // 40)).ljust(len(bar), ".")
    assert epoch_bar(epoch(40), 0, 10).startswith("[##########] epoch 40 of 40")


def test_a_pipe_gets_a_line_for_each_fact_each_new_wait_and_few_of_the_epochs():
    shown: list[str] = []
    lines = Lines(shown.append)
    for second in range(5):
        lines.wait(WAIT.format(second), AT_MS + second * 1_000)
    lines.fact(started())
    for number in range(1, 41):
        lines.epoch(epoch(number), AT_MS + 10_000 + number * 500)
        lines.wait(f"its training (now: epoch {number} of 40 has ended)", AT_MS)
    lines.problem("its epochs are not shown: why", AT_MS)
    assert shown == [
        "2023-11-14 22:13:20  waits for its tests; trainer-0 has worked on it for 0 s",
        "2023-11-14 22:13:20  v3 training started",
        "2023-11-14 22:13:30  v3 epoch 1 of 40, validation loss 0.0123, about 58 s left",
        "2023-11-14 22:13:40  v3 epoch 21 of 40, validation loss 0.0123, about 28 s left",
        "2023-11-14 22:13:50  v3 epoch 40 of 40, validation loss 0.0123",
        "2023-11-14 22:13:20  its epochs are not shown: why",
    ]
    assert EPOCH_MS == 10_000


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_has_a_line_for_each_fact_and_one_line_that_is_renewed(width: int):
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=width, height=40, color_system=None)
    with Live(console=console, transient=True, auto_refresh=False) as live:
        block = Block(live)
        for second in range(5):
            block.wait(WAIT.format(second), AT_MS)
        block.wait("", AT_MS)
        block.fact(started())
        for number in range(1, 41):
            block.epoch(epoch(number), AT_MS)
            block.wait("its training", AT_MS)
        block.problem("its epochs are not shown: why", AT_MS)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).replace("\r", "\n")
    assert max(map(len, shown.splitlines())) <= width
    assert shown.count("v3 training started") == 1
    assert "waits for its tests; trainer-0 has worked on it for 4 s" in shown
    assert epoch_bar(epoch(39), 1_500, width) in shown
    assert "waits for its training" not in shown


def test_the_screen_is_one_of_lines_unless_the_output_is_a_terminal():
    with ExitStack() as stack:
        assert isinstance(screen_of(Console(file=StringIO()), stack), Lines)
        assert isinstance(screen_of(Console(file=StringIO(), force_terminal=True), stack), Lines)
        assert isinstance(screen_of(Console(file=Terminal()), stack), Block)


def test_a_watch_ends_with_the_first_fact_that_decides():
    decided = facts.LifecycleRecord(gate_decided=facts.GateDecided(passed=True))
    refused = facts.LifecycleRecord(code_tested=facts.CodeTested(passed=False))
    failed = facts.LifecycleRecord(training_failed=facts.TrainingFailed())
    tested = facts.LifecycleRecord(code_tested=facts.CodeTested(passed=True))
    assert [verdict_of(record) for record in (decided, refused, failed, tested)] == [True, False, False, None]


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Shown(Lines):
    """The lines of a pipe. Once the epochs are shown, or why they are not, the version passes its gate."""

    def __init__(self, world: World) -> None:
        self.lines: list[str] = []
        self._world = world
        super().__init__(self.lines.append)

    def epoch(self, epoch: telemetry.EpochMeasured, at_ms: int) -> None:
        super().epoch(epoch, at_ms)
        if epoch.epoch == epoch.epochs:
            self._world.pass_gate(1)

    def problem(self, text: str, at_ms: int) -> None:
        super().problem(text, at_ms)
        self._world.pass_gate(1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Version 1 is being trained."""
    world = World(tmp_path)
    world.start()
    world.train(1)
    world.wait_for(lambda state: state.versions[1].build == resources.BUILD_STATE_TRAINING)
    yield world
    world.stop()


@pytest.fixture
def trainer(world: World, tmp_path: Path) -> Iterator[str]:
    """A trainer's server that has two epochs of version 1. Its address."""
    attempts = Attempts()
    attempt = attempts.begin(Claim(STREAM, 1, 1), AT_MS)
    for number in (1, 2):
        attempts.add_epoch(attempt, telemetry.EpochMeasured(version=1, epoch=number, epochs=2))
    attempts.end(attempt, None)
    logs = LogReading(world.fold, ArtifactStore(f"file://{tmp_path}/artifacts"), attempts)
    server = grpc.server(ThreadPoolExecutor(2))
    worker_services_grpc.add_TrainerServiceServicer_to_server(TrainerServicer(attempts, logs), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


def watched(world: World, trainer: str) -> tuple[bool, list[str]]:
    shown = Shown(world)
    wanted = resources.Version()
    with world.fold.lock:
        wanted.CopyFrom(world.fold.models["fraud"].versions[1])
    with Stubs(f"127.0.0.1:{world.registry_port}", "", trainer=trainer) as stubs:
        passed = watch_version(stubs, wanted, shown)
    return passed, [line.partition("  ")[2] for line in shown.lines]


def test_a_watch_shows_the_facts_and_epochs_of_a_version_until_its_verdict(world: World, trainer: str):
    passed, lines = watched(world, trainer)
    assert passed
    at = lines.index("v1 training started")
    assert [line for line in lines[at:] if not line.startswith("waits for")][:3] == [
        "v1 training started",
        "v1 epoch 1 of 2, validation loss 0.0000, about 0 s left",
        "v1 epoch 2 of 2, validation loss 0.0000",
    ]
    assert lines[-1] == "v1 passes the gate"


def test_a_watch_goes_on_without_the_trainer_and_says_why_it_shows_no_epochs(world: World):
    passed, lines = watched(world, CLOSED)
    assert passed
    assert f"its epochs are not shown: the trainer cannot be reached at {CLOSED}" in lines
    assert lines[-1] == "v1 passes the gate"
