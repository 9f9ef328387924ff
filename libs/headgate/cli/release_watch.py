"""What `headgate release watch` prints: a line for each change, and the evidence as it grows."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from queue import Empty, SimpleQueue

import grpc
from rich.console import Console
from rich.live import Live
from rich.text import Text

from headgate.cli.columns import phase_text
from headgate.cli.printing import show
from headgate.cli.tables import GAP, page_text
from headgate.cli.waits import NewWaits, Waits
from headgate.client.stubs import Stubs
from headgate.client.timeline import weights_line
from headgate.client.watching import watch_through_restarts
from headgate.domain.phases import phase_with_step
from headgate.domain.printable import printable
from headgate.domain.release import TERMINAL
from headgate.domain.words import duration_text, time_text, word_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import resources_pb2 as resources

Change = release_service.WatchReleaseResponse
"""A release after a change, and when that happened."""

TICK_SECONDS = 1.0
"""How often the deployer is asked for the evidence between two changes."""
EVIDENCE_MS = 10_000
"""The least time between two lines of evidence that have no change between them."""


LARGE, VERY_LARGE = 1_000, 1_000_000_000
"""Evidence in this range is shown with all its digits before the point."""
ENDED_OTHERWISE = (
    resources.PHASE_ROLLING_BACK,
    resources.PHASE_ROLLED_BACK,
    resources.PHASE_SUPERSEDED,
    resources.PHASE_REJECTED,
)
"""Phases whose reason is the news. The reason of every other phase is the one of the request."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A release at one time, with the judgement of that time. `waiting_left` also says how long the wait lasts.

    The last fact about the release happened at `changed_at_ms`.
    """

    release: resources.Release
    waiting_for: str
    waiting_left: str
    judgement: facts.Judgement
    at_ms: int
    changed_at_ms: int

    @property
    def keys(self) -> int:
        """How many keys both arms have had."""
        return sum(stratum.candidate_new_keys + stratum.stable_new_keys for stratum in self.judgement.strata)


def moments(stubs: Stubs, name: str, tick_seconds: float = TICK_SECONDS) -> Iterator[Moment]:
    """The release after each of its changes, and in each tick between them, until it ends. Raises grpc.RpcError."""
    changes: SimpleQueue[Change | grpc.RpcError | None] = SimpleQueue()
    threading.Thread(target=_follow, args=(stubs, name, changes), daemon=True).start()
    last, timeout = Change(), None
    while True:
        try:
            change = changes.get(timeout=timeout)
        except Empty:
            change = last
        if change is None:
            return
        if isinstance(change, grpc.RpcError):
            raise change
        last, timeout = change, tick_seconds
        yield _moment(last, Waits(stubs))


def _follow(stubs: Stubs, name: str, changes: "SimpleQueue[Change | grpc.RpcError | None]") -> None:
    request = release_service.WatchReleaseRequest(name=name)
    try:
        for response in watch_through_restarts(lambda: stubs.releases.WatchRelease(request)):
            changes.put(response)
        changes.put(None)
    except grpc.RpcError as error:
        changes.put(error)


def _moment(change: Change, waits: Waits) -> Moment:
    release, now_ms = change.release, waits.now_ms()
    return Moment(
        release,
        waits.of_release(release, has_left=False),
        waits.of_release(release),
        waits.judgement(release),
        now_ms,
        change.occurred_at_ms or now_ms,  # a registry of an older version does not say it
    )


class Changes:
    """The lines for what is new at each moment. Nothing is printed twice.

    A pipe gets a line when the release changes, one when it waits for something else, and one for the evidence, if it
    has grown, before such a line and every EVIDENCE_MS. A terminal has the wait and the evidence in its live block; it
    gets a line for each change and for the evidence before it.
    """

    def __init__(self, is_live: bool) -> None:
        self._is_live = is_live
        self._change = self._reason = ""
        self._waits = NewWaits()
        self._keys = 0
        self._evidence_at_ms = 0

    def lines(self, moment: Moment) -> list[str]:
        is_first = not self._change
        change, wait = self._new_change(moment), self._new_wait(moment)
        evidence = "" if is_first else self._new_evidence(moment, has_news=bool(change or wait))
        # What changed has the time of its fact. The evidence before it led to it, so it is no later.
        evidence_at_ms = moment.changed_at_ms if change else moment.at_ms
        lines = ((evidence_at_ms, evidence), (moment.changed_at_ms, change), (moment.at_ms, wait))
        return [f"{time_text(at_ms)}  {printable(line)}" for at_ms, line in lines if line]

    def _new_change(self, moment: Moment) -> str:
        release = moment.release
        reason = release.reason if release.phase in ENDED_OTHERWISE else ""
        change = "  ".join(part for part in (phase_text(release), weights_line(release.weights)) if part)
        if change == self._change:
            return ""
        self._change, old_reason, self._reason = change, self._reason, reason or self._reason
        return f"{change}  {reason}" if reason and reason != old_reason else change

    def _new_wait(self, moment: Moment) -> str:
        is_new = self._waits.is_new(moment.waiting_for) and not self._is_live
        return f"waits for {moment.waiting_for}" if is_new else ""

    def _new_evidence(self, moment: Moment, has_news: bool) -> str:
        is_time = moment.at_ms - self._evidence_at_ms >= EVIDENCE_MS and not self._is_live
        # The judgement that the log has at the end may be older than the one that the deployer has shown.
        if moment.keys <= self._keys or not (has_news or is_time):
            return ""
        self._keys, self._evidence_at_ms = moment.keys, moment.at_ms
        return evidence_text(moment.release, moment.judgement)


def show_live(found: Iterable[Moment], console: Console) -> resources.Release:
    """Prints on a terminal until the release ends: a line for each change, and below them a block that is renewed."""
    changes, last = Changes(is_live=True), resources.Release()
    rest = iter(found)
    first = list(islice(rest, 1))  # before the block begins: a release that is not found leaves no empty line
    with Live(console=console, transient=True, auto_refresh=False) as live:
        for moment in chain(first, rest):
            last = moment.release
            for line in changes.lines(moment):
                time, _, text = line.partition(GAP)
                live.console.print(page_text({time: text}, console.width))
            live.update(Text("\n".join(live_lines(moment))), refresh=True)
    return last


def show_lines(found: Iterable[Moment]) -> resources.Release:
    """Prints into a pipe until the release ends: one line for each change, whatever the width of a terminal."""
    changes, last = Changes(is_live=False), resources.Release()
    for moment in found:
        last = moment.release
        for line in changes.lines(moment):
            show(line)
    return last


def live_lines(moment: Moment) -> list[str]:
    """The block that a terminal renews: how long the phase has lasted, the wait and the evidence."""
    release = moment.release
    if release.phase in TERMINAL:
        return []
    # The phase goes on in a pause.
    lasted = f"{phase_with_step(release)} for {duration_text(moment.at_ms - release.phase_since_ms)}"
    lines = [f"{lasted}, now paused" if release.paused else lasted]
    if moment.waiting_left:
        lines.append(f"waits for {moment.waiting_left}")
    if evidence := evidence_text(release, moment.judgement):
        lines.append(evidence)
    return [printable(line) for line in lines]


def evidence_text(release: resources.Release, judgement: facts.Judgement) -> str:
    """The keys of both versions and how far the evidence is from a proof; empty before the first key."""
    candidate = sum(stratum.candidate_new_keys for stratum in judgement.strata)
    stable = sum(stratum.stable_new_keys for stratum in judgement.strata)
    if not candidate and not stable:
        return ""
    candidate_bad = sum(stratum.candidate_new_bad_keys for stratum in judgement.strata)
    stable_bad = sum(stratum.stable_new_bad_keys for stratum in judgement.strata)
    keys = f"keys: v{release.candidate} {candidate} ({candidate_bad} bad)"
    if release.stable:
        keys += f", v{release.stable} {stable} ({stable_bad} bad)"
    worse = f"{_number(judgement.fail_e_value)} of {_number(judgement.fail_threshold)}"
    fine = f"{_number(judgement.pass_e_value)} of {_number(judgement.pass_threshold)}"
    verdict = word_of(facts.Verdict, judgement.verdict)
    return f"{keys}; {verdict}: evidence that v{release.candidate} is worse {worse}, that it is good enough {fine}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if LARGE <= value < VERY_LARGE else f"{value:.3g}"
