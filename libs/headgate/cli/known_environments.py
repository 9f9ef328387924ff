"""Whether the name of an environment may be mistyped: a command makes an environment by naming it."""

import grpc

from headgate.cli.printing import report
from headgate.cli.session import full_name
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.domain.comparison import DEFAULT_ENVIRONMENT
from headgate.domain.names import short_name
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import release_service_pb2_grpc as release_service_grpc

ANY_MODEL = "models/-"


def is_known(stub: release_service_grpc.ReleaseServiceStub, name: str) -> bool:
    """Whether the environment was made before, has a completed release, or is the default one.

    The answer is also True when the registry does not answer: this check must not fail the command that asks.
    """
    environment = full_name("environments", name)
    served = f'environment = "{short_name(environment)}" AND phase = "completed"'
    request = release_service.ListReleasesRequest(parent=ANY_MODEL, filter=served, page_size=1)
    try:
        if (
            short_name(environment) == DEFAULT_ENVIRONMENT
            or stub.ListReleases(request, timeout=TIMEOUT_SECONDS).releases
        ):
            return True
        declared = stub.ListEnvironments(
            release_service.ListEnvironmentsRequest(), timeout=TIMEOUT_SECONDS
        ).environments
    except grpc.RpcError:
        return True
    return environment in [each.name for each in declared]


def report_unknown(name: str, *hints: str) -> None:
    """Asks whether the name of an environment that was not known is right. Each hint is a line of its own."""
    report(f"nothing has gone live in {name} yet, and it had no policy and no freeze: is the name right?")
    for hint in hints:
        report(hint)
