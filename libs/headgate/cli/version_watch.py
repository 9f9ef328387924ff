"""What `headgate version watch` prints on stderr: the facts of a version, what it waits for, and its epochs."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

import grpc
from rich.console import Console
from rich.live import Live
from rich.text import Text

from headgate.cli.printing import terminal_console
from headgate.cli.tables import GAP, page_text
from headgate.cli.waits import WATCH_SECONDS, NewWaits, Waits
from headgate.client.errors import failure
from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.client.timeline import describe
from headgate.client.watching import watch_through_restarts
from headgate.domain.label import standing
from headgate.domain.printable import printable
from headgate.domain.words import duration_text, time_text
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.v1 import worker_services_pb2 as worker_services

TICK_SECONDS = 1.0
"""How often the wait is looked at while nothing happens."""
EPOCH_MS = 10_000
"""The least time between two lines about epochs in a pipe; the last epoch always has one."""
SHORTEST_BAR = 10
MEAN_OF_EPOCHS = 100
"""Of how many of the latest epochs the time is taken that the rest may need."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the epochs cannot be shown."""

    text: str


Seen = facts.LifecycleRecord | telemetry.EpochMeasured | Problem | grpc.RpcError
Queue = SimpleQueue[Seen]


class Screen(Protocol):
    """Where the watch shows what happens."""

    def fact(self, record: facts.LifecycleRecord) -> None: ...

    def epoch(self, epoch: telemetry.EpochMeasured, at_ms: int) -> None: ...

    def wait(self, waiting_for: str, at_ms: int) -> None: ...

    def problem(self, text: str, at_ms: int) -> None: ...


def watch_version(stubs: Stubs, wanted: resources.Version, screen: Screen, tick_seconds: float = TICK_SECONDS) -> bool:
    """Shows the version until the gate's verdict. Returns whether it passed. Raises grpc.RpcError."""
    queue: Queue = SimpleQueue()
    _begin(_follow_facts, stubs, wanted.name.partition("/versions/")[0], queue)
    last_sequence, passed = 0, None
    while passed is None:
        seen = _next(queue, tick_seconds)
        if isinstance(seen, grpc.RpcError):
            raise seen
        if not isinstance(seen, facts.LifecycleRecord):
            _show(seen, screen, stubs, wanted.name)
        elif seen.sequence > last_sequence and version_of(seen) == wanted.version:
            last_sequence, passed = seen.sequence, verdict_of(seen)
            screen.fact(seen)
            if _begins_epochs(seen, wanted):
                _begin(_follow_epochs, stubs, wanted.name, queue)
    return passed


def _begin(follow: Callable[[Stubs, str, Queue], None], stubs: Stubs, name: str, queue: Queue) -> None:
    threading.Thread(target=follow, args=(stubs, name, queue), daemon=True).start()


def _next(queue: Queue, tick_seconds: float) -> Seen | None:
    """What was seen next; None when nothing was for a tick."""
    try:
        return queue.get(timeout=tick_seconds)
    except Empty:
        return None


def _show(seen: telemetry.EpochMeasured | Problem | None, screen: Screen, stubs: Stubs, name: str) -> None:
    if isinstance(seen, telemetry.EpochMeasured):
        screen.epoch(seen, stubs.log_time.shown_ms())
    elif isinstance(seen, Problem):
        screen.problem(seen.text, stubs.log_time.shown_ms())
    else:
        screen.wait(_wait_of(stubs, name), stubs.log_time.shown_ms())


def _begins_epochs(record: facts.LifecycleRecord, wanted: resources.Version) -> bool:
    """Whether a training starts that had not ended when the watch began."""
    if record.WhichOneof("fact") != "training_started":
        return False
    in_progress = (resources.BUILD_STATE_CREATED, resources.BUILD_STATE_TESTING, resources.BUILD_STATE_TRAINING)
    attempt = record.training_started.attempt
    return attempt > wanted.attempt or (attempt == wanted.attempt and wanted.build in in_progress)


def _follow_facts(stubs: Stubs, stream: str, queue: Queue) -> None:
    request = registry_service.WatchHistoryRequest(stream=stream)
    try:
        for response in watch_through_restarts(lambda: stubs.registry.WatchHistory(request)):
            queue.put(response.record.record)
    except grpc.RpcError as error:
        queue.put(error)


def _follow_epochs(stubs: Stubs, name: str, queue: Queue) -> None:
    try:
        for response in stubs.trainer.WatchEpochs(worker_services.WatchEpochsRequest(name=name)):
            queue.put(response.epoch)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            queue.put(Problem(f"its epochs are not shown: the trainer cannot be reached at {stubs.trainer_address}"))
        else:
            queue.put(Problem(f"its epochs are not shown: {failure(error).message}"))


def _wait_of(stubs: Stubs, name: str) -> str:
    """What the version waits for now; empty while the registry does not answer."""
    try:
        version = stubs.registry.GetVersion(registry_service.GetVersionRequest(name=name), timeout=TIMEOUT_SECONDS)
        return Waits(stubs, WATCH_SECONDS).of_version(version, has_left=False)
    except grpc.RpcError:
        return ""


