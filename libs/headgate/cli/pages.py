"""Reads lists of the registry page by page."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from headgate.client.stubs import TIMEOUT_SECONDS

PAGE_SIZE = 100
MAX_PAGES = 1_000
"""The most pages of one list, whatever the registry says comes next."""
MAX_LISTED = MAX_PAGES * PAGE_SIZE


class Page(Protocol):
    """The answer to a request for a list."""

    next_page_token: str


AnyPage = TypeVar("AnyPage", bound=Page)
Row = TypeVar("Row")


def pages(call: Callable[..., AnyPage], request: Any) -> Iterator[AnyPage]:
    """Each page of the list that the request asks for. It stops calling when its caller does. Raises grpc.RpcError."""
    request.page_size = request.page_size or PAGE_SIZE
    for _ in range(MAX_PAGES):
        page = call(request, timeout=TIMEOUT_SECONDS)
        yield page
        request.page_token = page.next_page_token
        if not request.page_token:
            return


def listed(
    call: Callable[..., AnyPage], request: Any, rows_of: Callable[[AnyPage], Iterable[Row]], limit: int = MAX_LISTED
) -> tuple[list[Row], bool]:
    """At most `limit` rows of the list that the request asks for, and whether there may be more."""
    found: list[Row] = []
    more = False
    request.page_size = min(PAGE_SIZE, limit)
    for page in pages(call, request):
        found.extend(rows_of(page))
        more = bool(page.next_page_token)
        if len(found) >= limit:
            break
    return found[:limit], more or len(found) > limit
