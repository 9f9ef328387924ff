"""Prints data on stdout: a table for people, JSON or YAML for programs."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from io import StringIO
from typing import Annotated, Any

import typer
import yaml
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich import box
from rich.console import Console
from rich.table import Table

from headgate.client.timeline import metrics_line, weights_line
from headgate.domain.credentials import without_credentials
from headgate.domain.names import short_name
from headgate.domain.weights import percent_of
from headgate.domain.words import hyphenated, word_of
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

PIPE_WIDTH = 10_000


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("-o", "--output", help="How to print the data.")]

Columns = Sequence[tuple[str, Callable[[Any], str]]]
Row = Mapping[str, object]


def show_list(messages: Sequence[Message], columns: Columns, output: Format) -> None:
    if output is Format.TABLE:
        table = Table(*(name for name, _ in columns), box=box.SIMPLE_HEAD, pad_edge=False)
        for message in messages:
            table.add_row(*(printable(cell(message)) for _, cell in columns))
        _print(table)
    else:
        show_data([as_dict(message) for message in messages], output)


def show_rows(rows: Sequence[Row], output: Format) -> None:
    """Prints rows that all have the same names. A table leaves out the columns that are empty in every row."""
    if output is not Format.TABLE:
        show_data([dict(row) for row in rows], output)
        return
    names = [name for name in (rows[0] if rows else {}) if any(row[name] not in ("", None) for row in rows)]
    table = Table(*(name.upper() for name in names), box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(printable(_cell(row[name])) for name in names))
    if rows:
        _print(table)


def printable(text: str) -> str:
    """The text without credentials in URLs, and without control characters, which could change the terminal.

    Anyone can write records.
    """
    line = without_credentials(text.replace("\n", " "))
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


def _cell(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def show_one(message: Message, columns: Columns, output: Format) -> None:
    if output is Format.TABLE:
        pairs({name: cell(message) for name, cell in columns})
    else:
        show_data(as_dict(message), output)


def show_next(message: Message, columns: Columns, output: Format) -> None:
    """Prints one state of a watch: one line of JSON, one YAML document, or a table and a blank line."""
    if output is Format.JSON:
        print(json.dumps(as_dict(message), ensure_ascii=False), flush=True)
        return
    if output is Format.YAML:
        print("---")
    show_one(message, columns, output)
    if output is Format.TABLE:
        print(flush=True)


def pairs(values: Mapping[str, str]) -> None:
    """Prints one line for each value that is not empty."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in values.items():
        if value:
            table.add_row(name.lower(), "\n".join(printable(line) for line in value.split("\n")))
    _print(table)


def show_data(data: object, output: Format) -> None:
    if output is Format.YAML:
        print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")
    else:
        print(json.dumps(data, indent=2, ensure_ascii=False))


def as_dict(message: Message) -> dict[str, Any]:
    """The message by protobuf's JSON mapping, with the field names of the .proto files."""
    found: dict[str, Any] = _masked(MessageToDict(message, preserving_proto_field_name=True))
    return found


def _masked(value: Any) -> Any:
    """The JSON value without credentials: records of older versions of Headgate may hold some."""
    match value:
        case str():
            return without_credentials(value)
        case list():
            return [_masked(each) for each in value]
        case dict():
            return {key: _masked(each) for key, each in value.items()}
        case _:
            return value


