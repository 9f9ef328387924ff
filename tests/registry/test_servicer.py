"""The registry's services, over real gRPC."""

from collections.abc import Callable

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from tests.registry.conftest import Running
from tests.registry.waiting import REPOSITORY, commit
from tests.waiting import PATIENCE_SECONDS, until


def create(registry: Running, number: int, model: str = "fraud", request_id: str = "") -> int:
    request = registry_service.CreateVersionRequest(
        parent=f"models/{model}", repository=REPOSITORY, commit=commit(number), request_id=request_id
    )
    return int(registry.models.CreateVersion(request).version)


def details(error: grpc.RpcError) -> tuple[str, str]:
    """The reason of the ErrorInfo, and the field of the BadRequest or "" when there is none."""
    status = rpc_status.from_call(error)
    assert status is not None
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status.details[0].Unpack(info)
    if len(status.details) > 1:
        status.details[1].Unpack(bad)
        return info.reason, bad.field_violations[0].field
    return info.reason, ""


def test_a_model_is_created_read_and_listed(registry: Running) -> None:
    made = registry.models.CreateModel(registry_service.CreateModelRequest(model="fraud", description="cards"))
    assert (made.name, made.description, made.etag) == ("models/fraud", "cards", "1")
    assert registry.models.GetModel(registry_service.GetModelRequest(name="models/fraud")) == made
    registry.models.CreateModel(registry_service.CreateModelRequest(model="churn"))
    listed = registry.models.ListModels(registry_service.ListModelsRequest()).models
    assert [model.name for model in listed] == ["models/churn", "models/fraud"]
    changed = registry.models.UpdateModel(
        registry_service.UpdateModelRequest(name="models/fraud", description="all cards")
    )
    assert (changed.description, changed.etag) == ("all cards", "2")


def test_versions_are_listed_page_by_page_newest_first(registry: Running) -> None:
    for number in range(1, 6):
        assert create(registry, number) == number
    seen: list[int] = []
    token = ""
    for _ in range(3):
        request = registry_service.ListVersionsRequest(parent="models/fraud", page_size=2, page_token=token)
        page = registry.models.ListVersions(request)
        seen.extend(version.version for version in page.versions)
        token = page.next_page_token
    assert seen == [5, 4, 3, 2, 1]
    assert token == ""


def test_an_alias_names_a_version(registry: Running) -> None:
    create(registry, 1)
    request = registry_service.SetAliasRequest(parent="models/fraud", alias="champion", version=1)
    assert dict(registry.models.SetAlias(request).aliases) == {"champion": 1}
    alias = registry_service.GetVersionRequest(name="models/fraud/aliases/champion")
    assert registry.models.GetVersion(alias).name == "models/fraud/versions/1"
    registry.models.DeleteAlias(registry_service.DeleteAliasRequest(parent="models/fraud", alias="champion"))
    with pytest.raises(grpc.RpcError) as caught:
        registry.models.GetVersion(alias)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_version_is_tagged(registry: Running) -> None:
    create(registry, 1)
    request = registry_service.TagVersionRequest(name="models/fraud/versions/1", key="team", value="risk")
    assert dict(registry.models.TagVersion(request).tags) == {"team": "risk"}


def test_the_history_is_a_chain_and_is_read_in_pages(registry: Running) -> None:
    for number in range(1, 4):
        create(registry, number)
    first = registry.models.ListHistory(registry_service.ListHistoryRequest(stream="models/fraud", page_size=2))
    assert first.next_after_sequence == 2
    rest = registry.models.ListHistory(registry_service.ListHistoryRequest(stream="models/fraud", after_sequence=2))
    assert rest.next_after_sequence == 0
    records = [*first.records, *rest.records]
    assert [item.record.sequence for item in records] == [1, 2, 3]
    assert [item.record.previous_digest for item in records] == [b"", records[0].digest, records[1].digest]
    everything = registry.models.ListHistory(registry_service.ListHistoryRequest(stream="models/fraud", page_size=-1))
    assert len(everything.records) == 3


def test_a_watch_sends_the_past_facts_then_the_new_ones(registry: Running) -> None:
    create(registry, 1)
    watch = registry.models.WatchHistory(
        registry_service.WatchHistoryRequest(stream="models/fraud"), timeout=PATIENCE_SECONDS
    )
    assert next(watch).record.record.version_created.version == 1
    create(registry, 2)
    assert next(watch).record.record.version_created.version == 2
    watch.cancel()


def test_a_watch_resumes_after_a_position(registry: Running) -> None:
    create(registry, 1)
    create(registry, 2)
    first = registry.models.ListHistory(registry_service.ListHistoryRequest(stream="models/fraud")).records[0]
    request = registry_service.WatchHistoryRequest(stream="models/fraud", after=[first.position])
    watch = registry.models.WatchHistory(request, timeout=PATIENCE_SECONDS)
    assert next(watch).record.record.sequence == 2
    create(registry, 3, model="churn")
    create(registry, 3)
    assert next(watch).record.record.sequence == 3
    watch.cancel()


