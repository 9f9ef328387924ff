"""`headgate replay` folds the log itself: to compare it with the registry, or to show what was at a moment."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import typer

from headgate.cli.exit_codes import Exit
from headgate.cli.logs import differences
from headgate.cli.moments import moment_text, past_ms
from headgate.cli.printing import report, show
from headgate.cli.render import Format, Output, as_dict, show_data, show_rows
from headgate.cli.session import Session, session
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.domain.release import is_active, phase_name
from headgate.domain.state import ModelState
from headgate.domain.words import counted, time_text
from headgate.lifecycle.digest import fold_digest
from headgate.lifecycle.fold import Fold
from headgate.lifecycle.moment import AtTime
from headgate.lifecycle.past import Past, Then
from headgate.lifecycle.replay import fold_all
from headgate.log.open import is_exported
from headgate.log.port import EventLog
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources

REPLAY_TRIES = 5
"""How often the comparison is tried: a live log may grow between reading it and asking the registry."""
NOT_COMPARED = "an exported log is compared with no registry"


class Whole:
    """A fold of the whole log, which no other thread changes."""

    lock: AbstractContextManager[object] = nullcontext()

    def __init__(self, fold: Fold) -> None:
        self.streams = fold.streams


def replay(
    context: typer.Context,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="What was then: 2026-03-03T14:05, or 2h (ago).")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Fold the log and compare the result with the registry's state. Exit with 1 when streams differ.

    With --at it shows what was live and in release then. An exported log (`--log file:PATH`) needs no registry.
    """
    current = session(context)
    events = current.open_log()
    try:
        found = _replay_now(current, events) if not at else _replay_then(current, events, at, output)
    finally:
        events.close()
    _show(*found, output if not at else None)


Replayed = tuple[registry_service.FoldDigest, list[str] | None]
"""The digests, and in what the registry differs; None when it was not asked."""


def _replay_now(current: Session, events: EventLog) -> Replayed:
    request = registry_service.GetFoldDigestRequest()
    if is_exported(current.log_url):
        return fold_digest(fold_all(events)), None
    for _ in range(REPLAY_TRIES):
        live = current.stubs.registry.GetFoldDigest(request, timeout=TIMEOUT_SECONDS)
        replayed = fold_digest(fold_all(events))
        differing = differences(live, replayed)
        if not differing:
            break
    return replayed, differing


def _replay_then(current: Session, events: EventLog, at: str, output: Format) -> Replayed:
    exported = is_exported(current.log_url)
    past = Past(events, Whole(fold_all(events)))
    moment = resources.AsOf(time_ms=past_ms(at, (lambda: _end_ms(past)) if exported else current.stubs.log_time.now_ms))
    live = None
    if not exported:  # before anything is shown: the registry refuses a time that has not come
        request = registry_service.GetFoldDigestRequest(as_of=moment)
        live = current.stubs.registry.GetFoldDigest(request, timeout=TIMEOUT_SECONDS)
    then = past.at(AtTime(moment.time_ms))
    replayed = then.digest()
    report(f"as it was {moment_text(moment)}")
    if exported and moment.time_ms > _end_ms(past):
        report(f"the exported log ends before, with a fact of {time_text(_end_ms(past)) or 'no time'} UTC")
    _show_state(then, moment.time_ms, replayed, output)
    return replayed, None if live is None else differences(live, replayed)


def _end_ms(past: Past) -> int:
    """The time of the last fact, which is the present of an exported log; 0 without a fact."""
    return (past.span() or (0, 0))[1]


def _show_state(then: Then, time_ms: int, replayed: registry_service.FoldDigest, output: Format) -> None:
    models = list(then.models())
    if output is Format.TABLE:
        show_rows(list(map(_row, models)), output, empty="There was no model then.")
        return
    releases = [release for model in models for release in _active(model)]
    data: dict[str, Any] = {
        "at_ms": time_ms,
        "models": [as_dict(model.model) for model in models],
        "releases": [as_dict(release) for release in releases],
        "environments": [as_dict(each.environment) for each in then.environments()],
        "streams": [as_dict(stream) for stream in replayed.streams],
    }
    show_data(data, output)


def _row(model: ModelState) -> dict[str, object]:
    live = (f"v{number} in {name}" for name, number in sorted(model.model.live.items()))
    running = (f"v{each.candidate} into {each.environment} ({phase_name(each)})" for each in _active(model))
    return {
        "model": model.name,
        "latest": f"v{model.model.latest_version}" if model.model.latest_version else "",
        "live": ", ".join(live),
        "in release": ", ".join(running),
    }


def _active(model: ModelState) -> Iterable[resources.Release]:
    return filter(is_active, model.releases.values())


def _show(replayed: registry_service.FoldDigest, differing: list[str] | None, output: Format | None) -> None:
    """Ends the command. Without `output` the state itself was shown, and the rest is progress."""
    facts = sum(stream.sequence for stream in replayed.streams)
    found = [(len(replayed.streams), "stream"), (facts, "fact")]
    if output is not None:
        found.append((replayed.void_records, "void record"))
    counts = f"{', '.join(counted(number, noun) for number, noun in found)} replayed"
    if output is Format.TABLE:
        for line in differing or ():
            show(line)
        show(counts)
    elif output is not None:
        numbers = {"streams": len(replayed.streams), "facts": facts, "void_records": replayed.void_records}
        show_data({**numbers, "differences": differing or []}, output)
    else:
        for line in [*(differing or ()), counts]:
            report(line)
    if differing is None:
        report(NOT_COMPARED)
    elif differing:
        report("the replayed state differs from the registry's state")
        raise typer.Exit(Exit.FAILED)
    else:
        report("the replayed state equals the registry's state")
