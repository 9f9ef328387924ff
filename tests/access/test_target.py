"""What a request is about."""

import pytest
from google.protobuf.message import Message

from headgate.access.grants import ALL, EVERYTHING, NONE, Target
from headgate.access.table import row_of
from headgate.access.target import target_of
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import access_service_pb2 as access_service
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service


class Known:
    served = "production"

    def labels(self, model: str) -> dict[str, str]:
        return {"team": "risk"} if model == "fraud" else {}

    def bounds_of(self, kind: str, name: str) -> tuple[str, str] | None:
        return {"of-churn": ("churn", "*"), "of-all": ("*", "staging")}.get(name)

    def environment_of(self, model: str, release: int) -> str:
        return "staging" if (model, release) == ("fraud", 3) else ""


RISK = {"team": "risk"}
REGISTRY, RELEASES, INFERENCE, ACCESS = (
    "/headgate.v1.RegistryService/",
    "/headgate.v1.ReleaseService/",
    "/inference.GRPCInferenceService/",
    "/headgate.v1.AccessService/",
)


@pytest.mark.parametrize(
    ("method", "request_", "target"),
    [
        (REGISTRY + "CreateModel", registry_service.CreateModelRequest(model="fraud"), Target("fraud", NONE, RISK)),
        (REGISTRY + "GetModel", registry_service.GetModelRequest(name="models/fraud"), Target("fraud", NONE, RISK)),
        (REGISTRY + "GetVersion", registry_service.GetVersionRequest(name="models/churn/versions/2"), Target("churn")),
        (REGISTRY + "ListModels", registry_service.ListModelsRequest(), Target()),
        (REGISTRY + "ListVersions", registry_service.ListVersionsRequest(parent="models/-"), Target()),
        (REGISTRY + "ListVersions", registry_service.ListVersionsRequest(parent="models/churn"), Target("churn")),
        (REGISTRY + "ListHistory", registry_service.ListHistoryRequest(stream="models/churn"), Target("churn")),
        (REGISTRY + "ListHistory", registry_service.ListHistoryRequest(stream="environments/x"), Target(NONE, "x")),
        (REGISTRY + "WatchHistory", registry_service.WatchHistoryRequest(), Target()),
        (REGISTRY + "WatchHistory", registry_service.WatchHistoryRequest(stream="access/default"), EVERYTHING),
        (REGISTRY + "GetFoldDigest", registry_service.GetFoldDigestRequest(), EVERYTHING),
        (REGISTRY + "GetLogTime", registry_service.GetLogTimeRequest(), Target()),
        (
            RELEASES + "StartRelease",
            release_service.StartReleaseRequest(parent="models/fraud", environment="staging"),
            Target("fraud", "staging", RISK),
        ),
        (
            RELEASES + "PromoteRelease",
            release_service.PromoteReleaseRequest(name="models/fraud/releases/3"),
            Target("fraud", "staging", RISK),
        ),
        (
            RELEASES + "SetPolicy",
            release_service.SetPolicyRequest(name="environments/staging"),
            Target(NONE, "staging"),
        ),
        (
            INFERENCE + "ModelInfer",
            inference.ModelInferRequest(model_name="fraud"),
            Target("fraud", "production", RISK),
        ),
        (INFERENCE + "ModelStatistics", inference.ModelStatisticsRequest(), Target(ALL, "production")),
        (INFERENCE + "RepositoryIndex", inference.RepositoryIndexRequest(), Target()),
        (ACCESS + "GrantRole", access_service.GrantRoleRequest(models="churn"), Target("churn", ALL)),
        (ACCESS + "GrantRole", access_service.GrantRoleRequest(models="ch*"), Target("ch*", ALL)),
        (ACCESS + "GrantRole", access_service.GrantRoleRequest(models="risk.*"), Target("risk.*", ALL)),
        (ACCESS + "GrantRole", access_service.GrantRoleRequest(models="team=risk"), EVERYTHING),
        (ACCESS + "GrantRole", access_service.GrantRoleRequest(models="risk.*", deny=True), EVERYTHING),
        (REGISTRY + "GetModel", registry_service.GetModelRequest(name="models/risk.fraud"), Target("risk.fraud")),
        (ACCESS + "CreateToken", access_service.CreateTokenRequest(environments="staging"), Target(ALL, "staging")),
        (
            ACCESS + "ExplainAccess",
            access_service.ExplainAccessRequest(resource="models/fraud@x"),
            Target("fraud", "x", RISK),
        ),
        (ACCESS + "ExplainAccess", access_service.ExplainAccessRequest(resource="environments/x"), Target(NONE, "x")),
        (ACCESS + "ExplainAccess", access_service.ExplainAccessRequest(resource="x"), EVERYTHING),
        (ACCESS + "ExplainAccess", access_service.ExplainAccessRequest(), EVERYTHING),
        (ACCESS + "RevokeRole", access_service.RevokeRoleRequest(grant="of-churn"), Target("churn", ALL)),
        (ACCESS + "RevokeToken", access_service.RevokeTokenRequest(token="of-all"), Target(ALL, "staging")),
        (ACCESS + "RevokeRole", access_service.RevokeRoleRequest(grant="none"), EVERYTHING),
    ],
)
def test_a_request_is_about_what_its_row_says(method: str, request_: Message, target: Target):
    assert target_of(row_of(method), request_, Known()) == target


@pytest.mark.parametrize("name", ["", "models/", "models/../fraud", "models/Fraud", "fraud/versions/1", "*"])
def test_a_name_that_cannot_be_read_needs_a_grant_for_all(name: str):
    for method, request in (
        (REGISTRY + "GetModel", registry_service.GetModelRequest(name=name)),
        (REGISTRY + "CreateModel", registry_service.CreateModelRequest(model=name)),
        (INFERENCE + "ModelInfer", inference.ModelInferRequest(model_name=name)),
    ):
        assert target_of(row_of(method), request, Known()).model == ALL
    got = target_of(row_of(RELEASES + "PromoteRelease"), release_service.PromoteReleaseRequest(name=name), Known())
    assert got == EVERYTHING


def test_a_release_that_is_not_there_needs_a_grant_for_every_environment():
    request = release_service.AbortReleaseRequest(name="models/fraud/releases/9")
    assert target_of(row_of(RELEASES + "AbortRelease"), request, Known()).environment == ALL


def test_a_stream_of_requests_needs_a_grant_for_everything():
    assert target_of(row_of(INFERENCE + "ModelStreamInfer"), None, Known()) == EVERYTHING
