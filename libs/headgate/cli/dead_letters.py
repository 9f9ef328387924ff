"""`headgate log dead-letters`: what could not be handled, and what an operator makes of it. Nothing is deleted."""

import re
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Annotated

import typer

from headgate.cli.dead_letter_page import as_data, show_page
from headgate.cli.render import Format, Output, Row, show_data, show_rows, time_text
from headgate.cli.session import CommandFailed, Exit, progress, session, usage
from headgate.dead_letters import settling
from headgate.dead_letters.letters import Ledger, LetterId, State, Summary, find
from headgate.dead_letters.settling import NoSuchLetter, Outcome
from headgate.runtime.clock import now_ms

DEFAULT_LINES = 100
MAX_AT_ONCE = 1_000
"""Letters that one run replays or drops; the rest is left for the next run, and told."""
HEX_WIDTH = 16
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

HELP = """Records that no service could handle, with their bytes and the reason.

A letter stays open until it is replayed or dropped; both are said on the record, and nothing is deleted.

Exit codes: 0 done, 1 one or more were refused, 2 wrong usage, 3 there is no such letter, 4 the log is away."""

app = typer.Typer(help=HELP, no_args_is_help=True)

Topic = Annotated[str, typer.Option("--topic", help="Only records of this topic, for example inbox.")]
Code = Annotated[str, typer.Option("--code", help="Only letters with this code, for example bad-data.")]
Since = Annotated[str, typer.Option("--since", help="Only letters buried in the last 30s, 15m, 12h or 7d.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Letters, as `list` names them: 3:17.")]
All = Annotated[bool, typer.Option("--all", help="Every open letter.")]
Actor = Annotated[str, typer.Option(envvar="HEADGATE_ACTOR", help="Who does this; without it, who is logged in.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before many letters are touched.")]


@app.command("list")
def list_letters(
    context: typer.Context,
    topic: Topic = "",
    code: Code = "",
    since: Since = "",
    settled: Annotated[bool, typer.Option("--settled", help="Replayed and dropped ones as well.")] = False,
    lines: Annotated[int, typer.Option("-n", min=1, max=100_000, help="The newest N.")] = DEFAULT_LINES,
    output: Output = Format.TABLE,
) -> None:
    """The newest letters, oldest first: open ones, unless told otherwise."""
    with closing(session(context).open_log()) as log:
        found = _matching(Ledger(log), topic, code, since, settled)
    if len(found) > lines:
        progress.print(f"the newest {lines} of {len(found)} letters")
    show_rows([_row(summary) for summary in found[-lines:]], output)