def test_a_watch_that_begins_before_its_stream_gets_the_first_fact(registry: Running) -> None:
    request = registry_service.WatchHistoryRequest(stream="models/fraud")
    watch = registry.models.WatchHistory(request, timeout=PATIENCE_SECONDS)
    create(registry, 1)
    assert next(watch).record.record.stream == "models/fraud"
    watch.cancel()


@pytest.mark.parametrize("stream", ["nope", "models/", "models/NOPE", "models/fraud/versions/1"])
def test_a_watch_of_a_name_that_no_stream_can_have_is_refused(registry: Running, stream: str) -> None:
    request = registry_service.WatchHistoryRequest(stream=stream, from_now=True)
    with pytest.raises(grpc.RpcError) as caught:
        next(registry.models.WatchHistory(request, timeout=PATIENCE_SECONDS))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "models/{model}, environments/{environment} or access/default" in (caught.value.details() or "")


def test_a_page_of_no_stream_is_refused_with_the_form_of_a_stream(registry: Running) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        registry.models.ListHistory(registry_service.ListHistoryRequest())
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "models/{model}, environments/{environment} or access/default" in (caught.value.details() or "")


@pytest.mark.parametrize(("partition", "offset"), [(99, 0), (-1, 0), (0, -5), (0, -2)])
def test_a_watch_after_a_position_that_cannot_be_is_refused(registry: Running, partition: int, offset: int) -> None:
    position = registry_service.HistoryPosition(partition=partition, offset=offset)
    with pytest.raises(grpc.RpcError) as caught:
        next(
            registry.models.WatchHistory(
                registry_service.WatchHistoryRequest(after=[position]), timeout=PATIENCE_SECONDS
            )
        )
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert details(caught.value)[1] == "after"


def test_a_change_with_an_outdated_etag_is_aborted(registry: Running) -> None:
    create(registry, 1)
    etag = registry.models.GetModel(registry_service.GetModelRequest(name="models/fraud")).etag
    request = registry_service.SetAliasRequest(parent="models/fraud", alias="a", version=1, etag=etag)
    create(registry, 2)
    with pytest.raises(grpc.RpcError) as caught:
        registry.models.SetAlias(request)
    assert caught.value.code() == grpc.StatusCode.ABORTED
    assert details(caught.value) == ("stale-etag", "etag")
    request.etag = registry.models.GetModel(registry_service.GetModelRequest(name="models/fraud")).etag
    registry.models.SetAlias(request)


def test_a_repeated_request_gets_the_version_that_it_created_before(registry: Running) -> None:
    assert create(registry, 1, request_id="push-1") == 1
    create(registry, 2)
    assert create(registry, 1, request_id="push-1") == 1
    assert len(registry.models.ListVersions(registry_service.ListVersionsRequest(parent="models/fraud")).versions) == 2


def test_a_request_id_that_was_used_for_another_request_is_refused(registry: Running) -> None:
    create(registry, 1, request_id="push-1")
    with pytest.raises(grpc.RpcError) as caught:
        create(registry, 2, request_id="push-1")
    assert details(caught.value) == ("request-id-reused", "request_id")


def test_a_refusal_names_its_reason_and_field_and_is_recorded(registry: Running) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        registry.models.CreateVersion(
            registry_service.CreateVersionRequest(parent="models/fraud", repository="/r", commit="main")
        )
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert details(caught.value) == ("invalid-argument", "commit")
    (refusal,) = registry.refusals()
    assert (refusal.code, refusal.field, refusal.stream) == ("invalid-argument", "commit", "models/fraud")
    assert refusal.command.create_version.commit == "main"


def test_a_refusal_is_recorded_without_the_password_of_the_repository(registry: Running) -> None:
    with pytest.raises(grpc.RpcError):
        registry.models.CreateVersion(
            registry_service.CreateVersionRequest(
                parent="models/fraud", repository="https://reader:t0ken@git.example.com/fraud", commit="0" * 40
            )
        )
    (refusal,) = registry.refusals()
    assert refusal.command.create_version.repository == "***"
    assert "t0ken" not in str(refusal)


