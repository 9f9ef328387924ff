"""`headgate log refusals` lists the commands that the rules refused, the newest last."""

from contextlib import closing
from typing import Annotated

import typer
from google.protobuf.message import DecodeError

from headgate.cli.render import Format, Output, Row, Wide, show_rows
from headgate.cli.session import session
from headgate.domain.refusal import NOT_FOUND
from headgate.domain.words import time_text
from headgate.log import topics
from headgate.log.port import Record
from headgate.log.scan import newest
from headgate.v1 import commands_pb2 as commands

DEFAULT_LINES = 20
MAX_LINES = 10_000
RANKS = {"stream": 1, "actor": 2, "command": 3, "field": 4, "id": 5}


def refusals(
    context: typer.Context,
    stream: Annotated[str, typer.Option(help="Only this stream, for example models/fraud.")] = "",
    code: Annotated[str, typer.Option(help="Only this code, for example illegal-transition.")] = "",
    lines: Annotated[int, typer.Option("-n", min=1, max=MAX_LINES, help="List the newest N.")] = DEFAULT_LINES,
    wide: Wide = False,
    output: Output = Format.TABLE,
) -> None:
    """List the newest refused commands, each with the rule that refused it."""

    def wanted(record: Record) -> bool:
        refusal = parse_refusal(record)
        return (not stream or refusal.stream == stream) and (not code or refusal.code == code)

    with closing(session(context).open_log()) as log:
        found = newest(log, topics.REFUSALS, log.end(topics.REFUSALS), lines, wanted)
    empty = "No refusals match." if stream or code else "No refusals: no command was refused."
    row = _line if output is Format.TABLE else _row
    show_rows([row(parse_refusal(record)) for record in found], output, wide, empty, RANKS)


def parse_refusal(record: Record) -> commands.Refusal:
    """The refusal in a record. Bytes that are not a refusal give one with the code `not-a-refusal`."""
    try:
        refusal = commands.Refusal.FromString(record.value or b"")
    except DecodeError:
        refusal = commands.Refusal()
    if not refusal.code:
        where = f"{record.topic} {record.partition}:{record.offset}"
        return commands.Refusal(
            code="not-a-refusal", message=f"the record at {where} is not a refusal", refused_at_ms=record.timestamp_ms
        )
    return refusal


def _line(refusal: commands.Refusal) -> Row:
    """The refusal for people: what was wrong and the rule, in one text."""
    row = dict(_row(refusal))
    message, rule = str(row.pop("message")), str(row.pop("rule"))
    # Many a message has its rule in it, and one of what does not exist needs none.
    row["id"] = row.pop("command_id")
    texts = (message,) if rule in message or refusal.code == NOT_FOUND else (message, rule)
    return row | {"reason": ": ".join(text for text in texts if text)}


def _row(refusal: commands.Refusal) -> Row:
    return {
        "time": time_text(refusal.refused_at_ms),
        "stream": refusal.stream,
        "command": refusal.command.WhichOneof("command") or "",
        "command_id": refusal.command_id,
        "actor": refusal.actor,
        "proven_by": refusal.proven_by,
        "code": refusal.code,
        "field": refusal.field,
        "message": refusal.message,
        "rule": refusal.rule,
    }