def _print(table: Table) -> None:
    """Prints a table as wide as the terminal. Into a pipe it is not cut: a program or a pager reads it."""
    console = Console(highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        console.print(table)
        return
    text = StringIO()
    Console(file=text, highlight=False, markup=False, emoji=False, width=PIPE_WIDTH).print(table)
    print("\n".join(line.rstrip() for line in text.getvalue().splitlines()))


def time_text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if at_ms else ""


def _short(name: str) -> str:
    _, model, _, number = name.split("/")
    return f"{model}/{number}"


def _build(version: resources.Version) -> str:
    return word_of(resources.BuildState, version.build)


def _verdict(version: resources.Version) -> str:
    return word_of(resources.VerdictState, version.verdict)


def _phase(release: resources.Release) -> str:
    word = word_of(resources.Phase, release.phase)
    if release.phase == resources.PHASE_STEPPING:
        word += f" {release.step + 1}/{len(release.policy.steps)}"
    return f"{word}, paused" if release.paused else word


def _phase_and_reason(release: resources.Release) -> str:
    return f"{_phase(release)}: {release.paused_reason}" if release.paused else _phase(release)


def _gate(version: resources.Version) -> str:
    return "; ".join(result.explanation for result in version.gate.results)


def _not_compared(version: resources.Version) -> str:
    return f"version {version.baseline_version}: {version.baseline_failure}" if version.baseline_failure else ""


def _approvals(version: resources.Version) -> str:
    required = version.gate.policy.approvals
    names = ", ".join(printable(name) for name in version.approved_by)
    if not (required and version.gate.passed):
        return ""
    return f"{version.approvals} of {required}{': ' if names else ''}{names}"


def _numbers(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} v{number}" for name, number in sorted(values.items()))


def _freeze(freeze: resources.Freeze) -> str:
    begin = f"from {time_text(freeze.from_ms)} " if freeze.from_ms else ""
    reason = f" ({freeze.reason})" if freeze.reason else ""
    return f"{freeze.freeze} {begin}until {time_text(freeze.until_ms)}{reason}"


def _judgement(judgement: facts.Judgement) -> str:
    """The judge's explanation; empty until at least one caller was counted."""
    counted = any(stratum.candidate_keys or stratum.stable_keys for stratum in judgement.strata)
    return judgement.explanation if counted else ""


MODEL: Columns = (
    ("MODEL", lambda m: short_name(m.name)),
    ("LIVE", lambda m: _numbers(m.live)),
    ("LATEST", lambda m: f"v{m.latest_version}" if m.latest_version else ""),
    ("ALIASES", lambda m: _numbers(m.aliases)),
    ("CREATED", lambda m: time_text(m.create_time_ms)),
    ("LABELS", lambda m: ", ".join(f"{key}={m.labels[key]}" for key in sorted(m.labels))),
    ("DESCRIPTION", lambda m: m.description),
)

VERSIONS: Columns = (
    ("VERSION", lambda v: f"v{v.version}"),
    ("LABEL", lambda v: v.label),
    ("BUILD", _build),
    ("VERDICT", _verdict),
    ("COMMIT", lambda v: v.commit[:10]),
    ("CREATED", lambda v: time_text(v.create_time_ms)),
    ("METRICS", lambda v: metrics_line(v.report.metrics)),
    ("MESSAGE", lambda v: v.commit_message.partition("\n")[0]),
)

FOUND_VERSIONS: Columns = (("VERSION", lambda v: _short(v.name)), *VERSIONS[1:])
"""For a list with versions of several models."""

VERSION: Columns = (
    ("NAME", lambda v: v.name),
    *VERSIONS[1:4],
    ("COMMIT", lambda v: v.commit),
    ("MESSAGE", lambda v: v.commit_message),
    ("REPOSITORY", lambda v: v.repository),
    ("CREATED", lambda v: time_text(v.create_time_ms)),
    ("ATTEMPT", lambda v: str(v.attempt or "")),
    ("ARTIFACT", lambda v: v.artifact.manifest_sha256),
    ("METRICS", lambda v: metrics_line(v.report.metrics)),
    ("GATE", _gate),
    ("SIGNATURE", lambda v: v.signature_change),
    ("NOT COMPARED", _not_compared),
    ("APPROVALS", _approvals),
    ("FAILURE", lambda v: v.failure),
    ("LOG", lambda v: v.failure_log_tail),
    ("TAGS", lambda v: ", ".join(f"{key}={value}" for key, value in sorted(v.tags.items()))),
    ("QUARANTINED", lambda v: "yes" if v.quarantined else ""),
)

RELEASES: Columns = (
    ("RELEASE", lambda r: str(r.release)),
    ("ENVIRONMENT", lambda r: r.environment),
    ("CANDIDATE", lambda r: f"v{r.candidate}"),
    ("STABLE", lambda r: f"v{r.stable}" if r.stable else ""),
    ("STRATEGY", lambda r: hyphenated(configuration.Strategy, r.strategy)),
    ("PHASE", _phase),
    ("WEIGHTS", lambda r: weights_line(r.weights)),
    ("REQUESTED", lambda r: time_text(r.requested_at_ms)),
)

FOUND_RELEASES: Columns = (("RELEASE", lambda r: _short(r.name)), *RELEASES[1:])
"""For a list with releases of several models."""

RELEASE: Columns = (
    ("NAME", lambda r: r.name),
    *RELEASES[1:5],
    ("PHASE", _phase_and_reason),
    *RELEASES[6:],
    ("STARTED", lambda r: time_text(r.started_at_ms)),
    ("ENDED", lambda r: time_text(r.ended_at_ms)),
    ("REASON", lambda r: r.reason),
    ("JUDGEMENT", lambda r: _judgement(r.judgement)),
)

ENVIRONMENT: Columns = (
    ("ENVIRONMENT", lambda e: short_name(e.name)),
    (
        "STEPS",
        lambda e: ", ".join(f"{percent_of(s.weight_bps)} {s.min_duration_ms / 1000:g} s" for s in e.policy.steps),
    ),
    ("BAKE", lambda e: f"{e.policy.bake_ms / 1000:g} s"),
    ("ALPHA", lambda e: f"{e.policy.judge.alpha:g}"),
    ("BETA", lambda e: f"{e.policy.judge.beta:g}"),
    ("POLICY", lambda e: e.policy_sha256),
    ("FREEZES", lambda e: "\n".join(_freeze(freeze) for freeze in e.freezes)),
)
