"""Whether the name of an environment may be mistyped: a command makes an environment by naming it."""

from contextlib import suppress

import grpc

from headgate.cli.printing import report
from headgate.cli.session import full_name
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.domain.comparison import DEFAULT_ENVIRONMENT
from headgate.domain.names import short_name
from headgate.domain.words import listed
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import release_service_pb2_grpc as release_service_grpc

ANY_MODEL = "models/-"


MAX_RELEASES = 1_000
"""How many completed releases are looked at for the environments that something is live in."""
MAX_NAMED = 10


def is_known(
    stub: release_service_grpc.ReleaseServiceStub, name: str, timeout_seconds: float = TIMEOUT_SECONDS
) -> bool:
    """Whether the environment was made before, has a completed release, or is the default one.

    The answer is also True when the registry does not answer: this check must not fail the command that asks.
    """
    environment = short_name(full_name("environments", name))
    served = f'environment = "{environment}" AND phase = "completed"'
    request = release_service.ListReleasesRequest(parent=ANY_MODEL, filter=served, page_size=1)
    try:
        if environment == DEFAULT_ENVIRONMENT or stub.ListReleases(request, timeout=timeout_seconds).releases:
            return True
        return environment in _declared(stub, timeout_seconds)
    except grpc.RpcError:
        return True


def report_unknown(stub: release_service_grpc.ReleaseServiceStub, name: str, *hints: str) -> None:
    """Asks whether the name of an environment that was not known is right. Each hint is a line of its own."""
    report(f"nothing has gone live in {name} yet, and it had no policy and no freeze: is the name right?")
    report(f"known environments: {listed(_known(stub, name), MAX_NAMED)}")
    for hint in hints:
        report(hint)


def _known(stub: release_service_grpc.ReleaseServiceStub, but: str) -> list[str]:
    """The names of the environments that have a policy, a freeze or a live version, and of the default one."""
    live = release_service.ListReleasesRequest(parent=ANY_MODEL, filter='phase = "completed"', page_size=MAX_RELEASES)
    names = {DEFAULT_ENVIRONMENT}
    with suppress(grpc.RpcError):
        names |= {release.environment for release in stub.ListReleases(live, timeout=TIMEOUT_SECONDS).releases}
        names |= set(_declared(stub, TIMEOUT_SECONDS))
    return sorted(names - {but})


def _declared(stub: release_service_grpc.ReleaseServiceStub, timeout_seconds: float) -> list[str]:
    found = stub.ListEnvironments(release_service.ListEnvironmentsRequest(), timeout=timeout_seconds)
    return [short_name(each.name) for each in found.environments]
