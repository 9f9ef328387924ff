"""The columns of lists and the lines of pages, for each kind of resource."""

from collections.abc import Callable, Container, Mapping
from typing import Any

from headgate.cli.policy_lines import DEFAULT_MARK, policy_lines, steps_text
from headgate.cli.render import Columns
from headgate.cli.tables import Column
from headgate.client.timeline import interval_line, no_interval_lines, report_line, undefined_lines, weights_line
from headgate.domain import policy as policies
from headgate.domain.names import short_name, version_name
from headgate.domain.phases import phase_with_step
from headgate.domain.printable import printable
from headgate.domain.words import counted, hyphenated, time_text, word_of
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

METRICS_IN_A_LINE = 3
INTERVALS_IN_A_LINE = 2


def _short(name: str) -> str:
    _, model, _, number = name.split("/")
    return f"{model}/{number}"


def _build(version: resources.Version) -> str:
    return word_of(resources.BuildState, version.build)


def _verdict(version: resources.Version) -> str:
    return word_of(resources.VerdictState, version.verdict)


def phase_word(release: resources.Release) -> str:
    return phase_with_step(release) + (", paused" if release.paused else "")


def phase_text(release: resources.Release, waiting_for: str = "") -> str:
    """The phase with its step, and the reason of a pause unless the wait names it."""
    is_news = release.paused and release.paused_reason.removesuffix(".") not in waiting_for
    return f"{phase_word(release)}: {release.paused_reason}" if is_news else phase_word(release)


def _gate(version: resources.Version) -> str:
    return "\n".join(result.explanation for result in version.gate.results)


def _metrics(version: resources.Version) -> str:
    """The metrics as a block of lines, one column beside the other.

    Then one line for each without an interval, and one for each undefined one.
    """
    metrics = version.report.metrics
    cells = [interval_line(metric) for metric in metrics]
    widest = max(map(len, cells), default=0)
    side_by_side = INTERVALS_IN_A_LINE if any(each.HasField("interval") for each in metrics) else METRICS_IN_A_LINE
    lines = [cells[n : n + side_by_side] for n in range(0, len(cells), side_by_side)]
    defined = ["   ".join(cell.ljust(widest) for cell in line).rstrip() for line in lines]
    return "\n".join((*defined, *no_interval_lines(version.report), *undefined_lines(version.report)))


def _imported(version: resources.Version) -> str:
    if not version.HasField("upload"):
        return ""
    return f"{version.upload.uri or version.upload.file_name} {version.upload.model_sha256}"


def _threshold(version: resources.Version) -> str:
    if not version.report.HasField("threshold"):
        return ""
    chosen = version.configuration.evaluate.HasField("threshold_choice")
    return f"{version.report.threshold:.4g}" + (", chosen on the validation rows" if chosen else "")


def _slices(version: resources.Version) -> str:
    parts = version.report.slices
    return "\n".join(f"{part.slice} ({counted(part.rows, 'row')}): {report_line(part)}" for part in parts)


def _not_compared(version: resources.Version) -> str:
    return f"version {version.baseline_version}: {version.baseline_failure}" if version.baseline_failure else ""


def _approvals(version: resources.Version) -> str:
    required = version.gate.policy.approvals
    names = ", ".join(printable(name) for name in version.approved_by)
    if not (required and version.gate.passed):
        return names
    return f"{version.approvals} of {required}{': ' if names else ''}{names}"


def _numbers(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} v{number}" for name, number in sorted(values.items()))


def _freeze(freeze: resources.Freeze) -> str:
    begin = f"from {time_text(freeze.from_ms)} " if freeze.from_ms else ""
    reason = f" ({freeze.reason})" if freeze.reason else ""
    return f"{freeze.freeze} {begin}until {time_text(freeze.until_ms)}{reason}"


def with_freezes_at(columns: Columns, at_ms: int) -> Columns:
    """The columns of an environment without the freezes that have ended by then."""

    def lasting(cell: Callable[[resources.Environment], str]) -> Callable[[resources.Environment], str]:
        def at_that_time(environment: resources.Environment) -> str:
            shown = resources.Environment()
            shown.CopyFrom(environment)
            del shown.freezes[:]
            shown.freezes.extend(freeze for freeze in environment.freezes if freeze.until_ms > at_ms)
            return cell(shown)

        return at_that_time

    return tuple(each._replace(cell=lasting(each.cell)) if each.name == "FREEZES" else each for each in columns)


