"""Lists and searches: from the view while it is as new as the fold, from the fold otherwise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from headgate.domain.refusal import INVALID
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.names import model_in
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from headgate.view.fields import Kind
from headgate.view.filter import BadQuery
from headgate.view.folded import Answer, find
from headgate.view.query import ANY_MODEL, Query, new_query, page_token
from services.registry.requests import Requests, copy_of, fitting


class View(Protocol):
    """A copy of the folded state that others keep."""

    def find(self, query: Query, at_least: Mapping[int, int]) -> tuple[Answer, Mapping[int, int]] | None:
        """The page, and the positions it reflects; None when it cannot answer in time with these positions."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """One page as a response shows it."""

    matches: list[Any]
    token: str
    mark: resources.ReadMark


class Search:
    """Answers the requests that list. `view` is absent when there is no Redis; `count` is told what answered."""

    def __init__(self, requests: Requests, view: View | None, count: Callable[[str], None]) -> None:
        self._requests = requests
        self._view = view
        self._count = count

    def models(self, request: registry_service.ListModelsRequest) -> Found:
        """Models by filter and order. Raises RpcRefused."""
        return self._find(
            query_of(
                Kind.MODEL,
                filter_text=request.filter,
                order_by=request.order_by,
                page_size=request.page_size,
                page_token=request.page_token,
            )
        )

    def in_parent(self, kind: Kind, request: Any) -> Found:
        """Versions or releases of one model, or of all, by filter and order. Raises RpcRefused."""
        query = self.scoped(
            kind,
            request.parent,
            filter_text=request.filter,
            order_by=request.order_by,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return self._find(query)

    def scoped(self, kind: Kind, parent: str, **asked: Any) -> Query:
        """The query below models/{model}, which must exist, or models/-. Raises RpcRefused."""
        model = model_in(parent, "parent")
        if model != ANY_MODEL:
            with self._requests.fold.lock:
                self._requests.model(model, "parent")
        return query_of(kind, model=model, **asked)

    def _find(self, query: Query) -> Found:
        fold = self._requests.fold
        with fold.lock:
            accepted = dict(fold.accepted)
        seen = self._view.find(query, accepted) if self._view is not None else None
        self._count("fold" if seen is None else "view")
        if seen is not None:
            return _found(query, _fitting(query, seen[0]), resources.READ_SOURCE_VIEW, seen[1])
        with fold.lock:
            answer = _fitting(query, find(fold.models, query))
            copied = Answer([copy_of(resource) for resource in answer.resources], answer.next)
            return _found(query, copied, resources.READ_SOURCE_FOLD, fold.accepted)


def query_of(kind: Kind, **asked: Any) -> Query:
    """The query that a request asks. Raises RpcRefused naming the field."""
    try:
        return new_query(kind, **asked)
    except BadQuery as error:
        raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, INVALID, str(error), error.field) from None


def _fitting(query: Query, answer: Answer) -> Answer:
    """As much of the page as one message carries."""
    kept = list(fitting(answer.resources))
    if len(kept) == len(answer.resources):
        return answer
    return Answer(kept, query.order.of(kept[-1]))


def _found(query: Query, answer: Answer, source: resources.ReadSource.ValueType, positions: Mapping[int, int]) -> Found:
    token = page_token(query, answer.next) if answer.next is not None else ""
    return Found(answer.resources, token, resources.ReadMark(source=source, positions=positions))
