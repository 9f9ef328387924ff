"""The gauges of the deployer: the present state of versions and releases, as readings for Prometheus. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ParamSpec

from headgate.domain.release import is_active, phase_name
from headgate.domain.state import EnvironmentState, ModelState
from headgate.domain.weights import share_of
from headgate.runtime.observability.metrics import Reading
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.worker.isolation import isolated
from services.deployer.evidence import GatewayReports
from services.deployer.observation import observe

MAX_JUDGED_RELEASES = 40
"""Active releases that are judged for one scrape, the newest first. Each holds the fold's lock for 0.1 ms."""
PAUSED = "paused"
MS_PER_SECOND = 1000.0

Arguments = ParamSpec("Arguments")

RELEASES, ACTIVE, STEP = "headgate_releases", "headgate_release_active", "headgate_release_step_seconds"
WANTED, OBSERVED = "headgate_release_weight_wanted_ratio", "headgate_release_weight_observed_ratio"
E_VALUE, THRESHOLD = "headgate_judge_e_value", "headgate_judge_threshold"
LIVE, LIVE_METRIC = "headgate_version_live_info", "headgate_live_metric"
CANDIDATE_METRIC, GATEWAYS = "headgate_candidate_metric", "headgate_gateways_live"
READING_NAMES = (
    RELEASES,
    ACTIVE,
    STEP,
    WANTED,
    OBSERVED,
    E_VALUE,
    THRESHOLD,
    LIVE,
    LIVE_METRIC,
    CANDIDATE_METRIC,
    GATEWAYS,
)


def readings(
    models: Mapping[str, ModelState],
    environments: Mapping[str, EnvironmentState],
    reports: GatewayReports,
    now_ms: int,
) -> Iterator[Reading]:
    """All readings. Those of active releases come first: when a metric's series run out, they still have one."""
    active = [
        (state, release) for state in models.values() for release in state.releases.values() if is_active(release)
    ]
    active.sort(key=lambda pair: pair[1].requested_at_ms, reverse=True)
    for number, (state, release) in enumerate(active):
        yield from _readable(_release, state, release, now_ms)
        if number < MAX_JUDGED_RELEASES:
            yield from _readable(_judged, state, release, environments, reports, now_ms)
    released = {state.name for state, _ in active}
    for state in sorted(models.values(), key=lambda state: state.name not in released):
        yield from _readable(_live, state)
    yield from _phases(models)
    for environment in environments:
        yield Reading(GATEWAYS, (environment,), len(reports.gateways(environment)))


def _release(state: ModelState, release: resources.Release, now_ms: int) -> Iterator[Reading]:
    where = (release.environment, state.name)
    yield Reading(ACTIVE, (*where, _phase(release)), 1)
    yield Reading(STEP, where, max(0, now_ms - release.phase_since_ms) / MS_PER_SECOND)
    weights = {weight.version: share_of(weight.weight_bps) for weight in release.weights}
    if weights:
        yield Reading(WANTED, (*where, "candidate"), weights.get(release.candidate, 0.0))
        yield Reading(WANTED, (*where, "stable"), weights.get(release.stable, 0.0))
    for metric in state.versions[release.candidate].report.metrics:
        yield Reading(CANDIDATE_METRIC, (*where, metric.name), metric.value)


def _readable(
    read: Callable[Arguments, Iterable[Reading]], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Iterator[Reading]:
    """The readings of one model or release; none when `read` raises an error, which `due` also finds and reports."""
    for reading in isolated("", "", read, *arguments, **named):
        if isinstance(reading, Reading):
            yield reading


def _judged(
    state: ModelState,
    release: resources.Release,
    environments: Mapping[str, EnvironmentState],
    reports: GatewayReports,
    now_ms: int,
) -> Iterator[Reading]:
    observation = observe(state, release, environments, reports, now_ms)
    where = (observation.release.environment, observation.model)
    judgement, stratum = observation.judgement, observation.stratum
    yield Reading(E_VALUE, (*where, "fail"), judgement.fail_e_value)
    yield Reading(E_VALUE, (*where, "pass"), judgement.pass_e_value)
    yield Reading(THRESHOLD, (*where, "fail"), judgement.fail_threshold)
    yield Reading(THRESHOLD, (*where, "pass"), judgement.pass_threshold)
    yield from _observed(where, stratum)


def _observed(where: tuple[str, str], stratum: facts.Stratum) -> Iterator[Reading]:
    requests = stratum.candidate_requests + stratum.stable_requests
    if requests:
        yield Reading(OBSERVED, (*where, "candidate"), stratum.candidate_requests / requests)
        yield Reading(OBSERVED, (*where, "stable"), stratum.stable_requests / requests)


def _live(state: ModelState) -> Iterator[Reading]:
    for environment, version in state.model.live.items():
        yield Reading(LIVE, (environment, state.name, str(version)), 1)
        for metric in state.versions[version].report.metrics:
            yield Reading(LIVE_METRIC, (environment, state.name, metric.name), metric.value)


def _phases(models: Mapping[str, ModelState]) -> Iterator[Reading]:
    counts = Counter(
        (release.environment, _phase(release)) for state in models.values() for release in state.releases.values()
    )
    for where, count in counts.items():
        yield Reading(RELEASES, where, count)


def _phase(release: resources.Release) -> str:
    """The release's phase, or PAUSED: a paused release waits for a person, whatever its phase is."""
    return PAUSED if release.paused and is_active(release) else phase_name(release).replace(" ", "_")
