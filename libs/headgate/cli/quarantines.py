"""What people should know when a version in quarantine serves."""

from collections.abc import Container, Iterator

import grpc

from headgate.cli.pages import pages
from headgate.cli.printing import report
from headgate.cli.render import Beside
from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.domain.names import short_name, version_name
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import resources_pb2 as resources

ONLY_RELEASES = "a quarantine only keeps it from being released"


def quarantined_versions(stubs: Stubs, parent: str) -> frozenset[str]:
    """The names of the quarantined versions of a model, or of all models when the parent is `models/-`."""
    request = registry_service.ListVersionsRequest(parent=parent, filter="quarantined = true")
    return frozenset(version.name for page in pages(stubs.registry.ListVersions, request) for version in page.versions)


def live_quarantined(quarantined: Container[str]) -> Beside:
    """The field of JSON and YAML with a model's live versions in quarantine, by environment. Absent without one."""

    def field(model: resources.Model) -> dict[str, dict[str, int]]:
        found = {
            name: number
            for name, number in model.live.items()
            if version_name(short_name(model.name), number) in quarantined
        }
        return {"live_quarantined": found} if found else {}

    return field


def report_where_live(stubs: Stubs, version: resources.Version) -> None:
    """Names the environments where a version that was put into quarantine stays live, and what takes it out of them.

    The quarantine is recorded, so a registry that does not answer now fails nothing.
    """
    try:
        for line in _where_live(stubs, version):
            report(line)
    except grpc.RpcError:
        report(f"where v{version.version} is live could not be read: `headgate model list` shows it")


def report_return(stubs: Stubs, release: resources.Release, version: int) -> None:
    """Warns when the version that a release goes back to is quarantined. It goes back all the same."""
    request = registry_service.GetVersionRequest(name=version_name(release.name.split("/")[1], version))
    try:
        found = stubs.registry.GetVersion(request, timeout=TIMEOUT_SECONDS)
    except grpc.RpcError:
        return
    if found.quarantined:
        report(f"warning: v{version}, which serves again, is quarantined; {ONLY_RELEASES}, and never stops a way back")


def _where_live(stubs: Stubs, version: resources.Version) -> Iterator[str]:
    model = "/".join(version.name.split("/")[:2])
    request = registry_service.GetModelRequest(name=model)
    live = stubs.registry.GetModel(request, timeout=TIMEOUT_SECONDS).live
    for environment in sorted(name for name, number in live.items() if number == version.version):
        release = _release_that_made_live(stubs, model, environment, version.version)
        other = f"`headgate release start {short_name(model)}/NUMBER -e {environment}` with another version"
        undo = f"`headgate release undo {short_name(model)}/{release.release}` or " if release.stable else ""
        yield f"v{version.version} stays live in {environment}: {ONLY_RELEASES}. To take it out: {undo}{other}"


def _release_that_made_live(stubs: Stubs, model: str, environment: str, version: int) -> resources.Release:
    """The newest completed release of the live version; empty when there is none."""
    request = release_service.ListReleasesRequest(
        parent=model,
        filter=f'environment = "{environment}" AND candidate = {version} AND phase = "completed"',
        page_size=1,
    )
    found = stubs.releases.ListReleases(request, timeout=TIMEOUT_SECONDS).releases
    return found[0] if found else resources.Release()