def _asked(environment: resources.Environment) -> str:
    """Whose approvals an environment asks for, as its policy file says it."""
    asked = environment.approvals
    if not asked.roles:
        return f"none{DEFAULT_MARK}"
    roles = [f"{word_of(facts.Role, each.role)} = {each.count}" for each in asked.roles]
    return ", ".join([*roles, *(["author_counts = true"] if asked.author_counts else [])])


def _policy_line(key: str) -> Callable[[resources.Environment], str]:
    return lambda environment: dict(policy_lines(environment.policy))[key]


def _judgement(judgement: facts.Judgement) -> str:
    """The judge's explanation; empty until at least one caller was counted."""
    counted = any(stratum.candidate_keys or stratum.stable_keys for stratum in judgement.strata)
    return judgement.explanation if counted else ""


MODEL: Columns = (
    Column("MODEL", lambda m: short_name(m.name)),
    Column("LIVE", lambda m: _numbers(m.live)),
    Column("LATEST", lambda m: f"v{m.latest_version}" if m.latest_version else ""),
    Column("ALIASES", lambda m: _numbers(m.aliases), 3),
    Column("CREATED", lambda m: time_text(m.create_time_ms), 2),
    Column("LABELS", lambda m: ", ".join(f"{key}={m.labels[key]}" for key in sorted(m.labels)), 3),
    Column("DESCRIPTION", lambda m: m.description, 1),
)

VERSIONS: Columns = (
    Column("VERSION", lambda v: f"v{v.version}"),
    Column("LABEL", lambda v: v.label),
    Column("BUILD", _build, 6),
    Column("VERDICT", _verdict, 5),
    Column("COMMIT", lambda v: v.commit[:10], 2),
    Column("CREATED", lambda v: time_text(v.create_time_ms), 3),
    Column("METRICS", lambda v: report_line(v.report), 4),
    Column("MESSAGE", lambda v: v.commit_message.partition("\n")[0], 1),
)

FOUND_VERSIONS: Columns = (Column("VERSION", lambda v: _short(v.name)), *VERSIONS[1:])
"""For a list with versions of several models."""

VERSION: Columns = (
    Column("NAME", lambda v: v.name),
    *VERSIONS[1:4],
    Column("COMMIT", lambda v: v.commit),
    Column("MESSAGE", lambda v: v.commit_message),
    Column("REPOSITORY", lambda v: v.repository),
    Column("IMPORTED", _imported),
    Column("NEW DATA", lambda v: ", ".join(f"{each.uri} {each.sha256[:10]}" for each in v.updated_data)),
    Column("CREATED", lambda v: time_text(v.create_time_ms)),
    Column("ATTEMPT", lambda v: str(v.attempt or "")),
    Column("ARTIFACT", lambda v: v.artifact.manifest_sha256),
    Column("FILES", lambda v: ", ".join(file.name for file in v.artifact.files)),
    Column("METRICS", _metrics),
    Column("THRESHOLD", _threshold),
    Column("SLICES", _slices),
    Column("GATE", _gate),
    Column("SIGNATURE", lambda v: v.signature_change),
    Column("NOT COMPARED", _not_compared),
    Column("APPROVALS", _approvals),
    Column("FAILURE", lambda v: v.failure),
    Column("LOG", lambda v: v.failure_log_tail, is_block=True),
    Column("TAGS", lambda v: ", ".join(f"{key}={value}" for key, value in sorted(v.tags.items()))),
    Column("QUARANTINED", lambda v: "yes" if v.quarantined else ""),
)

RELEASES: Columns = (
    Column("RELEASE", lambda r: str(r.release)),
    Column("ENVIRONMENT", lambda r: r.environment, 2),
    Column("CANDIDATE", lambda r: f"v{r.candidate}"),
    Column("STABLE", lambda r: f"v{r.stable}" if r.stable else "", 3),
    Column("STRATEGY", lambda r: hyphenated(configuration.Strategy, r.strategy), 3),
    Column("PHASE", phase_word),
    Column("WEIGHTS", lambda r: weights_line(r.weights), 1),
    Column("REQUESTED", lambda r: time_text(r.requested_at_ms), 1),
)

