"""`headgate log` reads the log itself, without asking a service for its records."""

import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.message import DecodeError, Message

from headgate.cli import dead_letters, refusals
from headgate.cli.files import local_path, new_file
from headgate.cli.printing import report, show, show_json
from headgate.cli.render import Format, Output, as_dict, show_data, show_line
from headgate.cli.session import session
from headgate.client.timeline import describe
from headgate.domain.printable import printable
from headgate.domain.words import counted, time_text, word_of
from headgate.log import export_file, topics
from headgate.log.port import LogUnavailable, Record, Tail
from headgate.log.scan import newest
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import predictions_pb2 as predictions
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import telemetry_pb2 as telemetry

POLL_SECONDS = 0.5
MAX_LINES = 100_000

log = typer.Typer(help="The log itself. No service needs to run.", no_args_is_help=True)
log.add_typer(dead_letters.app, name="dead-letters")
log.command("refusals")(refusals.refusals)


class TopicName(StrEnum):
    LIFECYCLE = "lifecycle"
    COMMANDS = "commands"
    INBOX = "inbox"
    TELEMETRY = "telemetry"
    PREDICTIONS = "predictions"
    REFUSALS = "refusals"
    DEAD_LETTERS = "dead-letters"


KINDS: Mapping[str, type[Message]] = {
    topics.LIFECYCLE: facts.LifecycleRecord,
    topics.COMMANDS: commands.Command,
    topics.REFUSALS: commands.Refusal,
    topics.DEAD_LETTERS: commands.DeadLetter,
    topics.TELEMETRY: telemetry.TelemetryRecord,
    topics.PREDICTIONS: predictions.Prediction,
}


@log.command("tail")
def tail(
    context: typer.Context,
    topic: Annotated[TopicName, typer.Option(help="The topic to print.")] = TopicName.LIFECYCLE,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Print new records too, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", min=0, max=MAX_LINES, help="Start with the last N records.")] = 20,
    key: Annotated[str, typer.Option("--key", help="Only records with this key, for example models/fraud.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Print the newest records of a topic; JSON is one object per line."""
    events = session(context).open_log()
    name = f"headgate.{topic.value}"
    try:
        ends = dict(events.end(name))
        for record in newest(events, name, ends, lines, lambda record: not key or record.key == key.encode()):
            _print(record, output)
        if follow:
            _follow(events.tail(name, ends), key, output, session(context).log_wait_seconds)
    finally:
        events.close()


@log.command("export")
def export(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(parser=local_path, metavar="FILE", help="The file to write; it must not exist.")
    ],
    topic: Annotated[TopicName, typer.Option(help="The topic to export.")] = TopicName.LIFECYCLE,
) -> None:
    """Write all records of a topic to a file, byte for byte. `--log file:PATH` reads it, without any service."""
    events = session(context).open_log()
    name = f"headgate.{topic.value}"
    try:
        with new_file(file) as target:
            written = export_file.write(target, name, export_file.records_of(events, name))
    finally:
        events.close()
    report(f"{counted(written, 'record')} of {name} in {file}; to read it: headgate --log file:{file} log tail")


def _follow(tail: Tail, key: str, output: Format, wait_seconds: float) -> None:
    with tail:
        while True:  # until Ctrl-C
            for record in polled(tail, wait_seconds):
                if not key or record.key == key.encode():
                    _print(record, output)


def polled(tail: Tail, wait_seconds: float) -> Sequence[Record]:
    """The next records. A log that does not answer gets `wait_seconds` to answer again. Raises LogUnavailable."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return tail.poll(POLL_SECONDS)
        except LogUnavailable as error:
            if time.monotonic() > deadline:
                raise
            report(f"waiting for the log: {error}")


def _print(record: Record, output: Format) -> None:
    decoded = _decoded(record)
    if output is Format.JSON:
        show_json(_as_data(record, decoded))
    elif output is Format.YAML:
        show("---")
        show_data(_as_data(record, decoded), output)
    else:
        place = printable(f"{time_text(record.timestamp_ms)}  {record.key.decode(errors='replace')}")
        show_line(place, _line(record, decoded))


def _decoded(record: Record) -> Message | None:
    kind = KINDS.get(record.topic)
    if kind is None or record.value is None:
        return None
    message = kind()
    try:
        message.ParseFromString(record.value)
    except DecodeError:
        return None
    return message


def _line(record: Record, message: Message | None) -> str:
    match message:
        case facts.LifecycleRecord():
            return describe(message)
        case commands.Command():
            return f"{message.WhichOneof('command')} ({message.actor})"
        case commands.Refusal():
            return f"{message.code}: {message.message or message.rule}"
        case commands.DeadLetter() if message.HasField("settled"):
            return f"letter {message.settled.partition}:{message.settled.offset} {_outcome(message.settled)}"
        case commands.DeadLetter():
            return f"{message.service}: {message.code}: {message.reason}"
        case telemetry.TelemetryRecord() | predictions.Prediction():
            return " ".join(str(message).split())
        case _:
            return (record.value or b"").decode(errors="replace")


def _outcome(settled: commands.DeadLetterSettled) -> str:
    word = word_of(commands.DeadLetterOutcome, settled.outcome)
    return f"{word} by {settled.actor}"


def _as_data(record: Record, message: Message | None) -> dict[str, object]:
    data: dict[str, object] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": record.key.decode(errors="replace"),
        "headers": {name: value.decode(errors="replace") for name, value in record.headers},
    }
    data["value"] = (record.value or b"").decode(errors="replace") if message is None else as_dict(message)
    return data


def differences(live: registry_service.FoldDigest, replayed: registry_service.FoldDigest) -> list[str]:
    """One line for each stream that differs between the registry's live fold and the replayed one."""
    in_log = {stream.stream: stream for stream in replayed.streams}
    in_registry = {stream.stream: stream for stream in live.streams}
    lines = []
    for name in sorted(in_log.keys() | in_registry.keys()):
        if name not in in_registry:
            lines.append(f"{name}: in the log, but not in the registry")
            continue
        if name not in in_log:
            lines.append(f"{name}: in the registry, but not in the log")
            continue
        replayed_stream, live_stream = in_log[name], in_registry[name]
        if replayed_stream.head_digest != live_stream.head_digest:
            ends = f"the log ends at {replayed_stream.sequence}, the registry at {live_stream.sequence}"
            lines.append(f"{name}: {ends}")
        elif replayed_stream.state_digest != live_stream.state_digest:
            lines.append(f"{name}: the same facts up to {replayed_stream.sequence}, but another state")
    return lines
