"""EvaluatorService: measures a version on request. Nothing is recorded."""

from collections.abc import Callable

import grpc

from headgate.domain.names import in_words
from headgate.domain.versions import is_purged
from headgate.lifecycle.follower import LifecycleFold
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.names import version_in
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from services.evaluator.measuring import CannotBeScored, Measure, NotHeld


class EvaluatorServicer(worker_services_grpc.EvaluatorServiceServicer):
    """Measures any trained version of the fold."""

    def __init__(self, fold: LifecycleFold, measure: Measure) -> None:
        self._fold = fold
        self._measure = measure

    def Evaluate(
        self, request: worker_services.EvaluateRequest, context: grpc.ServicerContext
    ) -> facts.EvaluationReport:
        return measured(self._measure, trained(self._fold, request.name), context.is_active)


def trained(fold: LifecycleFold, name: str) -> resources.Version:
    """The named version, which has an artifact. Raises RpcRefused."""
    model, number = version_in(name)
    with fold.lock:
        state = fold.models.get(model)
        found = state.versions.get(number) if state is not None else None
        if found is None:
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "not-found", f"{name} does not exist", "name")
        version = resources.Version()
        version.CopyFrom(found)
    if not version.artifact.manifest_sha256:
        rule = f"{name} has no artifact to measure: its state is {version.label or 'new'!r}"
        raise RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, "not-trained", rule)
    if is_purged(version):
        rule = f"{name} is purged: its artifact is gone"
        raise RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, "purged", rule)
    return version


def measured(measure: Measure, version: resources.Version, is_awaited: Callable[[], bool]) -> facts.EvaluationReport:
    """The version's report on its own rows. Raises RpcRefused when the artifact cannot be scored."""
    try:
        return measure(version, None, is_awaited).report
    except CannotBeScored as error:
        rule = f"{in_words(version.name)} cannot be evaluated: {error}"
        raise RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, "not-scorable", rule) from error
    except NotHeld as error:
        rule = f"the caller waits no longer for the evaluation of {in_words(version.name)}"
        raise RpcRefused(grpc.StatusCode.CANCELLED, "cancelled", rule) from error
