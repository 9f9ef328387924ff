"""`headgate log dead-letters`: lists, shows and settles the records that no service could handle."""

import re
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Annotated

import typer

from headgate.cli.clocks import log_time_ms
from headgate.cli.dead_letter_page import as_data, show_page
from headgate.cli.exit_codes import Exit
from headgate.cli.printing import is_terminal, report, write_bytes
from headgate.cli.render import Format, Output, Row, Wide, show_data, show_rows
from headgate.cli.session import Actor, CommandFailed, session, usage
from headgate.cli.times import since_ms
from headgate.dead_letters import settling
from headgate.dead_letters.letters import Ledger, LetterId, State, Summary, find
from headgate.dead_letters.settling import NoSuchLetter, Outcome
from headgate.domain.credentials import TEXT_RULE, hides_nothing
from headgate.domain.words import counted, time_text

DEFAULT_LINES = 100
MAX_AT_ONCE = 1_000
"""The most letters that one run replays or drops. It reports that more are left for the next run."""
RANKS = {"position": 4, "service": 2, "bytes": 5, "state": 1, "settled": 3}

HELP = """Records that no service could handle, with their bytes and the reason.

A letter stays open until it is replayed or dropped. Both are recorded in the log, and nothing is deleted."""

app = typer.Typer(help=HELP, no_args_is_help=True)