@app.command("show")
def show(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(metavar="ID", help="A letter, as `list` names it: 3:17.")],
    raw: Annotated[bool, typer.Option("--raw", help="Only the record's value, byte for byte.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """One letter with the bytes, key and headers of its record."""
    wanted = parse_id(letter)
    with closing(session(context).open_log()) as log:
        found = find(log, wanted)
        if found is None:
            raise CommandFailed(f"there is no dead letter {letter}", Exit.NOT_FOUND)
        settlement = Ledger(log).settlement(wanted)
    if raw:
        sys.stdout.buffer.write(found[1].value)
    elif output is Format.TABLE:
        show_page(letter, found[1], settlement)
    else:
        show_data(as_data(letter, found[1], settlement), output)


@app.command("replay")
def replay(
    context: typer.Context,
    ids: Ids = None,
    code: Code = "",
    topic: Topic = "",
    since: Since = "",
    every: All = False,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    actor: Actor = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Append the records of letters to their topics again, each once: same key, bytes and headers."""
    with closing(session(context).open_log()) as log:
        ledger = Ledger(log)
        wanted = _wanted(ledger, ids, every, topic, code, since)
        if dry_run:
            _tell([_would(ledger, letter) for letter in wanted], output)
            return
        _confirm("replay", wanted, bool(ids) or yes)
        _each(wanted, lambda letter: settling.replay(ledger, letter, actor or session(context).actor, reason), output)


@app.command("drop")
def drop(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why nobody needs them, for the record.")],
    ids: Ids = None,
    code: Code = "",
    topic: Topic = "",
    since: Since = "",
    every: All = False,
    actor: Actor = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Settle letters that nobody needs. They stay in the log, with who dropped them and why."""
    if not reason.strip():
        usage("--reason says why the letters are not needed")
    with closing(session(context).open_log()) as log:
        ledger = Ledger(log)
        wanted = _wanted(ledger, ids, every, topic, code, since)
        if dry_run:
            _tell([Outcome(letter, True, "would be dropped") for letter in wanted], output)
            return
        _confirm("drop", wanted, bool(ids) or yes)
        _each(wanted, lambda letter: settling.drop(ledger, letter, actor or session(context).actor, reason), output)


def parse_id(text: str) -> LetterId:
    """`partition:offset`. Raises CommandFailed."""
    parts = re.fullmatch(r"(\d{1,9}):(\d{1,18})", text)
    if parts is None:
        usage(f"{text!r}: a dead letter is named PARTITION:OFFSET, for example 3:17")
    return int(parts[1]), int(parts[2])


def since_ms(text: str, at_ms: int) -> int:
    """The time before which a letter is too old; 0 when nothing was asked. Raises CommandFailed."""
    if not text:
        return 0
    parts = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if parts is None:
        usage(f"--since {text!r}: expected a number with s, m, h or d, for example 12h")
    return at_ms - int(parts[1]) * SECONDS[parts[2]] * 1_000


def _matching(ledger: Ledger, topic: str, code: str, since: str, settled: bool) -> list[Summary]:
    oldest_ms = since_ms(since, now_ms())
    name = topic if not topic or topic.startswith("headgate.") else f"headgate.{topic}"
    found = [
        summary
        for summary in ledger.summaries()
        if (not name or summary.topic == name)
        and (not code or summary.code == code)
        and summary.buried_at_ms >= oldest_ms
        and (settled or summary.settlement.state in (State.OPEN, State.REPLAYING))
    ]
    return sorted(found, key=lambda summary: (summary.buried_at_ms, summary.id))


def _wanted(ledger: Ledger, ids: list[str] | None, every: bool, topic: str, code: str, since: str) -> list[LetterId]:
    """The letters that were named, or the open ones that were described."""
    described = every or bool(topic or code or since)
    if ids and described:
        usage("name letters, or describe them by --all, --topic, --code or --since; not both")
    if ids:
        return [parse_id(text) for text in ids]
    if not described:
        usage("which letters? name them, or describe them by --all, --topic, --code or --since")
    found = [summary.id for summary in _matching(ledger, topic, code, since, settled=False)]
    if len(found) > MAX_AT_ONCE:
        progress.print(f"the first {MAX_AT_ONCE} of {len(found)} letters; run it again for the rest")
    return found[:MAX_AT_ONCE]


def _confirm(verb: str, wanted: list[LetterId], is_certain: bool) -> None:
    if is_certain or not wanted:
        return
    if not sys.stdin.isatty():
        usage(f"{len(wanted)} letters to {verb}: give --yes, or look first with --dry-run")
    if not typer.confirm(f"{verb} {len(wanted)} letters?", err=True):
        raise CommandFailed("nothing was done")


def _each(wanted: list[LetterId], act: Callable[[LetterId], Outcome], output: Format) -> None:
    try:
        outcomes = [act(letter) for letter in wanted]
    except NoSuchLetter as error:
        raise CommandFailed(str(error), Exit.NOT_FOUND) from error
    _tell(outcomes, output)


def _tell(outcomes: list[Outcome], output: Format) -> None:
    show_rows([{"id": _name(one.letter), "done": one.done, "outcome": one.detail} for one in outcomes], output)
    if refused := sum(not outcome.done for outcome in outcomes):
        progress.print(f"{refused} of {len(outcomes)} refused")
        raise typer.Exit(Exit.FAILED)


def _would(ledger: Ledger, letter: LetterId) -> Outcome:
    found = find(ledger.log, letter)
    if found is None:
        raise CommandFailed(f"there is no dead letter {_name(letter)}", Exit.NOT_FOUND)
    known = ledger.settlement(letter)
    why = settling.why_not_replayed(found[1]) or settling.describe(known)
    return Outcome(letter, not why, why or f"would be replayed to {found[1].topic}")


def _row(summary: Summary) -> Row:
    return {
        "id": _name(summary.id),
        "buried": time_text(summary.buried_at_ms),
        "topic": summary.topic,
        "position": f"{summary.partition}:{summary.offset}" if summary.topic else "",
        "service": summary.service,
        "code": summary.code,
        "bytes": summary.size_bytes,
        "state": summary.settlement.state.value,
        "reason": summary.reason,
        "settled": settling.describe(summary.settlement),
    }


def _name(letter: LetterId) -> str:
    return f"{letter[0]}:{letter[1]}"
