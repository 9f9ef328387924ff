"""Answers Explain: finds what the request names at its moment, and the facts that led to it."""

from collections.abc import Iterator

from headgate.client.explanation import Explainer
from headgate.domain.names import in_words, model_stream, split_name, split_numbered
from headgate.domain.state import ModelState
from headgate.lifecycle.moment import AtTime
from headgate.lifecycle.past import MAX_FACTS, FactsLimit, Then
from headgate.runtime.rpc.names import bad_field, checked_model, checked_name
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from services.registry.as_of import AsOfReads, is_past, refused

NAME_FORM = "models/{model}, models/{model}/versions/{number} or models/{model}/releases/{number}"
END_OF_TIME = AtTime((1 << 63) - 1)
"""The present: it includes every fact."""


class Explanations:
    """Thread-safe."""

    def __init__(self, as_of: AsOfReads) -> None:
        self._as_of = as_of

    def of(self, request: registry_service.ExplainRequest) -> registry_service.Explanation:
        """The tree of causes. Raises RpcRefused."""
        model, kind, number = _subject(request.name)
        stream = model_stream(model)
        then = self._as_of.then(request.as_of, stream) if is_past(request) else self._as_of.past.at(END_OF_TIME)
        with refused():
            state = then.model(model)
            if state is None:
                raise self._as_of.not_found(stream, then, stream, "name")
            explainer = Explainer(state, _facts(then, stream))
        return registry_service.Explanation(cause=self._cause(request, explainer, state, then, kind, number))

    def _cause(
        self,
        request: registry_service.ExplainRequest,
        explainer: Explainer,
        state: ModelState,
        then: Then,
        kind: str,
        number: int,
    ) -> registry_service.Cause:
        if kind and number not in (state.versions if kind == "versions" else state.releases):
            raise self._as_of.not_found(request.name, then, "", "name")
        if kind:
            return explainer.version(number) if kind == "versions" else explainer.release(number)
        environment = checked_name("environment", request.environment) if request.environment else ""
        return explainer.serving(environment)


def _facts(then: Then, stream: str) -> Iterator[facts.LifecycleRecord]:
    if then.sequence(stream) > MAX_FACTS:
        raise FactsLimit(f"{in_words(stream)} has more than {MAX_FACTS} facts")
    return (found.record for found in then.past.records(stream, 0, then.sequence(stream)))


def _subject(name: str) -> tuple[str, str, int]:
    """Model, kind and number of a name; the kind is empty for a model. Raises RpcRefused."""
    for kind in ("versions", "releases"):
        if found := split_numbered(name, kind):
            return checked_model("name", found[0]), kind, found[1]
    model = split_name(name, "models")
    if model is None:
        raise bad_field("name", name, NAME_FORM)
    return checked_model("name", model), "", 0
