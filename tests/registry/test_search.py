"""Lists, searches and watches over the registry's gRPC server."""

import threading
from collections.abc import Iterator

import grpc
import pytest

from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import resources_pb2 as resources
from services.registry import requests
from services.registry.watches import MAX_WATCHES
from tests.registry.conftest import Running
from tests.registry.test_servicer import create, details
from tests.waiting import PATIENCE_SECONDS, until

PRESENT, SYNCED = registry_service.RESOURCE_CHANGE_PRESENT, registry_service.RESOURCE_CHANGE_SYNCED
CHANGED, LEFT = registry_service.RESOURCE_CHANGE_CHANGED, registry_service.RESOURCE_CHANGE_LEFT


def named(registry: Running, text: str, **more: object) -> list[str]:
    request = registry_service.ListModelsRequest(filter=text, **more)  # type: ignore[arg-type]
    return [model.name.removeprefix("models/") for model in registry.models.ListModels(request).models]


@pytest.fixture
def fleet(registry: Running) -> Running:
    for name, team in (("churn", "growth"), ("fraud", "risk"), ("fraud-eu", "risk")):
        registry.models.CreateModel(registry_service.CreateModelRequest(model=name, labels={"team": team}))
        create(registry, 1, model=name)
    return registry


def test_models_are_found_by_label_and_name(fleet: Running) -> None:
    assert named(fleet, "labels.team = risk") == ["fraud", "fraud-eu"]
    assert named(fleet, "labels.team = risk AND name = *", order_by="name desc") == ["fraud-eu", "fraud"]
    fleet.models.LabelModel(registry_service.LabelModelRequest(name="models/fraud", key="team", value="growth"))
    assert named(fleet, "labels.team = growth") == ["churn", "fraud"]


def test_versions_are_found_over_all_models(fleet: Running) -> None:
    fleet.models.TagVersion(
        registry_service.TagVersionRequest(name="models/fraud/versions/1", key="team", value="risk")
    )
    found = fleet.models.ListVersions(registry_service.ListVersionsRequest(parent="models/-", filter="tags.team:*"))
    assert [version.name for version in found.versions] == ["models/fraud/versions/1"]
    everything = fleet.models.ListVersions(registry_service.ListVersionsRequest(parent="models/-", order_by="name"))
    assert [version.name.split("/")[1] for version in everything.versions] == ["churn", "fraud-eu", "fraud"]
    assert not fleet.releases.ListReleases(release_service.ListReleasesRequest(parent="models/-")).releases