FOUND_RELEASES: Columns = (Column("RELEASE", lambda r: _short(r.name)), *RELEASES[1:])
"""For a list with releases of several models."""

RELEASE: Columns = (
    Column("NAME", lambda r: r.name),
    *RELEASES[1:5],
    Column("PHASE", phase_text),
    *RELEASES[6:],
    Column("STARTED", lambda r: time_text(r.started_at_ms)),
    Column("ENDED", lambda r: time_text(r.ended_at_ms)),
    Column("REASON", lambda r: r.reason),
    Column("JUDGEMENT", lambda r: _judgement(r.judgement)),
)

ENVIRONMENTS: Columns = (
    Column("ENVIRONMENT", lambda e: short_name(e.name)),
    Column("STEPS", lambda e: steps_text(e.policy)),
    Column("BAKE", lambda e: f"{policies.resolve(e.policy).bake_ms / 1000:g} s", 1),
    Column("FREEZES", lambda e: "; ".join(_freeze(freeze) for freeze in e.freezes)),
    Column("DESCRIPTION", lambda e: e.description, 2),
    Column("POLICY", lambda e: e.policy_sha256, 3),
)

ENVIRONMENT: Columns = (
    ENVIRONMENTS[0],
    Column("DESCRIPTION", lambda e: e.description),
    Column("FREEZES", lambda e: "\n".join(_freeze(freeze) for freeze in e.freezes)),
    Column("POLICY", lambda e: e.policy_sha256),
    *(Column(key, _policy_line(key)) for key, _ in policy_lines(policies.DEFAULT)),
    Column("approvals", _asked),
)


FROZEN: Columns = (
    ENVIRONMENTS[0],
    Column("FREEZES", lambda e: "\n".join(_freeze(freeze) for freeze in e.freezes) or "none"),
)
"""An environment after a change of its freezes."""


def model_columns(quarantined: Container[str]) -> Columns:
    """The columns of a model, which mark a live version that is among these quarantined ones."""

    def live(model: resources.Model) -> str:
        return ", ".join(
            f"{environment} v{number}"
            + (" (quarantined)" if version_name(short_name(model.name), number) in quarantined else "")
            for environment, number in sorted(model.live.items())
        )

    return tuple(column._replace(cell=live) if column.name == "LIVE" else column for column in MODEL)


def with_wait(columns: Columns, beside: str, wait_of: Callable[[Any], str]) -> Columns:
    """The columns, and right of `beside` what the resource waits for."""
    place = [column.name for column in columns].index(beside) + 1
    return (*columns[:place], Column("WAITS FOR", wait_of, end_counts=True), *columns[place:])


def release_page(
    wait_of: Callable[[resources.Release], str], judgement_of: Callable[[resources.Release], facts.Judgement]
) -> Columns:
    """The page of a release with what it waits for, and with the judgement of this moment."""
    replaced: Mapping[str, Callable[[resources.Release], str]] = {
        "PHASE": lambda release: phase_text(release, wait_of(release)),
        "JUDGEMENT": lambda release: _judgement(judgement_of(release)),
    }
    page = [column._replace(cell=replaced.get(column.name, column.cell)) for column in RELEASE]
    return with_wait(page, "PHASE", wait_of)


GRANT: Columns = (
    Column("GRANT", lambda g: g.grant),
    Column("SUBJECT", lambda g: g.subject),
    Column("ROLE", lambda g: ("not " if g.deny else "") + word_of(facts.Role, g.role)),
    Column("MODELS", lambda g: g.models),
    Column("ENVIRONMENTS", lambda g: g.environments),
    Column("BY", lambda g: g.granted_by, 2),
    Column("CREATED", lambda g: time_text(g.create_time_ms), 3),
    Column("REASON", lambda g: g.reason, 1),
)

TOKEN: Columns = (
    Column("TOKEN", lambda t: t.token),
    Column("ROLE", lambda t: word_of(facts.Role, t.role)),
    Column("MODELS", lambda t: t.models),
    Column("ENVIRONMENTS", lambda t: t.environments),
    Column("EXPIRES", lambda t: time_text(t.expire_time_ms)),
    Column("BY", lambda t: t.created_by, 2),
    Column("CREATED", lambda t: time_text(t.create_time_ms), 3),
    Column("REASON", lambda t: t.reason, 1),
)
