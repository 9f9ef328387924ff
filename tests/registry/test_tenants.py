"""Two tenants at one registry: neither reads the other's models, nor can it tell whether they exist."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from headgate.access.decision import decide
from headgate.access.grants import Bound, Grant, Grants, project_bound
from headgate.access.roles import Role
from headgate.access.subject import How, Kind, Subject
from headgate.access.table import TABLE, Resource, Scope
from headgate.access.target import target_of
from headgate.client.stubs import Stubs
from headgate.domain.names import project_of
from headgate.v1 import access_service_pb2 as access_service
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import resources_pb2 as resources
from services.registry import app as registry
from services.registry.settings import Settings
from services.registry.watches import MAX_WATCHES_OF_ONE
from tests.access.test_bounds import NAMES
from tests.access.test_table import methods
from tests.access.test_target import Known
from tests.runtime.authentication.provider import ISSUER, jwk, jwks, rsa_key, token

ROOT, ANNA, BEN = "root@example.com", "anna@a.example", "ben@b.example"
SECRET, NOTHING, MINE = "a.secret", "a.nothing", "b.mine"
OWN = {"a": ("other", "secret"), "b": ("mine", "second")}
COMMIT = "0123456789012345678901234567890123456789"
PATIENCE_SECONDS = 30
NAMES_NO_MODEL = {
    *("GetLogTime", "GetFoldDigest", "ListModels", "WatchModels"),
    *("CreateEnvironment", "GetEnvironment", "ListEnvironments", "SetPolicy", "DeclareFreeze", "LiftFreeze"),
    *("RevokeRole", "ListGrants", "RevokeToken", "ListTokens"),
}
"""The methods of the registry whose requests name no model."""


@dataclass
class Tenants:
    address: str
    root: Stubs
    anna: Stubs
    ben: Stubs


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    folder = tmp_path_factory.mktemp("registry")
    (folder / "keys.json").write_bytes(jwks(jwk(rsa_key("k1"), "k1")))
    settings = Settings(
        log=f"sqlite://{folder / 'log.db'}",
        port=0,
        authentication=True,
        authentication_administrators=ROOT,
        authentication_keys=str(folder / "keys.json"),
        authentication_issuer=ISSUER,
    )
    running = registry.build(settings)
    address = f"127.0.0.1:{running.start()}"
    root, anna, ben = (stubs_of(address, subject) for subject in (ROOT, ANNA, BEN))
    for subject, project in ((ANNA, "a"), (BEN, "b")):
        root.access.GrantRole(
            access_service.GrantRoleRequest(
                grant=f"of-{project}", subject=subject, role=facts.ROLE_ADMINISTRATOR, models=project_bound(project)
            )
        )
    root.releases.CreateEnvironment(release_service.CreateEnvironmentRequest(environment="production"))
    for stubs, project in ((anna, "a"), (ben, "b")):
        for name in (f"{project}.{name}" for name in OWN[project]):
            stubs.registry.CreateModel(registry_service.CreateModelRequest(model=name, labels={"of": name}))
            stubs.registry.CreateVersion(
                registry_service.CreateVersionRequest(
                    parent=f"models/{name}", repository=f"https://git.example/{name}", commit=COMMIT
                )
            )
    yield Tenants(address, root, anna, ben)
    for stubs in (root, anna, ben):
        stubs.close()
    running.stop(5)


def stubs_of(address: str, subject: str) -> Stubs:
    now = int(time.time())
    return Stubs(address, "127.0.0.1:1", token=token(sub=subject, nbf=now - 60, exp=now + 600))


def of_the_registry() -> Iterator[tuple[str, MethodDescriptor]]:
    for path, method in methods():
        if path.split("/")[1] in (
            "headgate.v1.RegistryService",
            "headgate.v1.ReleaseService",
            "headgate.v1.AccessService",
        ):
            yield path, method


def call(stubs: Stubs, method: MethodDescriptor, request: Message) -> list[Any]:
    """All answers; of a watch the first one, or none when none comes."""
    service = method.containing_service.name
    stub = {"RegistryService": stubs.registry, "ReleaseService": stubs.releases}.get(service, stubs.access)
    answer = getattr(stub, method.name)(request, timeout=PATIENCE_SECONDS)
    return [next(iter(answer))] if method.server_streaming else [answer]


def about(path: str, method: MethodDescriptor, model: str) -> Message:
    """A request of this method that names the model wherever it can."""
    number = {Resource.VERSION: "/versions/1", Resource.RELEASE: "/releases/1"}.get(TABLE[path].resource, "")
    values = {
        "model": model,
        "models": model,
        "name": f"models/{model}{number}",
        "parent": f"models/{model}",
        "stream": f"models/{model}",
        "resource": f"models/{model}",
        "model_name": model,
    }
    names = method.input_type.fields_by_name
    return GetMessageClass(method.input_type)(**{name: text for name, text in values.items() if name in names})


def refusal(stubs: Stubs, method: MethodDescriptor, request: Message) -> tuple[Any, ...]:
    with pytest.raises(grpc.RpcError) as caught:
        call(stubs, method, request)
    error: Any = caught.value
    return error.code(), error.details(), sorted(map(tuple, error.trailing_metadata()))


def test_a_model_of_another_tenant_is_refused_in_the_same_words_whether_it_is_there_or_not(
    tenants: Tenants,
):
    named = [(path, method) for path, method in of_the_registry() if method.name not in NAMES_NO_MODEL]
    assert named
    for path, method in named:
        there, absent = (refusal(tenants.ben, method, about(path, method, name)) for name in (SECRET, NOTHING))
        assert there[0] is grpc.StatusCode.PERMISSION_DENIED, method.name
        assert there == absent, method.name


def test_a_grant_of_another_tenant_is_refused_in_the_same_words_whether_it_is_there_or_not(tenants: Tenants):
    for name in ("RevokeRole", "RevokeToken"):
        method = next(method for _, method in of_the_registry() if method.name == name)
        make = GetMessageClass(method.input_type)
        field = "grant" if name == "RevokeRole" else "token"
        there, absent = (refusal(tenants.ben, method, make(**{field: named})) for named in ("of-a", "of-nobody"))
        assert there[0] is grpc.StatusCode.PERMISSION_DENIED
        assert there == absent


def test_a_tenant_lists_and_explains_the_grants_of_its_own_project_alone(tenants: Tenants):
    for stubs, project in ((tenants.anna, "a"), (tenants.ben, "b")):
        for models in (f"{project}.*", f"{project}.x", f"{project}.y*"):
            stubs.access.GrantRole(
                access_service.GrantRoleRequest(subject=f"{project}-reader", role=facts.ROLE_VIEWER, models=models)
            )
        stubs.access.CreateToken(
            access_service.CreateTokenRequest(
                token=f"ci-{project}",
                sha256=project * 64,
                role=facts.ROLE_VIEWER,
                models=f"{project}.*",
                expire_time_ms=int(time.time() * 1000) + 3_600_000,
            )
        )
        listed = stubs.access.ListGrants(access_service.ListGrantsRequest()).grants
        assert len(listed) == 4
        assert all(grant.models.startswith(f"{project}.") for grant in listed)
        tokens = stubs.access.ListTokens(access_service.ListTokensRequest()).tokens
        assert [(each.token, each.sha256) for each in tokens] == [(f"ci-{project}", "")]
    about_root = access_service.ExplainAccessRequest(subject=ROOT, action="grant")
    explained = tenants.root.access.ExplainAccess(about_root)
    assert explained.allowed
    assert "HEADGATE_AUTHENTICATION_ADMINISTRATORS gives" in explained.explanation
    about_root.at_ms = 1
    assert not tenants.root.access.ExplainAccess(about_root).allowed
    about_mine = access_service.ExplainAccessRequest(subject=BEN, action="read", resource=f"models/{MINE}")
    assert tenants.ben.access.ExplainAccess(about_mine).grant.grant == "of-b"
    assert len(tenants.root.access.ListGrants(access_service.ListGrantsRequest()).grants) >= 8


@pytest.mark.parametrize("models", ["*", "a.*", "a.x", "b*", "default.*", "of=b.mine", ""])
def test_a_tenant_gives_no_role_beyond_its_own_project(tenants: Tenants, models: str):
    with pytest.raises(grpc.RpcError) as caught:
        tenants.ben.access.GrantRole(
            access_service.GrantRoleRequest(subject="x", role=facts.ROLE_VIEWER, models=models)
        )
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]


def test_a_tenant_denies_nobody_and_takes_no_deny_back(tenants: Tenants):
    deny = access_service.GrantRoleRequest(
        grant="no-publishing", subject=ROOT, role=facts.ROLE_PUBLISHER, models=MINE, deny=True
    )
    revoke = access_service.RevokeRoleRequest(grant=deny.grant)
    with pytest.raises(grpc.RpcError, match="PERMISSION_DENIED"):
        tenants.ben.access.GrantRole(deny)
    deny.subject = BEN
    tenants.root.access.GrantRole(deny)
    with pytest.raises(grpc.RpcError, match="PERMISSION_DENIED"):
        tenants.ben.access.RevokeRole(revoke)
    tenants.root.access.RevokeRole(revoke)


def test_a_tenant_sees_the_past_of_its_own_models_alone(tenants: Tenants):
    now_ms = tenants.root.registry.GetLogTime(registry_service.GetLogTimeRequest()).time_ms
    as_of = resources.AsOf(time_ms=now_ms)
    everything, seen = (
        {model.name for model in stubs.registry.ListModels(registry_service.ListModelsRequest(as_of=as_of)).models}
        for stubs in (tenants.root, tenants.ben)
    )
    assert f"models/{SECRET}" in everything
    assert seen == {name for name in everything if name.startswith("models/b.")}
    found = tenants.ben.registry.ListVersions(registry_service.ListVersionsRequest(parent="models/-", as_of=as_of))
    assert found.versions
    assert all(version.name.startswith("models/b.") for version in found.versions)
    for about in (SECRET, NOTHING):
        with pytest.raises(grpc.RpcError, match="PERMISSION_DENIED"):
            tenants.ben.registry.GetModel(registry_service.GetModelRequest(name=f"models/{about}", as_of=as_of))


WATCHES: dict[str, Callable[[Stubs], Any]] = {
    "of models": lambda stubs: stubs.registry.WatchModels(registry_service.WatchModelsRequest()),
    "of a history": lambda stubs: stubs.registry.WatchHistory(
        registry_service.WatchHistoryRequest(stream=f"models/{MINE}")
    ),
    "of all histories": lambda stubs: stubs.registry.WatchHistory(registry_service.WatchHistoryRequest()),
}


@contextmanager
def guest_of(tenants: Tenants, name: str) -> Iterator[Stubs]:
    """The stubs of a viewer of b.mine, by a grant of its name."""
    grant = access_service.GrantRoleRequest(grant=name, subject=name, role=facts.ROLE_VIEWER, models=MINE)
    tenants.root.access.GrantRole(grant)
    guest = stubs_of(tenants.address, name)
    yield guest
    guest.close()


def test_a_watch_that_has_nothing_to_send_ends_with_its_grant(tenants: Tenants):
    with guest_of(tenants, "guest") as guest:
        watches = [watch(guest) for watch in WATCHES.values()]
        for watch in watches:
            next(watch)
        tenants.root.access.RevokeRole(access_service.RevokeRoleRequest(grant="guest"))
        for watch in watches:
            with pytest.raises(grpc.RpcError, match="PERMISSION_DENIED"):
                list(watch)


def test_one_caller_does_not_take_all_watches(tenants: Tenants):
    watch = WATCHES["of models"]
    with guest_of(tenants, "greedy") as greedy:
        watches = [watch(greedy) for _ in range(MAX_WATCHES_OF_ONE)]
        for each in watches:
            next(each)
        with pytest.raises(grpc.RpcError, match="each caller 32 watches"):
            next(watch(greedy))
        watches.append(watch(tenants.anna))
        next(watches[-1])
        for each in watches:
            each.cancel()


def test_the_requests_that_name_no_model_are_known():
    for path, method in of_the_registry():
        if method.name in NAMES_NO_MODEL:
            assert SECRET not in str(target_of(TABLE[path], about(path, method, SECRET), Known())), method.name


def test_nothing_that_names_no_model_shows_one_of_another_tenant(tenants: Tenants):
    environment = {"GetEnvironment": release_service.GetEnvironmentRequest(name="environments/production")}
    for _, method in of_the_registry():
        if method.name in NAMES_NO_MODEL:
            request = environment.get(method.name, GetMessageClass(method.input_type)())
            try:
                shown = [answer.SerializeToString() for answer in call(tenants.ben, method, request)]
            except grpc.RpcError as error:
                shown = [str(error).encode()]
            assert not any(SECRET.encode() in each or b"a.other" in each for each in shown), method.name


def pages(stubs: Stubs, kind: str, filter_text: str = "", order_by: str = "", hidden: bytes = b"-") -> list[str]:
    """The names in all pages of one. No token holds what is hidden."""
    found, page_token = [], ""
    while True:
        more = {"page_size": 1, "page_token": page_token, "filter": filter_text, "order_by": order_by}
        if kind == "models":
            page: Any = stubs.registry.ListModels(registry_service.ListModelsRequest(**more))
        else:
            page = stubs.registry.ListVersions(registry_service.ListVersionsRequest(parent="models/-", **more))
        found += [each.name for each in getattr(page, kind)]
        page_token = page.next_page_token
        if not page_token:
            return found
        assert hidden not in base64.urlsafe_b64decode(page_token + "===")


@pytest.mark.parametrize("kind", ["models", "versions"])
@pytest.mark.parametrize("order", ["name", "name desc", "create_time", ""])
def test_a_list_shows_a_tenant_its_own_models_alone_also_page_by_page(tenants: Tenants, kind: str, order: str):
    end = "/versions/1" if kind == "versions" else ""
    for stubs, project, other in ((tenants.anna, "a", b"b."), (tenants.ben, "b", b"a.")):
        found = pages(stubs, kind, order_by=order, hidden=other)
        assert sorted(found) == [f"models/{project}.{name}{end}" for name in OWN[project]]
    assert len(pages(tenants.root, kind, order_by=order)) == 4


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("versions", f"commit = {COMMIT}"),
        ("versions", "commit = 01*"),
        ("versions", f"model = {SECRET}"),
        ("versions", 'repository = "https://git.example/a*"'),
        ("models", "labels.of:*"),
        ("models", f"labels.of = {SECRET}"),
        ("models", "name = a.*"),
        ("models", f"name = {SECRET}"),
        ("models", "NOT name = x"),
    ],
)
def test_a_search_finds_nothing_of_another_tenant(tenants: Tenants, kind: str, text: str):
    assert not [name for name in pages(tenants.ben, kind, text, hidden=b"a.") if not name.startswith("models/b.")]
    assert [name for name in pages(tenants.root, kind, text) if name.startswith("models/a.")]


def watched(stubs: Stubs, tenants: Tenants) -> list[str]:
    """The names that a watch of models sends until the model b.mine has changed."""
    found = []
    changes = stubs.registry.WatchModels(registry_service.WatchModelsRequest(), timeout=PATIENCE_SECONDS)
    for change in changes:
        found.append(change.model.name)
        if change.change == registry_service.RESOURCE_CHANGE_SYNCED:
            describe(tenants.anna, SECRET)
            describe(tenants.ben, MINE)
        elif change.change == registry_service.RESOURCE_CHANGE_CHANGED and change.model.name == f"models/{MINE}":
            changes.cancel()
            return found
    raise AssertionError(found)


def describe(stubs: Stubs, model: str) -> None:
    text = f"at {time.monotonic_ns()}"
    stubs.registry.UpdateModel(registry_service.UpdateModelRequest(name=f"models/{model}", description=text))


def test_a_watch_sends_a_tenant_the_changes_of_its_own_models_alone(tenants: Tenants):
    assert not [name for name in watched(tenants.ben, tenants) if name.startswith("models/a.")]
    assert f"models/{SECRET}" in watched(tenants.root, tenants)


def test_the_history_of_everything_is_that_of_ones_own_models(tenants: Tenants):
    records = tenants.ben.registry.WatchHistory(registry_service.WatchHistoryRequest(), timeout=PATIENCE_SECONDS)
    begin = next(iter(records)).record.record
    describe(tenants.anna, SECRET)
    describe(tenants.ben, MINE)
    streams = {begin.stream}
    for answer in records:
        streams.add(answer.record.record.stream)
        if answer.record.record.HasField("model_described"):
            records.cancel()
            break
    assert all(stream.startswith("models/b.") for stream in streams)


def test_a_deny_hides_a_model_from_lists_and_watches(tenants: Tenants):
    for terms in ({"models": "*"}, {"models": SECRET, "deny": True}):
        tenants.root.access.GrantRole(
            access_service.GrantRoleRequest(subject="carl@c.example", role=facts.ROLE_VIEWER, **terms)  # type: ignore[arg-type]
        )
    carl = stubs_of(tenants.root.registry_address, "carl@c.example")
    assert pages(carl, "models", "name = b.*")
    listed = carl.registry.ListModels(registry_service.ListModelsRequest()).models
    assert (f"models/{SECRET}" in str(listed), "models/a.other" in str(listed)) == (False, True)
    assert f"models/{SECRET}" not in watched(carl, tenants)
    carl.close()


def test_a_model_comes_into_sight_and_leaves_it_by_its_label(tenants: Tenants):
    tenants.root.access.GrantRole(
        access_service.GrantRoleRequest(subject="dora@d.example", role=facts.ROLE_VIEWER, models="seen=yes")
    )
    dora = stubs_of(tenants.root.registry_address, "dora@d.example")
    seen: list[tuple[int, str, str]] = []
    versions = dora.registry.WatchVersions(
        registry_service.WatchVersionsRequest(parent="models/-"), timeout=PATIENCE_SECONDS
    )
    for change in versions:
        if change.change != registry_service.RESOURCE_CHANGE_LEFT:
            value = "" if change.version.name else "yes"
            label = registry_service.LabelModelRequest(name=f"models/{SECRET}", key="seen", value=value)
            tenants.anna.registry.LabelModel(label)
        seen.append((change.change, change.version.name, change.version.commit))
        if change.change == registry_service.RESOURCE_CHANGE_LEFT:
            versions.cancel()
            break
    name = f"models/{SECRET}/versions/1"
    assert seen == [
        (registry_service.RESOURCE_CHANGE_SYNCED, "", ""),
        (registry_service.RESOURCE_CHANGE_CHANGED, name, COMMIT),
        (registry_service.RESOURCE_CHANGE_LEFT, name, ""),
    ]
    assert not pages(dora, "versions")
    dora.close()


BEN_HOLDS = Grants(
    Grant(role.value, "ben", role, Bound("b.*"), Bound("*")) for role in Role if role is not Role.SERVICE
)


@given(NAMES.filter(lambda name: project_of(name) != "b"), st.sampled_from(("ben",)))
def test_no_method_of_any_service_lets_a_tenant_near_a_model_of_another_one(model: str, subject: str):
    """Trainers, evaluators, deployers and gateways ask the same table."""
    ben = Subject(subject, Kind.PERSON, How.JWT)
    for path, method in methods():
        row = TABLE[path]
        request = None if method.client_streaming else about(path, method, model)
        target = target_of(row, request, Known())
        if row.scope not in (Scope.OPEN, Scope.ANYWHERE) and target.model == model:
            assert decide(ben, BEN_HOLDS, row, target) is not None, path