def test_a_list_names_its_source_and_the_log_positions_that_it_reflects(fleet: Running) -> None:
    read = fleet.models.ListModels(registry_service.ListModelsRequest()).read
    assert read.source == resources.READ_SOURCE_FOLD
    newest = fleet.models.ListHistory(registry_service.ListHistoryRequest(stream="models/fraud")).records[-1].position
    assert read.positions[newest.partition] == newest.offset


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("filter", {"filter": "colour = red"}),
        ("order_by", {"order_by": "colour"}),
        ("page_token", {"page_token": "x"}),
        ("page_size", {"page_size": -1}),
    ],
)
def test_the_error_for_a_wrong_query_names_the_field(registry: Running, field: str, asked: dict[str, object]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        registry.models.ListModels(registry_service.ListModelsRequest(**asked))  # type: ignore[arg-type]
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert details(caught.value) == ("invalid-argument", field)


def test_a_list_of_versions_of_an_unknown_model_is_not_found(registry: Running) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        registry.models.ListVersions(registry_service.ListVersionsRequest(parent="models/nobody"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_watch_sends_the_present_models_then_their_changes(fleet: Running) -> None:
    watch = fleet.models.WatchModels(
        registry_service.WatchModelsRequest(filter="labels.team = risk"), timeout=PATIENCE_SECONDS
    )
    present = [next(watch) for _ in range(3)]
    assert [(each.change, each.model.name) for each in present] == [
        (PRESENT, "models/fraud"),
        (PRESENT, "models/fraud-eu"),
        (SYNCED, ""),
    ]
    fleet.models.LabelModel(registry_service.LabelModelRequest(name="models/churn", key="team", value="risk"))
    news = next(watch)
    assert (news.change, news.model.name, news.model.labels["team"]) == (CHANGED, "models/churn", "risk")
    assert {each.partition: each.offset for each in news.positions} == positions_of(fleet)
    fleet.models.LabelModel(registry_service.LabelModelRequest(name="models/fraud", key="team", value="growth"))
    gone = next(watch)
    assert (gone.change, gone.model.name) == (LEFT, "models/fraud")
    watch.cancel()


def test_a_watch_of_one_models_versions_sends_no_versions_of_other_models(fleet: Running) -> None:
    watch = fleet.models.WatchVersions(
        registry_service.WatchVersionsRequest(parent="models/fraud"), timeout=PATIENCE_SECONDS
    )
    assert [next(watch).change for _ in range(2)] == [PRESENT, SYNCED]
    create(fleet, 2, model="churn")
    create(fleet, 2, model="fraud")
    news = next(watch)
    assert (news.change, news.version.name) == (CHANGED, "models/fraud/versions/2")
    watch.cancel()


def test_other_calls_are_answered_while_all_watches_are_taken(registry: Running) -> None:
    create(registry, 1)
    watches = [
        registry.models.WatchHistory(registry_service.WatchHistoryRequest(), timeout=PATIENCE_SECONDS)
        for _ in range(MAX_WATCHES)
    ]
    for watch in watches:
        next(watch)
    for refused in (
        registry.models.WatchHistory(registry_service.WatchHistoryRequest(), timeout=PATIENCE_SECONDS),
        registry.models.WatchModels(registry_service.WatchModelsRequest(), timeout=PATIENCE_SECONDS),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            next(refused)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details(caught.value)[0] == "too-many-watches"
    assert create(registry, 2) == 2
    watches.pop().cancel()
    until(
        lambda: answers(registry.models.WatchModels(registry_service.WatchModelsRequest(), timeout=PATIENCE_SECONDS)),
        "a watch to be free",
    )
    for watch in watches:
        watch.cancel()


def test_a_stopping_registry_ends_its_watches_at_once(registry: Running) -> None:
    create(registry, 1)
    watch = registry.models.WatchVersions(
        registry_service.WatchVersionsRequest(parent="models/fraud"), timeout=PATIENCE_SECONDS
    )
    assert [next(watch).change for _ in range(2)] == [PRESENT, SYNCED]
    stopping = threading.Thread(target=registry.registry.stop, args=[10.0])
    stopping.start()
    with pytest.raises(grpc.RpcError) as caught:
        next(watch)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    stopping.join()


def answers(watch: Iterator[registry_service.WatchModelsResponse]) -> bool:
    try:
        next(watch)
    except grpc.RpcError:
        return False
    watch.cancel()  # type: ignore[attr-defined]
    return True


def positions_of(registry: Running) -> dict[int, int]:
    return dict(registry.models.ListModels(registry_service.ListModelsRequest()).read.positions)


def test_a_page_ends_before_the_message_is_too_large(registry: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        create(registry, number)
    for number in range(1, 5):
        for key in ("a", "b"):
            tag = registry_service.TagVersionRequest(name=f"models/fraud/versions/{number}", key=key, value="x" * 1_000)
            registry.models.TagVersion(tag)
    monkeypatch.setattr(requests, "MAX_PAGE_BYTES", 5_000)
    seen, token = [], "first"
    while token:
        request = registry_service.ListVersionsRequest(parent="models/fraud", page_token=token.removeprefix("first"))
        page = registry.models.ListVersions(request)
        seen.append([version.version for version in page.versions])
        token = page.next_page_token
    assert seen == [[4, 3], [2, 1]]
