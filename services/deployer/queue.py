"""Decides which versions get a release, and which requested release begins next. Pure."""

from collections.abc import Iterator, Sequence

from headgate.domain.comparison import awaited_verdict, not_compared_with
from headgate.domain.release import RUNNING, is_active
from headgate.domain.state import ModelState
from headgate.domain.verdict import RELEASABLE
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources
from services.deployer.release_commands import release_command, start_release


def releases_to_start(state: ModelState) -> Iterator[commands.Command]:
    """Yields one command per environment: to release the newest version that is allowed to serve and asks for it."""
    newest: dict[str, resources.Version] = {}
    for version in state.versions.values():
        if _may_serve(version) and _asks_for_release(version):
            newest[version.configuration.release.environment] = version
    for version in newest.values():
        if _needs_release(state, version):
            yield start_release(state.name, version)


def _may_serve(version: resources.Version) -> bool:
    kept = version.retention == resources.RETENTION_STATE_KEPT
    return version.verdict in RELEASABLE and kept and not version.quarantined


def _asks_for_release(version: resources.Version) -> bool:
    requested = version.configuration.release
    return bool(requested.environment) and requested.strategy != configuration.STRATEGY_SHADOW


def _needs_release(state: ModelState, version: resources.Version) -> bool:
    """Whether the version is newer than all that serve or are being released, and was never released here.

    A version that the evaluator must compare with a newly live one has to wait for that.
    """
    if not_compared_with(state, version):
        return False
    environment = version.configuration.release.environment
    releases = [release for release in state.releases.values() if release.environment == environment]
    if any(release.candidate == version.version for release in releases):
        return False
    live = state.model.live.get(environment, 0)
    in_release = [release.candidate for release in releases if is_active(release)]
    # The second version waits until the first one is live. A canary needs a live version to be compared with.
    return version.version > max([live, *in_release]) and (live > 0 or not in_release)


def successor(state: ModelState, release: resources.Release, now_ms: int) -> resources.Release | None:
    """The requested release for which this running one must make way now; None when it goes on.

    Every release makes way for an undo. A paused one makes way for a newer release, from the time its pause names.
    """
    requested = [
        other
        for other in state.releases.values()
        if other.environment == release.environment and other.phase == resources.PHASE_REQUESTED and not other.paused
    ]
    undo = next((other for other in requested if other.undo_of), None)
    if undo is not None and not release.undo_of:
        return undo
    yields = release.paused and 0 < release.superseded_from_ms <= now_ms
    newer = [other for other in requested if other.release > release.release] if yields else []
    return max(newer, key=lambda other: other.release, default=None)


def release_before(state: ModelState, release: resources.Release) -> resources.Release | None:
    """The release of the same environment for which a requested one waits; None when it is first in line."""
    peers = [peer for peer in state.releases.values() if peer.environment == release.environment]
    running = next((peer for peer in peers if peer.phase in RUNNING), None)
    first = running or _first_in_line(peers)
    return None if first.release == release.release else first


def _first_in_line(peers: Sequence[resources.Release]) -> resources.Release:
    """The requested release that begins next. An undo goes before every other release, however new."""
    requested = (peer for peer in peers if peer.phase == resources.PHASE_REQUESTED)
    return max(requested, key=lambda peer: (bool(peer.undo_of), peer.release))


def next_in_line(state: ModelState, release: resources.Release, frozen: bool) -> commands.Command | None:
    """The command that a requested release needs: to begin when it is first in line, or to be superseded.

    None while another release of the model runs in the environment, and while this one must wait.
    """
    peers = [peer for peer in state.releases.values() if peer.environment == release.environment]
    if any(peer.phase in RUNNING for peer in peers):
        return None
    first = _first_in_line(peers).release
    if release.release < first:
        payload = commands.SupersedeRelease(release=release.release, by=first)
        return release_command(state.name, release, f"supersede/{first}", payload)
    candidate = state.versions.get(release.candidate, resources.Version())
    if release.release > first or release.paused or frozen or awaited_verdict(state, candidate):
        return None
    return release_command(state.name, release, "begin", commands.BeginRelease(release=release.release))
