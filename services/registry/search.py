"""Answers lists and searches.

What is of a moment in the past is folded from the log. What belongs to one model comes from the fold, and so does all
that a caller gets who may not see every model. What belongs to all models comes from the view if it is as new as the
fold, otherwise from the fold.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from headgate.access.visibility import Visibility
from headgate.domain.names import model_stream
from headgate.domain.refusal import INVALID
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.names import model_in
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from headgate.view.fields import Kind
from headgate.view.filter import BadQuery
from headgate.view.folded import Answer
from headgate.view.indexed import IndexedFold
from headgate.view.query import ANY_MODEL, Query, new_query, page_token
from services.registry.as_of import AsOfReads, is_past
from services.registry.requests import Requests, copy_of, within_page_bytes


class View(Protocol):
    """The view in Redis: a copy of the folded state."""

    def find(self, query: Query, at_least: Mapping[int, int]) -> tuple[Answer, Mapping[int, int]] | None:
        """The page and the positions that it reflects. None when the view cannot reach `at_least` in time."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, its next token, and the mark of what it reflects."""

    matches: list[Any]
    token: str
    mark: resources.ReadMark


class Search:
    """Answers all requests for lists. `view` is None without Redis. `count` gets the source of each answer."""

    def __init__(
        self,
        requests: Requests,
        indexed: IndexedFold,
        as_of: AsOfReads,
        view: View | None,
        count: Callable[[str], None],
    ) -> None:
        self._requests = requests
        self._as_of = as_of
        self._indexed = indexed
        self._view = view
        self._count = count

    def models(self, request: registry_service.ListModelsRequest, visibility: Visibility) -> Page:
        """Visible models, by filter and order. Raises RpcRefused."""
        query = query_of(Kind.MODEL, **_asked(request))
        if is_past(request):
            return self._past(query, visibility, request.as_of)
        return self._find(query, visibility)

    def in_parent(self, kind: Kind, request: Any, visibility: Visibility) -> Page:
        """Versions or releases of one model, or of all visible ones, by filter and order. Raises RpcRefused."""
        if is_past(request):
            query = query_of(kind, model=model_in(request.parent, "parent", ANY_MODEL), **_asked(request))
            return self._past(query, visibility, request.as_of)
        return self._find(self.scoped(kind, request.parent, **_asked(request)), visibility)

    def scoped(self, kind: Kind, parent: str, **query: Any) -> Query:
        """The query for models/{model}, which must exist, or for models/-, which is all models. Raises RpcRefused."""
        model = model_in(parent, "parent", ANY_MODEL)
        if model != ANY_MODEL:
            with self._requests.fold.lock:
                self._requests.model(model, "parent")
        return query_of(kind, model=model, **query)

    def _past(self, query: Query, visibility: Visibility, as_of: resources.AsOf) -> Page:
        """A page as of a moment. It has positions when the moment was given by them."""
        self._count("past")
        if query.model:
            self._as_of.model(as_of, query.model, "parent")
        then = self._as_of.then(as_of, model_stream(query.model) if query.model else "")
        answer = _within_page_bytes(query, self._as_of.find(query, visibility, then))
        return _page(query, answer, resources.READ_SOURCE_FOLD, as_of.read.positions)

    def _find(self, query: Query, visibility: Visibility) -> Page:
        fold = self._requests.fold
        with fold.lock:
            accepted = dict(fold.accepted)
        # Within one model, the fold finds a page sooner than a request reaches Redis. The view knows no callers.
        view = self._view if not query.model and visibility.is_whole else None
        from_view = view.find(query, accepted) if view is not None else None
        self._count("fold" if from_view is None else "view")
        if from_view is not None:
            return _page(query, _within_page_bytes(query, from_view[0]), resources.READ_SOURCE_VIEW, from_view[1])
        with fold.lock:
            answer = _within_page_bytes(query, self._indexed.find(query, visibility))
            copied = Answer([copy_of(resource) for resource in answer.resources], answer.next)
            return _page(query, copied, resources.READ_SOURCE_FOLD, fold.accepted)


def _asked(request: Any) -> dict[str, Any]:
    """What a request for a list says of its page."""
    return {
        "filter_text": request.filter,
        "order_by": request.order_by,
        "page_size": request.page_size,
        "page_token": request.page_token,
        "moment": request.as_of.SerializeToString(deterministic=True),
    }


def query_of(kind: Kind, **query: Any) -> Query:
    """The query of a request. Raises RpcRefused, which names the wrong field."""
    try:
        return new_query(kind, **query)
    except BadQuery as error:
        raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, INVALID, str(error), error.field) from None


def _within_page_bytes(query: Query, answer: Answer) -> Answer:
    """The part of the answer that fits into one message."""
    kept = list(within_page_bytes(answer.resources))
    if len(kept) == len(answer.resources):
        return answer
    return Answer(kept, query.order.of(kept[-1]))


def _page(query: Query, answer: Answer, source: resources.ReadSource.ValueType, positions: Mapping[int, int]) -> Page:
    token = page_token(query, answer.next) if answer.next is not None else ""
    return Page(answer.resources, token, resources.ReadMark(source=source, positions=positions))
