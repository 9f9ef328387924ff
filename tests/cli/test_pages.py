"""A list is read page by page until it ends, or until there is enough of it."""

import pytest

from headgate.cli import histories, pages
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources


class Registry:
    """Answers a list of so many models, whatever size of page is asked for."""

    def __init__(self, models: int, on_a_page: int) -> None:
        self.calls = 0
        self._models = models
        self._on_a_page = on_a_page

    def __call__(
        self, request: registry_service.ListModelsRequest, timeout: float
    ) -> registry_service.ListModelsResponse:
        self.calls += 1
        start = int(request.page_token or 0)
        end = min(start + min(self._on_a_page, request.page_size), self._models)
        models = [resources.Model(name=f"models/m{number}") for number in range(start, end)]
        token = str(end) if end < self._models else ""
        return registry_service.ListModelsResponse(models=models, next_page_token=token)


@pytest.mark.parametrize(
    ("models", "limit", "found", "more", "calls"),
    [(0, 10, 0, False, 1), (7, 10, 7, False, 3), (10, 10, 10, False, 4), (11, 10, 10, True, 4), (7, 1, 1, True, 1)],
)
def test_a_list_ends_at_its_limit_and_says_whether_there_may_be_more(
    models: int, limit: int, found: int, more: bool, calls: int
) -> None:
    registry = Registry(models, on_a_page=3)
    request = registry_service.ListModelsRequest()
    rows, may_be_more = pages.listed(registry, request, lambda page: page.models, limit)
    assert [row.name for row in rows] == [f"models/m{number}" for number in range(found)]
    assert (may_be_more, registry.calls) == (more, calls)


def test_a_list_that_never_ends_is_left_after_so_many_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_PAGES", 5)
    registry = Registry(1_000_000, on_a_page=1)
    rows, more = pages.listed(registry, registry_service.ListModelsRequest(), lambda page: page.models)
    assert (len(rows), more, registry.calls) == (5, True, 5)


def test_a_history_that_never_ends_is_left_after_so_many_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "MAX_PAGES", 5)
    asked: list[int] = []

    def without_facts(
        request: registry_service.ListHistoryRequest, timeout: float
    ) -> registry_service.ListHistoryResponse:
        asked.append(request.after_sequence)
        return registry_service.ListHistoryResponse(next_after_sequence=request.after_sequence + 1)

    assert histories.newest_facts(without_facts, "models/fraud", head=100, lines=50) == []
    assert asked == [50, 51, 52, 53, 54]
