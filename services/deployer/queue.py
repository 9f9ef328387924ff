"""Which versions ask for a release, and which requested release begins. Pure."""

from collections.abc import Iterator

from headgate.domain.release import RUNNING, is_active
from headgate.domain.state import ModelState
from headgate.domain.verdict import RELEASABLE
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources
from services.deployer.orders import order, start_release


def wished_releases(state: ModelState) -> Iterator[commands.Command]:
    """Asks, per environment, for the newest version that may and wants to serve there and is news."""
    newest: dict[str, resources.Version] = {}
    for version in state.versions.values():
        if _may_serve(version) and _wants_to_serve(version):
            newest[version.configuration.release.environment] = version
    for version in newest.values():
        if _is_news(state, version):
            yield start_release(state.name, version)


def _may_serve(version: resources.Version) -> bool:
    kept = version.retention == resources.RETENTION_STATE_KEPT
    return version.verdict in RELEASABLE and kept and not version.quarantined


def _wants_to_serve(version: resources.Version) -> bool:
    wish = version.configuration.release
    return bool(wish.environment) and wish.strategy != configuration.STRATEGY_SHADOW


def _is_news(state: ModelState, version: resources.Version) -> bool:
    environment = version.configuration.release.environment
    releases = [release for release in state.releases.values() if release.environment == environment]
    if any(release.candidate == version.version for release in releases):
        return False
    live = state.model.live.get(environment, 0)
    under_way = [release.candidate for release in releases if is_active(release)]
    # Before the first version is live there is nothing to compare with: the second waits, so that it can be a canary.
    return version.version > max([live, *under_way]) and (live > 0 or not under_way)


def next_in_line(state: ModelState, release: resources.Release, frozen: bool) -> commands.Command | None:
    """Begins the newest requested release of a free environment and drops the older ones."""
    peers = [peer for peer in state.releases.values() if peer.environment == release.environment]
    if any(peer.phase in RUNNING for peer in peers):
        return None
    newest = max(peer.release for peer in peers if peer.phase == resources.PHASE_REQUESTED)
    if release.release < newest:
        wish = commands.SupersedeRelease(release=release.release, by=newest)
        return order(state.name, release, f"supersede/{newest}", wish)
    if release.paused or frozen:
        return None
    return order(state.name, release, "begin", commands.BeginRelease(release=release.release))