Topic = Annotated[str, typer.Option("--topic", help="Only records of this topic, for example inbox.")]
Code = Annotated[str, typer.Option("--code", help="Only letters with this code, for example bad-data.")]
Since = Annotated[str, typer.Option("--since", help="Only letters buried in the last 30s, 15m, 12h or 7d.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Letter ids, as `list` shows them: 3:17.")]
All = Annotated[bool, typer.Option("--all", help="Every open letter.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@app.command("list")
def list_letters(
    context: typer.Context,
    topic: Topic = "",
    code: Code = "",
    since: Since = "",
    settled: Annotated[bool, typer.Option("--settled", help="Also list replayed and dropped letters.")] = False,
    lines: Annotated[int, typer.Option("-n", min=1, max=100_000, help="List the newest N.")] = DEFAULT_LINES,
    wide: Wide = False,
    output: Output = Format.TABLE,
) -> None:
    """List the newest open letters, ordered by time."""
    with closing(session(context).open_log()) as log:
        found = _matching(Ledger(log), topic, code, since, settled)
    if len(found) > lines:
        report(f"only the newest {lines} of {counted(len(found), 'letter')}: -n lists more")
    empty = "No open dead letters match." if topic or code or since else "No open dead letters."
    show_rows([_row(summary) for summary in found[-lines:]], output, wide, empty, RANKS)


@app.command("show")
def show(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(metavar="ID", help="A letter id, as `list` shows it: 3:17.")],
    raw: Annotated[bool, typer.Option("--raw", help="Print only the record's value, byte for byte.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Show one letter with the bytes, key and headers of its record."""
    wanted = parse_id(letter)
    with closing(session(context).open_log()) as log:
        found = find(log, wanted)
        if found is None:
            raise CommandFailed(f"there is no dead letter {letter}", Exit.NOT_FOUND)
        settlement = Ledger(log).settlement(wanted)
    if raw:
        if is_terminal():
            usage("--raw: the bytes could change this terminal: send them into a file or a program")
        write_bytes(found[1].value)
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
    reason: Annotated[str, typer.Option(help="The reason; it is recorded.")] = "",
    actor: Actor = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Append the records of letters to their topics again, each once, with the same key, bytes and headers."""
    _check_texts(reason=reason, actor=actor)
    with closing(session(context).open_log()) as log:
        ledger = Ledger(log)
        selected = _selected(ledger, ids, every, topic, code, since)
        if dry_run:
            _show_outcomes([_expected_outcome(ledger, letter) for letter in selected], output)
            return
        _confirm("replay", selected, bool(ids) or yes)
        actor = actor or session(context).actor
        _settle(selected, lambda letter: settling.replay(ledger, letter, actor, reason), output)


@app.command("drop")
def drop(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why the letters are not needed; it is recorded.")],
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
    """Settle letters that are not needed. They stay in the log, with the actor and the reason."""
    if not reason.strip():
        usage("--reason is empty: give the reason why the letters are not needed")
    _check_texts(reason=reason, actor=actor)
    with closing(session(context).open_log()) as log:
        ledger = Ledger(log)
        selected = _selected(ledger, ids, every, topic, code, since)
        if dry_run:
            _show_outcomes([Outcome(letter, True, "would be dropped") for letter in selected], output)
            return
        _confirm("drop", selected, bool(ids) or yes)
        actor = actor or session(context).actor
        _settle(selected, lambda letter: settling.drop(ledger, letter, actor, reason), output)


def _check_texts(**texts: str) -> None:
    for name, text in texts.items():
        if not hides_nothing(text):
            usage(f"--{name}: {TEXT_RULE}")


def parse_id(text: str) -> LetterId:
    """The id of a letter from `partition:offset`. Raises CommandFailed."""
    parts = re.fullmatch(r"(\d{1,9}):(\d{1,18})", text)
    if parts is None:
        usage(f"{text!r}: a dead letter is named PARTITION:OFFSET, for example 3:17")
    return int(parts[1]), int(parts[2])


def _matching(ledger: Ledger, topic: str, code: str, since: str, settled: bool) -> list[Summary]:
    oldest_ms = since_ms(since, log_time_ms(ledger.log)) if since else 0
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


def _selected(ledger: Ledger, ids: list[str] | None, every: bool, topic: str, code: str, since: str) -> list[LetterId]:
    """The letters that the arguments name, or the open letters that the options match."""
    by_options = every or bool(topic or code or since)
    if ids and by_options:
        usage("select letters by id or by --all, --topic, --code and --since, not by both")
    if ids:
        return [parse_id(text) for text in ids]
    if not by_options:
        usage("no letters are selected: give their ids, or --all, --topic, --code or --since")
    found = [summary.id for summary in _matching(ledger, topic, code, since, settled=False)]
    if len(found) > MAX_AT_ONCE:
        report(f"only the first {MAX_AT_ONCE} of {len(found)} letters: run the command again for the others")
    return found[:MAX_AT_ONCE]


def _confirm(verb: str, selected: list[LetterId], is_certain: bool) -> None:
    if is_certain or not selected:
        return
    if not sys.stdin.isatty():
        usage(f"{verb} {counted(len(selected), 'letter')}? Give --yes to confirm, or look first with --dry-run")
    if not typer.confirm(f"{verb} {counted(len(selected), 'letter')}?", err=True):
        raise CommandFailed("nothing was done")


def _settle(selected: list[LetterId], settle: Callable[[LetterId], Outcome], output: Format) -> None:
    try:
        outcomes = [settle(letter) for letter in selected]
    except NoSuchLetter as error:
        raise CommandFailed(str(error), Exit.NOT_FOUND) from error
    _show_outcomes(outcomes, output)


def _show_outcomes(outcomes: list[Outcome], output: Format) -> None:
    show_rows([{"id": _name(one.letter), "done": one.done, "outcome": one.detail} for one in outcomes], output)
    if refused := sum(not outcome.done for outcome in outcomes):
        report(f"refused: {refused} of {counted(len(outcomes), 'letter')}")
        raise typer.Exit(Exit.FAILED)


def _expected_outcome(ledger: Ledger, letter: LetterId) -> Outcome:
    found = find(ledger.log, letter)
    if found is None:
        raise CommandFailed(f"there is no dead letter {_name(letter)}", Exit.NOT_FOUND)
    known = ledger.settlement(letter)
    problem = settling.why_not_replayed(found[1]) or settling.describe(known)
    return Outcome(letter, not problem, problem or f"would be replayed to {found[1].topic}")


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
