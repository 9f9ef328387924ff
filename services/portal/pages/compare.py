"""Compare: two versions of a model side by side, what was measured of them and what they were made of."""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from headgate.domain.gate import lower_is_better
from headgate.domain.names import model_stream
from headgate.domain.state import ModelState
from headgate.log.port import LogError
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.portal.addresses import commit_url
from services.portal.fields import Field, Texts, compared, texts_of, texts_of_json
from services.portal.page import Look, NoSuchPage, Page, no_such
from services.portal.pages.fleet import live_in
from services.portal.pages.model import kind_of, stream_of_model
from services.portal.sources import Sources

MAX_FACTS = 5_000
"""Facts of the stream, from the version's creation on, among which the start of its training is looked for."""
MAX_FIELDS = 300
"""Fields of one group."""
MAX_SLICES = 40
APART = ("digest", "gate", "release", "parameters_json", "data", "model")
"""Parts of the configuration that have a group of their own, or none."""

Report = facts.EvaluationReport | facts.SliceReport


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two."""

    number: int
    label: str
    kind: str
    live: Sequence[str]
    commit: str
    commit_url: str
    message: str
    author: str
    create_time_ms: int
    rows: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A metric of both. `better` says for whom the difference speaks: base, other, nobody, or empty for unknown."""

    name: str
    base: float | None
    other: float | None
    base_interval: tuple[float, float] | None
    other_interval: tuple[float, float] | None
    difference: float | None
    better: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The metrics on all rows, or on a slice of them. `title` is empty for all rows."""

    title: str
    pairs: Sequence[Pair]


@dataclass(frozen=True, slots=True)
class Group:
    """Fields of one kind: those that differ, and those that are the same."""

    title: str
    differing: Sequence[Field]
    same: Sequence[Field]


@dataclass(frozen=True, slots=True)
class ComparePage:
    """What the page shows. `same_rows` is None where nobody knows on which rows both were measured."""

    model: str
    base: Side
    other: Side
    metrics: Sequence[Rows]
    better: int
    worse: int
    measured: int
    same_rows: bool | None
    groups: Sequence[Group]


def gather(sources: Sources, look: Look) -> tuple[Texts, Texts]:
    """The environments in which the two were trained, with the digest of the lock; empty when they cannot be read."""
    with sources.reading(look.world):
        _, base, other = _found(look)
        wanted = [(each.version, each.create_time_ms) for each in (base, other)]
    found = [_environment(sources, look, *each) for each in wanted]
    return found[0], found[1]


def compare_page(look: Look) -> ComparePage:
    """Both as they stand. Raises NoSuchPage."""
    state, base, other = _found(look)
    metrics = _metrics(base, other)
    every = [pair for rows in metrics[:1] for pair in rows.pairs]
    both = (base.report.rows_sha256, other.report.rows_sha256)
    return ComparePage(
        model=look.path["model"],
        base=_side(state, base),
        other=_side(state, other),
        metrics=metrics,
        better=sum(pair.better == "other" for pair in every),
        worse=sum(pair.better == "base" for pair in every),
        measured=sum(pair.difference is not None for pair in every),
        same_rows=both[0] == both[1] if all(both) else None,
        groups=[_group(title, *pair) for title, pair in _parts(look, state, base, other).items()],
    )


def _found(look: Look) -> tuple[ModelState, resources.Version, resources.Version]:
    model = look.path["model"]
    state = look.world.folded.models.get(model)
    if state is None or not look.viewer.sees(model):
        raise no_such(f"model {model}", look.world)
    found = []
    for field in ("base", "other"):
        text = look.query.get(field, "")
        version = state.versions.get(int(text)) if text.isascii() and text.isdecimal() and len(text) < 10 else None
        if version is None:
            if text:
                raise no_such(f"version {text} of {model}", look.world)
            raise NoSuchPage(f"there is no version in the address: ?base=1&other=2 ({field})")
        found.append(version)
    return state, found[0], found[1]


def _environment(sources: Sources, look: Look, number: int, from_ms: int) -> Texts:
    """The environment of the training that has finished, or else of the last one that has begun."""
    stream = model_stream(look.path["model"])
    times = sources.past.facts(stream)
    wanted = [each.sequence for each in times if from_ms <= each.time_ms <= look.world.now_ms][:MAX_FACTS]
    started: Texts = {}
    try:
        for found in sources.past.records(stream, wanted[0] - 1, wanted[-1]) if wanted else ():
            if found.record.training_started.version == number:
                started = dict(sorted(found.record.training_started.environment.items()))
            elif found.record.training_finished.version == number:
                break  # an evaluation may have later attempts, and trains nothing
    except LogError:
        return {}
    return started


def _side(state: ModelState, version: resources.Version) -> Side:
    return Side(
        number=version.version,
        label=version.label,
        kind=kind_of(version),
        live=live_in(state.model.live, version.version),
        commit=version.commit,
        commit_url=commit_url(version.repository, version.commit),
        message=version.commit_message.partition("\n")[0],
        author=state.authors.get(version.version, ""),
        create_time_ms=version.create_time_ms,
        rows=version.report.rows,
    )


def _metrics(base: resources.Version, other: resources.Version) -> list[Rows]:
    lower = [lower_is_better(each.configuration.evaluate) for each in (base, other)]
    falls, unclear = lower[0] & lower[1], lower[0] ^ lower[1]

    def rows(title: str, first: Report, second: Report) -> Rows:
        names = dict.fromkeys(metric.name for report in (second, first) for metric in report.metrics)
        sides = [{metric.name: metric for metric in report.metrics} for report in (first, second)]
        return Rows(title, [_pair(name, sides[0].get(name), sides[1].get(name), falls, unclear) for name in names])

    by_name = [{each.slice: each for each in version.report.slices} for version in (base, other)]
    slices = list(dict.fromkeys((*by_name[1], *by_name[0])))[:MAX_SLICES]
    none = facts.SliceReport()
    every = [
        rows("", base.report, other.report),
        *(rows(name, by_name[0].get(name, none), by_name[1].get(name, none)) for name in slices),
    ]
    return [each for each in every if each.pairs]


def _pair(
    name: str, base: facts.Metric | None, other: facts.Metric | None, falls: Collection[str], unclear: Collection[str]
) -> Pair:
    difference = other.value - base.value if base is not None and other is not None else None
    if difference is not None and not math.isfinite(difference):
        difference = None
    better = ""
    if difference is not None and name not in unclear:
        better = "nobody" if not difference else "other" if (difference > 0) != (name in falls) else "base"
    return Pair(name, _value(base), _value(other), _interval(base), _interval(other), difference, better)


def _value(metric: facts.Metric | None) -> float | None:
    return metric.value if metric is not None else None


def _interval(metric: facts.Metric | None) -> tuple[float, float] | None:
    return (metric.interval.low, metric.interval.high) if metric is not None and metric.HasField("interval") else None


def _parts(
    look: Look, state: ModelState, base: resources.Version, other: resources.Version
) -> dict[str, tuple[Texts, Texts]]:
    environments: tuple[Texts, Texts] = look.gathered or ({}, {})
    return {
        "Origin": (_origin(base), _origin(other)),
        "Data": (_data(base), _data(other)),
        "Parameters": (_parameters(base), _parameters(other)),
        "Environment and lock": environments,
        "Gate": (texts_of(base.configuration.gate), texts_of(other.configuration.gate)),
        "Release policy": (_release(state, base), _release(state, other)),
        "Artifact": (_artifact(base), _artifact(other)),
    }


def _origin(version: resources.Version) -> Texts:
    found = {"repository": version.repository, "commit": version.commit, "imported": version.upload.file_name}
    return {name: text for name, text in found.items() if text}


def _data(version: resources.Version) -> Texts:
    found = {each.name or each.uri: f"{each.uri} {each.sha256[:16]}" for each in version.configuration.data}
    if version.upload.rows_sha256:
        found["test rows of the import"] = version.upload.rows_sha256[:16]
    if version.report.rows_sha256:
        found["measured on rows"] = version.report.rows_sha256[:16]
    return found


def _parameters(version: resources.Version) -> Texts:
    declared = version.configuration
    found = {name: text for name, text in texts_of(declared).items() if re.split(r"[.[]", name)[0] not in APART}
    return {**found, **texts_of_json(declared.parameters_json, "parameters")}


def _release(state: ModelState, version: resources.Version) -> Texts:
    """What the version asks for, and the policy of its newest release."""
    found = texts_of(version.configuration.release)
    own = [each for each in state.releases.values() if each.candidate == version.version]
    if not own:
        return found
    newest = max(own, key=lambda each: each.release)
    return {**found, **texts_of(newest.policy, "policy")}


def _artifact(version: resources.Version) -> Texts:
    files = {each.name: f"{each.size_bytes:,} bytes, {each.sha256[:16]}" for each in version.artifact.files}
    manifest = version.artifact.manifest_sha256[:16]
    return {**({"manifest": manifest} if manifest else {}), **files}


def _group(title: str, base: Texts, other: Texts) -> Group:
    fields = compared(base, other)
    return Group(
        title,
        [each for each in fields if each.differs][:MAX_FIELDS],
        [each for each in fields if not each.differs][:MAX_FIELDS],
    )


PAGE = Page("/models/{model}/compare", "compare.html", compare_page, gather, stream_of_model, 3600.0)