def outcome(version: resources.Version, waiting_for: str) -> str:
    """The last sentence of a watch: how it ended, what comes next, and the command that shows more."""
    short = version.name.removeprefix("models/").replace("/versions/", "/")
    wait = f"; it waits for {printable(waiting_for)}" if waiting_for else ""
    return f"{standing(version)}{wait}. More: headgate version get {short}"


class Lines:
    """A pipe: a line for each fact and each new wait, and lines about the epochs at most every EPOCH_MS.

    After the first epoch no wait is shown until the next fact: the epochs say as much.
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show
        self._waits = NewWaits()
        self._has_epochs = False
        self._pace = EpochPace()
        self._epoch_at_ms = 0

    def fact(self, record: facts.LifecycleRecord) -> None:
        self._has_epochs = False
        self._show(fact_line(record))

    def epoch(self, epoch: telemetry.EpochMeasured, at_ms: int) -> None:
        self._has_epochs = True
        left_ms = self._pace.left_ms(epoch)
        if epoch.epoch == epoch.epochs or at_ms - self._epoch_at_ms >= EPOCH_MS:
            self._epoch_at_ms = at_ms
            self._show(f"{time_text(at_ms)}  v{epoch.version} {epoch_text(epoch, left_ms)}")

    def wait(self, waiting_for: str, at_ms: int) -> None:
        if not self._has_epochs and self._waits.is_new(waiting_for):
            self._show(f"{time_text(at_ms)}  waits for {printable(waiting_for)}")

    def problem(self, text: str, at_ms: int) -> None:
        self._show(f"{time_text(at_ms)}  {printable(text)}")


class Block:
    """A terminal: a line for each fact, and below them one line that is renewed: the wait, or a bar of the epochs.

    The bar stays until the next fact, however long an epoch takes.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._has_bar = False
        self._pace = EpochPace()

    def fact(self, record: facts.LifecycleRecord) -> None:
        time, _, text = fact_line(record).partition(GAP)
        self._live.console.print(page_text({time: text}, self._live.console.width))
        self._has_bar = False
        self._renew("")

    def epoch(self, epoch: telemetry.EpochMeasured, at_ms: int) -> None:
        self._has_bar = True
        self._renew(epoch_bar(epoch, self._pace.left_ms(epoch), self._live.console.width))

    def wait(self, waiting_for: str, at_ms: int) -> None:
        if waiting_for and not self._has_bar:
            self._renew(f"waits for {printable(waiting_for)}")

    def problem(self, text: str, at_ms: int) -> None:
        self._live.console.print(f"{time_text(at_ms)}  {printable(text)}")

    def _renew(self, text: str) -> None:
        self._live.update(Text(text), refresh=True)


def screen_of(console: Console, stack: ExitStack) -> Screen:
    """The screen that fits to where `console` writes. `stack` ends what it has begun."""
    if not console.file.isatty():
        return Lines(console.print)
    terminal = terminal_console(console.stderr)
    return Block(stack.enter_context(Live(console=terminal, transient=True, auto_refresh=False)))


def fact_line(record: facts.LifecycleRecord) -> str:
    return f"{time_text(record.occurred_at_ms)}  {printable(describe(record))}"


class EpochPace:
    """How long the rest of a training takes, by the mean of its latest epochs: a single one varies much."""

    def __init__(self) -> None:
        self._attempt = 0
        self._durations_ms: deque[int] = deque(maxlen=MEAN_OF_EPOCHS)

    def left_ms(self, epoch: telemetry.EpochMeasured) -> int:
        """How long the epochs that are left take together, about. Each epoch is to be given once."""
        if epoch.attempt != self._attempt:
            self._attempt = epoch.attempt
            self._durations_ms.clear()
        self._durations_ms.append(epoch.duration_ms)
        return (epoch.epochs - epoch.epoch) * sum(self._durations_ms) // len(self._durations_ms)


def epoch_text(epoch: telemetry.EpochMeasured, left_ms: int) -> str:
    """How far the training is, its loss, and about how long the rest takes."""
    left = f", about {duration_text(left_ms)} left" if epoch.epoch < epoch.epochs else ""
    return f"epoch {epoch.epoch} of {epoch.epochs}, validation loss {epoch.validation_loss:.4f}{left}"


def epoch_bar(epoch: telemetry.EpochMeasured, left_ms: int, width: int) -> str:
    """The same as a bar that fills the line, or at least SHORTEST_BAR characters."""
    text = epoch_text(epoch, left_ms)
    room = max(width - len(text) - 3, SHORTEST_BAR)
    done = room * epoch.epoch // max(epoch.epochs, 1)
    return f"[{'#' * done}{'.' * (room - done)}] {text}"


def version_of(record: facts.LifecycleRecord) -> int:
    """The version that a record is about; 0 when it is about none."""
    kind = record.WhichOneof("fact")
    return int(getattr(getattr(record, kind), "version", 0)) if kind else 0


def verdict_of(record: facts.LifecycleRecord) -> bool | None:
    """Whether the version passed the gate; None while that is undecided."""
    match record.WhichOneof("fact"):
        case "gate_decided":
            return record.gate_decided.passed
        case "code_tested":
            return None if record.code_tested.passed else False
        case "training_failed" | "evaluation_failed" | "version_cancelled":
            return False
        case _:
            return None
