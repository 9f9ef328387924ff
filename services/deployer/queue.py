"""Decides which versions get a release, and which requested release begins next. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from headgate.domain.approvals import awaited_approvals
from headgate.domain.comparison import awaited_verdict, not_compared_with
from headgate.domain.names import model_stream
from headgate.domain.releasable import candidate_refused
from headgate.domain.release import RUNNING, is_active
from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.domain.verdict import RELEASABLE
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.worker.isolation import Undecidable, isolated
from services.deployer import waits
from services.deployer.observation import Observation
from services.deployer.release_commands import release_command, start_release
from services.deployer.waits import Wait


@dataclass(frozen=True, slots=True)
class Rules:
    """What beside a model decides on its releases: the environments, and the grants of those who have approved."""

    environments: Mapping[str, EnvironmentState]
    access: AccessState | None = None


def releases_to_start(state: ModelState, rules: Rules) -> Iterator[commands.Command]:
    """Yields one command per environment: to release the newest version that is allowed to serve and asks for it."""
    for version, wait in _next_to_serve(state, rules):
        if not wait.waiting_for:
            yield start_release(state.name, version)


def waiting_versions(state: ModelState, rules: Rules) -> Iterator[tuple[resources.Version, Wait]]:
    """The versions that are next but get no release yet, and what each one waits for."""
    return ((version, wait) for version, wait in _next_to_serve(state, rules) if wait.waiting_for)


def versions_in_line(models: Mapping[str, ModelState], rules: Rules) -> list[worker_services.WaitingVersion]:
    """Every version that passed its gate and gets its release later, with what it waits for."""
    return [
        each
        for state in models.values()
        for each in isolated(model_stream(state.name), "", _in_line, state, rules)
        if not isinstance(each, Undecidable)
    ]


def _in_line(state: ModelState, rules: Rules) -> list[worker_services.WaitingVersion]:
    return [
        worker_services.WaitingVersion(
            name=version.name,
            waiting_for=wait.waiting_for,
            create_time_ms=version.create_time_ms,
            ahead=wait.ahead,
        )
        for version, wait in waiting_versions(state, rules)
    ]


def wait_for_release(state: ModelState, version: resources.Version, rules: Rules) -> Wait:
    """What must happen before a version that is next gets its release; nothing when it may get it now.

    A version that the evaluator must compare with a newly live one has to wait for that, and for the approvals that its
    environment asks for. The second version waits until the first one is live: a canary needs a live version to be
    compared with.
    """
    if not_compared_with(state, version):
        return Wait(awaited_verdict(state, version))
    environment = version.configuration.release.environment
    awaited = awaited_approvals(state, version, rules.environments.get(environment), rules.access)
    if awaited:
        return Wait(awaited)
    first = next((other for other in _releases_in(state, environment) if is_active(other)), None)
    is_first_live = state.model.live.get(environment, 0) > 0
    return Wait() if is_first_live or first is None else waits.end_of_release(first)


def _next_to_serve(state: ModelState, rules: Rules) -> Iterator[tuple[resources.Version, Wait]]:
    """The versions that are next, and what each one waits for."""
    for version in _newest_to_serve(state):
        if _is_next(state, version):
            yield version, wait_for_release(state, version, rules)


def _newest_to_serve(state: ModelState) -> Iterable[resources.Version]:
    """For each environment the newest version that is allowed to serve and asks for a release there."""
    newest: dict[str, resources.Version] = {}
    for version in state.versions.values():
        if _may_serve(version) and _asks_for_release(version):
            newest[version.configuration.release.environment] = version
    return newest.values()


def _may_serve(version: resources.Version) -> bool:
    kept = version.retention == resources.RETENTION_STATE_KEPT
    return version.verdict in RELEASABLE and kept and not version.quarantined


def _asks_for_release(version: resources.Version) -> bool:
    requested = version.configuration.release
    return bool(requested.environment) and requested.strategy != configuration.STRATEGY_SHADOW


def _is_next(state: ModelState, version: resources.Version) -> bool:
    """Whether the version is newer than all that serve or are being released, and was never released here."""
    environment = version.configuration.release.environment
    releases = _releases_in(state, environment)
    in_release = [release.candidate for release in releases if is_active(release)]
    was_released = any(release.candidate == version.version for release in releases)
    return not was_released and version.version > max([state.model.live.get(environment, 0), *in_release])


def _releases_in(state: ModelState, environment: str) -> list[resources.Release]:
    return [release for release in state.releases.values() if release.environment == environment]


def successor(state: ModelState, observation: Observation) -> resources.Release | None:
    """The requested release for which this running one must make way now; None when it goes on.

    It makes way only for a release that can begin at once. Every release makes way for an undo. A paused one makes way
    for the release of a newer version, from the time that its pause names.
    """
    release = observation.release
    requested = [peer for peer in _releases_in(state, release.environment) if peer.phase == resources.PHASE_REQUESTED]
    if not requested:
        return None
    first = _first_in_line(requested)
    yields = _yields_to(release, first) and release.superseded_from_ms <= observation.now_ms
    goes_first = not release.undo_of if first.undo_of else yields
    return first if goes_first and _can_begin(state, first, observation.frozen_for(first)) else None


def takes_place_at(state: ModelState, running: resources.Release, observation: Observation) -> int:
    """From when on the requested release takes the place of the one that runs, if nothing changes; 0 for never."""
    release = observation.release
    is_first = _first_in_line(_releases_in(state, release.environment)).release == release.release
    can_begin = _can_begin(state, release, observation.frozen_for(release))
    return running.superseded_from_ms if is_first and can_begin and _yields_to(running, release) else 0


def _yields_to(running: resources.Release, other: resources.Release) -> bool:
    """Whether a release that runs is paused and makes way for the other one, from the time that its pause names."""
    is_newer = other.release > running.release and other.candidate > running.candidate
    return running.paused and running.superseded_from_ms > 0 and is_newer


def release_before(state: ModelState, release: resources.Release) -> resources.Release | None:
    """The release of the same environment for which a requested one waits; None when it is first in line."""
    peers = _releases_in(state, release.environment)
    running = next((peer for peer in peers if peer.phase in RUNNING), None)
    first = running or _first_in_line(peers)
    return None if first.release == release.release else first


def _first_in_line(peers: Sequence[resources.Release]) -> resources.Release:
    """The requested release that begins next. An undo goes before every other release, however new."""
    requested = (peer for peer in peers if peer.phase == resources.PHASE_REQUESTED)
    return max(requested, key=lambda peer: (bool(peer.undo_of), peer.release))


def next_in_line(state: ModelState, release: resources.Release, observation: Observation) -> commands.Command | None:
    """The command that a requested release needs: to begin when it is first in line, or to be superseded.

    None while another release of the model runs in the environment, and while this one must wait. A release that must
    wait itself supersedes no other one.
    """
    peers = _releases_in(state, release.environment)
    if any(peer.phase in RUNNING for peer in peers):
        return None
    first = _first_in_line(peers)
    if release.release < first.release and _can_begin(state, first, observation.frozen_for(first)):
        payload = commands.SupersedeRelease(release=release.release, by=first.release)
        return release_command(state.name, release, f"supersede/{first.release}", payload)
    if release.release != first.release or _is_held(state, release, observation.frozen_for(release)):
        return None
    # The registry ends a release whose candidate may not be released any more when it is asked to begin it.
    return release_command(state.name, release, "begin", commands.BeginRelease(release=release.release))


def _is_held(state: ModelState, release: resources.Release, is_frozen: bool) -> bool:
    """Whether a requested release that is first in line must still wait."""
    candidate = state.versions.get(release.candidate, resources.Version())
    return release.paused or is_frozen or bool(awaited_verdict(state, candidate))


def _can_begin(state: ModelState, release: resources.Release, is_frozen: bool) -> bool:
    """Whether nothing but its place in line keeps a requested release from its begin."""
    candidate = state.versions.get(release.candidate, resources.Version())
    is_refused = candidate_refused(candidate, release.override_quarantine) is not None
    return not is_refused and not _is_held(state, release, is_frozen)