@pytest.mark.parametrize("name", ["", "fraud", "models/", "models/a/b", "models/Fraud", "models/../x"])
def test_a_bad_name_is_refused_as_an_invalid_argument(registry: Running, name: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        registry.models.CreateVersion(
            registry_service.CreateVersionRequest(parent=name, repository="/r", commit=commit(1))
        )
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda models, _: models.CreateModel(registry_service.CreateModelRequest()), "model"),
        (lambda models, _: models.CreateModel(registry_service.CreateModelRequest(model="NOPE!")), "model"),
        (lambda models, _: models.GetModel(registry_service.GetModelRequest(name="models/NOPE!")), "name"),
        (lambda models, _: models.GetModel(registry_service.GetModelRequest(name="models/-")), "name"),
        (lambda models, _: models.GetVersion(registry_service.GetVersionRequest(name="models/A/versions/1")), "name"),
        (lambda models, _: models.ListVersions(registry_service.ListVersionsRequest(parent="models/A")), "parent"),
        (
            lambda _, releases: releases.GetEnvironment(
                release_service.GetEnvironmentRequest(name="environments/NOPE!")
            ),
            "name",
        ),
        (
            lambda _, releases: releases.CreateEnvironment(release_service.CreateEnvironmentRequest()),
            "environment",
        ),
        (
            lambda models, _: list(
                models.WatchHistory(
                    registry_service.WatchHistoryRequest(
                        after=[registry_service.HistoryPosition(partition=99, offset=0)]
                    ),
                    timeout=10,
                )
            ),
            "after",
        ),
    ],
)
def test_what_cannot_exist_is_refused_with_the_field_that_names_it(
    registry: Running, ask: Callable[..., object], field: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ask(registry.models, registry.releases)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert details(caught.value) == ("invalid-argument", field)


@pytest.mark.parametrize("size", [450_000, 2_000_000, 5 * 1024 * 1024])
def test_a_request_that_is_too_large_is_refused_and_the_next_one_is_answered(registry: Running, size: int) -> None:
    create(registry, 1)
    request = registry_service.QuarantineVersionRequest(name="models/fraud/versions/1", reason="x" * size)
    with pytest.raises(grpc.RpcError) as caught:
        registry.models.QuarantineVersion(request)
    assert details(caught.value) == ("invalid-argument", "command")
    assert [(refusal.code, refusal.field) for refusal in registry.refusals()] == [("invalid-argument", "command")]
    assert create(registry, 2) == 2


def test_a_refusal_of_a_very_long_value_still_reaches_the_caller(registry: Running) -> None:
    request = registry_service.CreateVersionRequest(parent="models/fraud", repository="/r", commit="x" * 300_000)
    with pytest.raises(grpc.RpcError) as caught:
        registry.models.CreateVersion(request)
    assert details(caught.value) == ("invalid-argument", "commit")


def test_an_environment_has_a_policy_and_freezes(registry: Running) -> None:
    made = registry.releases.CreateEnvironment(release_service.CreateEnvironmentRequest(environment="production"))
    assert made.name == "environments/production"
    policy = configuration.ReleasePolicy(bake_ms=7)
    request = release_service.SetPolicyRequest(name="environments/production", policy=policy)
    assert registry.releases.SetPolicy(request).policy.bake_ms == 7
    request.policy.bake_ms = 0
    assert registry.releases.SetPolicy(request).policy.bake_ms == 0
    freeze = release_service.DeclareFreezeRequest(
        name=made.name, freeze="holidays", reason="r", from_ms=1, until_ms=2**50
    )
    assert [z.freeze for z in registry.releases.DeclareFreeze(freeze).freezes] == ["holidays"]
    lift = release_service.LiftFreezeRequest(name=made.name, freeze="holidays")
    assert not registry.releases.LiftFreeze(lift).freezes


def test_a_policy_is_refused_with_every_number_that_is_wrong(registry: Running) -> None:
    policy = configuration.ReleasePolicy(no_data_limit_ms=0, judge=configuration.JudgePolicy(alpha=0))
    with pytest.raises(grpc.RpcError) as caught:
        registry.releases.SetPolicy(release_service.SetPolicyRequest(name="environments/production", policy=policy))
    assert details(caught.value) == ("invalid-argument", "policy.no_data_limit_ms")
    assert "policy.no_data_limit_ms is 0: expected a number from 1 to" in caught.value.details()
    assert "policy.judge.alpha is 0: expected a number above 0 and below 1" in caught.value.details()


@pytest.mark.parametrize("number", [-1, 3])
def test_a_policy_with_an_enum_number_that_does_not_exist_is_refused_with_field_and_number(
    registry: Running, number: int
) -> None:
    policy = configuration.ReleasePolicy()
    policy.paused_release = number  # type: ignore[assignment]
    with pytest.raises(grpc.RpcError) as caught:
        registry.releases.SetPolicy(release_service.SetPolicyRequest(name="environments/production", policy=policy))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert details(caught.value) == ("invalid-argument", "policy.paused_release")
    assert f"policy.paused_release is {number}: " in caught.value.details()


def test_a_version_that_did_not_pass_is_not_released(registry: Running) -> None:
    create(registry, 1)
    with pytest.raises(grpc.RpcError) as caught:
        registry.releases.StartRelease(
            release_service.StartReleaseRequest(parent="models/fraud", environment="production", version=1)
        )
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert details(caught.value) == ("gate-not-met", "candidate")
    assert caught.value.details() == (
        "version 1 of fraud waits for a trainer: "
        "only a version that has passed its gate, or was approved or waived, can be released"
    )


def test_two_registries_on_one_log_agree_on_the_digest(registry: Running, start: Callable[[str], Running]) -> None:
    other = start("registry-1")
    for number in range(1, 4):
        create(registry if number % 2 else other, number)
    ask = registry_service.GetFoldDigestRequest()
    until(
        lambda: registry.models.GetFoldDigest(ask).streams == other.models.GetFoldDigest(ask).streams,
        "both folds to agree",
    )
    assert registry.models.GetFoldDigest(ask).streams[0].sequence == 3
