"""`headgate event` appends CloudEvents that other programs wrote to the inbox, and shows what became of them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headgate.cli.event_outcome import DEFAULT_RECORDS, MAX_RECORDS, Copy, Outcome, Status, copies_of, outcome_of
from headgate.cli.exit_codes import Exit
from headgate.cli.files import local_path, read_file
from headgate.cli.printing import report, show
from headgate.cli.render import Format, Output, show_pairs
from headgate.cli.session import CommandFailed, session, usage
from headgate.dead_letters.letters import State
from headgate.domain.credentials import TEXT_RULE, hides_nothing
from headgate.domain.names import short_name
from headgate.domain.refusal import ALREADY_EXISTS
from headgate.domain.words import counted, time_text
from headgate.log.envelope import CloudEvent, MalformedEvent, decode
from headgate.log.port import Message, Record
from headgate.log.topics import INBOX
from headgate.log.upstream import broken_rule

STRUCTURED = (("content-type", b"application/cloudevents+json"),)


class SendByDefault(TyperGroup):
    """Takes `headgate event FILE`, the form before there were verbs, for `headgate event send FILE`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = not args or args[0] in self.commands
        return super().resolve_command(ctx, args if known else ["send", *args])


event = typer.Typer(
    cls=SendByDefault,
    help="Events of the inbox: commits and new data that other programs publish.",
    no_args_is_help=True,
)


@event.command("send")
def send(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(parser=local_path, metavar="FILE", help="A CloudEvent as JSON, in structured mode; - is stdin."),
    ],
) -> None:
    """Append a CloudEvent to the inbox and print its id. A second event with the same source and id does nothing."""
    value = read_file(file)
    try:
        found = decode(Record(INBOX, 0, 0, 0, b"", value, STRUCTURED))
    except MalformedEvent as error:
        usage(f"{file}: malformed-event: {error}")
    if rule := broken_event_rule(found, value):
        usage(f"{file}: {rule}")
    key = found.attributes.get("partitionkey", found.source)
    with closing(session(context).open_log()) as log:
        log.append(Message(INBOX, key.encode(), value, STRUCTURED))
    show(found.id)


def broken_event_rule(event: CloudEvent, value: bytes) -> str:
    """The rule by which the registry would refuse the event, or which a text of it breaks; empty for none."""
    rule = broken_rule(event)
    if rule and hides_nothing(rule):
        return rule
    texts = (*_texts(value), *_texts(event.data or b""))
    return "" if not rule and all(map(hides_nothing, texts)) else TEXT_RULE


def _json(value: bytes, **how: Any) -> Any:
    """The JSON value; None for other bytes."""
    try:
        return json.loads(value, **how)
    except (ValueError, RecursionError):
        return None


def _texts(value: bytes) -> Iterator[str]:
    """Every key and every text in JSON, without its escapes, which could hide a URL. Other bytes are one text."""
    # A key that stands twice is kept twice: the record has both.
    waiting: list[Any] = [_json(value, object_pairs_hook=list)]
    if waiting == [None]:
        yield value.decode(errors="replace")
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, list | tuple):
            waiting.extend(found)


@event.command("status")
def status(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="The id of the event, as it was printed.")],
    source: Annotated[str, typer.Option(help="Its source, where events of several sources have this id.")] = "",
    records: Annotated[
        int, typer.Option(min=1, max=MAX_RECORDS, help="Read so many of the newest records of each partition.")
    ] = DEFAULT_RECORDS,
    output: Output = Format.TABLE,
) -> None:
    """Show what became of an event. Exit with 1 when it was refused or is a dead letter, unless its version exists."""
    with closing(session(context).open_log()) as log:
        copies = copies_of(log, id_, source, records)
        sources = sorted({copy.event.source for copy in copies})
        if not copies:
            where = f"the newest {counted(records, 'record')} of each partition of {INBOX}"
            advice = "check it against what `headgate publish` or `headgate event send` printed; --records reads more"
            raise CommandFailed(f"no event with the id {id_!r} is among {where}: {advice}", Exit.NOT_FOUND)
        if len(sources) > 1:
            usage(f"events of several sources have the id {id_!r}; give one with --source: {', '.join(sources)}")
        outcome = outcome_of(log, copies, records)
    shown = _described(copies, outcome)
    show_pairs(shown, output)
    if advice := _advice(outcome, shown, records):
        report(advice)
    if outcome.status is Status.BURIED or (outcome.status is Status.REFUSED and shown["code"] != ALREADY_EXISTS):
        raise typer.Exit(Exit.FAILED)


def _described(copies: Sequence[Copy], outcome: Outcome) -> dict[str, str]:
    """The outcome as names and texts. All names are there always, so that a program can rely on them."""
    newest = copies[-1]
    shown = {
        "id": newest.event.id,
        "source": newest.event.source,
        "received": time_text(newest.record.timestamp_ms),
        "position": f"{newest.record.partition}:{newest.record.offset}",
        "status": outcome.status.value,
        **dict.fromkeys(("version", "code", "reason", "letter", "state", "waiting"), ""),
    }
    if outcome.fact is not None:
        shown["version"] = f"{short_name(outcome.fact.stream)}/{outcome.fact.version_created.version}"
    if outcome.refusal is not None:
        shown |= {"code": outcome.refusal.code, "reason": outcome.refusal.message or outcome.refusal.rule}
    if outcome.letter is not None:
        letter = outcome.letter
        shown |= {"code": letter.code, "reason": letter.reason, "letter": f"{letter.id[0]}:{letter.id[1]}"}
        shown["state"] = letter.settlement.state.value
    if outcome.status is Status.NOT_READ:
        shown["waiting"] = f"{counted(outcome.waiting, 'record')} before it"
    return shown


def _advice(outcome: Outcome, shown: dict[str, str], records: int) -> str:
    """The next thing to do, in a sentence."""
    match outcome.status:
        case Status.ACCEPTED:
            return f"to follow it: headgate version watch {shown['version']}"
        case Status.REFUSED if shown["code"] == ALREADY_EXISTS:
            return "nothing is to be done: the version that is named exists"
        case Status.REFUSED:
            return "to try again after the cause is mended: headgate publish --again, or an event with another id"
        case Status.BURIED if shown["state"] == State.DROPPED.value:
            return "its dead letter was dropped: an event with another id is a new one"
        case Status.BURIED:
            return f"to see its record, and to replay it: headgate log dead-letters show {shown['letter']}"
        case Status.NOT_READ:
            return "no registry has read it yet: `headgate doctor` shows whether one runs"
        case Status.UNKNOWN:
            read = f"the newest {counted(records, 'record')} of each partition"
            return f"its outcome is not among {read}: --records reads more"
