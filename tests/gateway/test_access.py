"""A gateway that asks who calls: over gRPC with both engines, over REST, and at its port for devices."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from headgate.access.roles import RIGHTS, Action, Role
from headgate.access.table import Scope, row_of
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.runtime.authentication.signing_keys import MAX_AGE_SECONDS, REFRESH_SECONDS
from headgate.runtime.rpc.call_check import FORBIDDEN_RULE, UNPROVEN_RULE
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import edge_service_pb2_grpc as edge_grpc
from headgate.v1 import facts_pb2 as facts
from services.gateway.rest.paths import Method, find_path
from services.gateway.rest.url_tokens import RULE as NO_TOKEN_IN_URL
from services.gateway.settings import GRPCIO, H2CORN
from tests.certificates.issued import Issued
from tests.gateway import networks
from tests.gateway.edge.harness import Fleet
from tests.gateway.harness import answer, channel_to, infer_request, running_gateway, until
from tests.gateway.rest.serving import RestHarness, rows
from tests.runtime.authentication.granted import ROOT, Granted, bearer, called
from tests.runtime.authentication.provider import NOW, token
from tests.waiting import PATIENCE_SECONDS

UNPROVEN, FORBIDDEN = ("UNAUTHENTICATED", UNPROVEN_RULE), ("PERMISSION_DENIED", FORBIDDEN_RULE)
MODELS = ("fraud", "churn", "risk.cards")


def methods(service):
    """The methods of a service that are not open to everybody, by path."""
    found = {f"/{service.full_name}/{method.name}": method for method in service.methods}
    return {path: method for path, method in found.items() if row_of(path).scope is not Scope.OPEN}


PREDICTING = methods(inference.DESCRIPTOR.services_by_name["GRPCInferenceService"])
DEVICES = methods(edge.DESCRIPTOR.services_by_name["EdgeService"])
PATHS = {
    Method.SERVER_METADATA: ("GET", "/v2"),
    Method.SERVER_LIVE: ("GET", "/v2/health/live"),
    Method.SERVER_READY: ("GET", "/v2/health/ready"),
    Method.MODEL_METADATA: ("GET", "/v2/models/fraud"),
    Method.MODEL_READY: ("GET", "/v2/models/fraud/ready"),
    Method.MODEL_CONFIG: ("GET", "/v2/models/fraud/config"),
    Method.MODEL_STATISTICS: ("GET", "/v2/models/fraud/stats"),
    Method.MODEL_INFER: ("POST", "/v2/models/fraud/infer"),
    Method.REPOSITORY_INDEX: ("POST", "/v2/repository/index"),
    Method.REPOSITORY_LOAD: ("POST", "/v2/repository/models/fraud/load"),
    Method.REPOSITORY_UNLOAD: ("POST", "/v2/repository/models/fraud/unload"),
}
OPEN = (Method.SERVER_LIVE, Method.SERVER_READY)


@pytest.fixture(scope="module")
def granted():
    return Granted()


@pytest.fixture(autouse=True)
def nobody_holds_a_grant(granted):
    granted.send(*(commands.RevokeRole(grant=name) for name in list(granted.access.grants)))
    granted.send(*(commands.RevokeToken(token=name) for name in list(granted.access.tokens)))


@pytest.fixture(scope="module")
def fronts(granted):
    """A gateway with each engine, and REST before the second one."""
    with ExitStack() as running:
        found = {}
        for front in (GRPCIO, H2CORN):
            versions = {(model, 1): networks.affine(2.0) for model in MODELS}
            found[front] = running.enter_context(running_gateway(versions, front=front, granted=granted))
            for model in MODELS:
                found[front].serve(model, live=1)
        yield found


@pytest.fixture(params=[GRPCIO, H2CORN])
def gateway(request, fronts):
    return fronts[request.param]


@pytest.fixture(scope="module")
def rest(fronts):
    found = RestHarness(fronts[H2CORN])
    yield found
    found.stop(2.0)


@pytest.fixture(scope="module")
def devices(granted, tmp_path_factory):
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), granted=granted)
    fleet.restore()
    with grpc.insecure_channel(fleet.address) as channel:
        yield channel
    fleet.cut()


def request_of(method, model="fraud", environment="production"):
    """A request of the method about this model, or about this environment."""
    request, named_by = (
        GetMessageClass(method.input_type)(),
        row_of(f"/{method.containing_service.full_name}/{method.name}").named_by,
    )
    if named_by:
        setattr(request, named_by, environment if named_by == "environment" else model)
    return request.SerializeToString()


def header_of(subject):
    return bearer(token(sub=subject))


def asked(rest, method, header=(), query=""):
    verb, path = PATHS[method]
    body = rows(1.0, 1.0, 1.0) if method is Method.MODEL_INFER else None
    return rest.ask(verb, path + query, body, dict(header))


def test_no_method_answers_a_caller_that_has_proven_nothing(fronts, devices, granted):
    granted.grant(Role.ADMINISTRATOR)  # so that a token which is wrongly believed is answered
    for why, header in granted.bad_headers().items():
        for front, running in fronts.items():
            for path, method in PREDICTING.items():
                assert called(running.channel, path, method, header, request_of(method)) == UNPROVEN, (front, path, why)
        for path, method in DEVICES.items():
            assert called(devices, path, method, header, request_of(method)) == UNPROVEN, (path, why)


def test_every_method_lets_an_administrator_in_and_refuses_all_roles_without_its_action(fronts, devices, granted):
    for role in Role:
        granted.grant(role, f"{role.value}@example.com")
    channels = [(running.channel, path, method) for running in fronts.values() for path, method in PREDICTING.items()]
    for channel, path, method in channels + [(devices, path, method) for path, method in DEVICES.items()]:
        # What lies behind the check refuses a request without more than a name.
        assert called(channel, path, method, header_of(ROOT), request_of(method, "nothing", "other"))[0] in (
            ("OK", "NOT_FOUND", "FAILED_PRECONDITION")
        ), path
        for role, rights in RIGHTS.items():
            if row_of(path).action not in rights.own | rights.also:
                header = header_of(f"{role.value}@example.com")
                assert called(channel, path, method, header, request_of(method)) == FORBIDDEN, (path, role)


def test_rest_answers_with_401_and_403_in_the_form_of_its_errors(rest, granted):
    granted.grant(Role.VIEWER)
    assert set(PATHS) == set(Method), "every path is asked"
    for method, (_, path) in PATHS.items():
        assert find_path(path.encode()).method is method
        nobody, viewer = asked(rest, method), asked(rest, method, bearer(token()))
        if method in OPEN:
            assert {nobody.status, viewer.status} == {200}
            continue
        assert (nobody.status, nobody.json["code"]) == (401, "unauthenticated"), method
        assert (nobody.json["error"], nobody.headers["WWW-Authenticate"]) == (UNPROVEN_RULE, "Bearer")
        assert (viewer.status, viewer.json) == (403, {"error": FORBIDDEN_RULE, "code": "permission-denied"}), method
        assert asked(rest, method, header_of(ROOT)).status in (200, 409), method


def test_rest_refuses_every_bad_proof(rest, granted):
    granted.grant(Role.ADMINISTRATOR)
    for why, header in granted.bad_headers().items():
        joined = {name: ", ".join(value for other, value in header if other == name) for name, _ in header}
        assert asked(rest, Method.MODEL_INFER, joined.items()).status == 401, why


def test_a_token_in_an_address_is_refused_in_words_also_beside_a_good_one(rest, granted):
    secret = granted.made_token("ci")
    for query in (f"?access_token={secret}", f"?x={secret}", f"?q={token(sub=ROOT)}", "?Token=short", "?a=1&jwt="):
        refused = asked(rest, Method.MODEL_INFER, header_of(ROOT), query)
        assert (refused.status, refused.json) == (401, {"error": NO_TOKEN_IN_URL, "code": "token-in-url"}), query
    assert asked(rest, Method.MODEL_INFER, header_of(ROOT), "?verbose=1").status == 200


def test_a_grant_for_one_model_predicts_with_it_alone_and_tells_nothing_of_others(gateway, rest, granted):
    granted.grant(Role.PREDICTOR, models="fraud")
    header = bearer(token())
    assert gateway.infer(infer_request([[1, 1, 1]]), metadata=header).model_version == "1"
    assert rest.infer(rows(1.0, 1.0, 1.0), authorization=header[0][1]).status == 200
    answers = set()
    for model in ("churn", "missing", "", "*", "no name"):
        with pytest.raises(grpc.RpcError) as refused:
            gateway.infer(infer_request([[1, 1, 1]], model=model), metadata=header)
        answers.add((refused.value.code().name, refused.value.details()))
    answers |= {
        ("PERMISSION_DENIED", rest.infer(rows(1.0), model, authorization=header[0][1]).json["error"])
        for model in ("churn", "missing")
    }
    assert answers == {FORBIDDEN}


def test_the_index_shows_what_its_caller_may_ask(gateway, rest, granted):
    def shown(header):
        over_grpc = gateway.stub.RepositoryIndex(inference.RepositoryIndexRequest(), metadata=header).models
        over_rest = asked(rest, Method.REPOSITORY_INDEX, header).json
        assert [each["name"] for each in over_rest] == [each.name for each in over_grpc]
        return [each.name for each in over_grpc]

    granted.grant(Role.PREDICTOR, models="fr*")
    assert shown(bearer(token())) == ["fraud"]
    assert shown(header_of(ROOT)) == sorted(MODELS)


def test_a_public_model_answers_everybody_and_no_wrong_token(gateway, rest, granted):
    granted.grant(Role.PREDICTOR, "anonymous", models="fraud")
    assert answer(gateway.infer(infer_request([[1, 1, 1]])))[0][0] == 2.0
    assert rest.infer(rows(1.0, 1.0, 1.0)).status == 200
    assert rest.infer(rows(1.0, 1.0, 1.0), "churn").status == 401
    assert rest.infer(rows(1.0, 1.0, 1.0), authorization="Bearer wrong").status == 401


def test_a_deny_overrides_what_everybody_may(gateway, granted):
    granted.grant(Role.PREDICTOR, "anonymous")
    granted.grant(Role.PREDICTOR, models="fraud", deny=True)
    gateway.infer(infer_request([[1, 1, 1]], model="churn"), metadata=bearer(token()))
    with pytest.raises(grpc.RpcError) as refused:
        gateway.infer(infer_request([[1, 1, 1]]), metadata=bearer(token()))
    assert (refused.value.code().name, refused.value.details()) == FORBIDDEN


def test_a_stream_asks_for_the_model_of_each_request(gateway, granted):
    granted.grant(Role.PREDICTOR, models="fraud")
    asked = iter([infer_request([[1, 1, 1]], id="a"), infer_request([[1, 1, 1]], model="churn", id="b")])
    answers = gateway.stub.ModelStreamInfer(asked, metadata=bearer(token()))
    assert next(answers).infer_response.id == "a"
    with pytest.raises(grpc.RpcError) as refused:
        next(answers)
    assert (refused.value.code().name, refused.value.details()) == FORBIDDEN


def test_a_stream_ends_with_its_token(gateway, granted):
    secret = granted.made_token("streaming", facts.ROLE_PREDICTOR)
    answered = threading.Event()

    def requests():
        yield infer_request([[1, 1, 1]])
        answered.wait()
        yield infer_request([[1, 1, 1]])

    answers = gateway.stub.ModelStreamInfer(requests(), metadata=bearer(secret))
    next(answers)
    granted.send(commands.RevokeToken(token="streaming"))
    answered.set()
    with pytest.raises(grpc.RpcError) as refused:
        next(answers)
    assert (refused.value.code().name, refused.value.details()) == UNPROVEN


def test_a_grant_that_is_revoked_under_load_answers_nobody_from_then_on(gateway, rest, granted):
    grant = granted.grant(Role.PREDICTOR)
    header, revoked = bearer(token()), threading.Event()

    def over_grpc():
        try:
            return gateway.infer(infer_request([[1, 1, 1]]), metadata=header)
        except grpc.RpcError as error:
            return error.code() is not grpc.StatusCode.PERMISSION_DENIED  # another error fails below

    def over_rest():
        return rest.infer(rows(1.0, 1.0, 1.0), authorization=header[0][1]).status != 403

    asks = (over_grpc, over_grpc, over_rest)
    answered = [0] * len(asks)

    def load(number):
        """Asks until a refusal. Whether no call was answered that began after the revocation."""
        while True:
            began_late = revoked.is_set()
            if not asks[number]():
                return revoked.is_set()
            if began_late:
                return False
            answered[number] += 1

    with ThreadPoolExecutor() as pool:
        loads = [pool.submit(load, number) for number in range(len(asks))]
        until(lambda: min(answered) > 5 or any(each.done() for each in loads), "some load")
        granted.send(commands.RevokeRole(grant=grant))
        revoked.set()
        assert [each.result() for each in loads] == [True] * len(asks)


def test_without_its_provider_a_gateway_goes_on_for_a_day_and_then_refuses_in_words(gateway, granted):
    granted.grant(Role.PREDICTOR)
    seen = bearer(token())
    gateway.infer(infer_request([[1, 1, 1]]), metadata=seen)
    try:
        granted.provider_is_away = True
        granted.monotonic += REFRESH_SECONDS + 1
        gateway.infer(infer_request([[1, 1, 1]]), metadata=seen)
        gateway.infer(infer_request([[1, 1, 1]]), metadata=bearer(token(exp=NOW + 700)))
        granted.monotonic += MAX_AGE_SECONDS
        with pytest.raises(grpc.RpcError) as refused:
            gateway.infer(infer_request([[1, 1, 1]]), metadata=seen)
        assert (refused.value.code().name, refused.value.details()) == UNPROVEN
    finally:
        granted.provider_is_away = False
        granted.monotonic += REFRESH_SECONDS + 1
    gateway.infer(infer_request([[1, 1, 1]]), metadata=seen)


@pytest.mark.parametrize("hours", [-1, 1])
def test_with_a_clock_an_hour_off_no_token_of_the_provider_counts(gateway, granted, hours):
    granted.grant(Role.PREDICTOR)
    made = bearer(token())
    try:
        granted.now_ms += hours * 3_600_000
        with pytest.raises(grpc.RpcError) as refused:
            gateway.infer(infer_request([[1, 1, 1]]), metadata=bearer(token(exp=NOW + 601)) if hours < 0 else made)
        assert (refused.value.code().name, refused.value.details()) == UNPROVEN
    finally:
        granted.now_ms -= hours * 3_600_000


def test_refusals_are_no_evidence_and_are_counted_by_their_reason(gateway, granted):
    before = gateway.counts()[1].requests
    with pytest.raises(grpc.RpcError):
        gateway.infer(infer_request([[1, 1, 1]]), metadata=bearer(token()))
    assert gateway.counts()[1].requests == before
    assert 'headgate_access_refusals_total{why="no-grant"}' in gateway.metrics.text()


@pytest.mark.parametrize("front", [GRPCIO, H2CORN])
def test_a_certificate_proves_who_predicts_over_grpc_and_rest(front, tmp_path):
    issued, here = Issued(tmp_path), Granted()
    files, callers = issued.server("gateway"), [issued.caller(f"user/{name}") for name in ("alice", "bob")]
    here.grant(Role.PREDICTOR, "spiffe://headgate/user/alice")
    with running_gateway(
        {("fraud", 1): networks.affine(2.0)}, front=front, tls=files, caller=callers[0], granted=here
    ) as served:
        served.serve("fraud", live=1)
        assert served.infer(infer_request([[1, 1, 1]])).model_version == "1"
        with pytest.raises(grpc.RpcError) as refused:
            served.infer(infer_request([[1, 1, 1]]), metadata=bearer("wrong"))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED, "no wrong token hides behind a certificate"
        with channel_to(served.address, callers[1]) as bob:
            infer = "/inference.GRPCInferenceService/ModelInfer"
            assert called(bob, infer, PREDICTING[infer], [], request_of(PREDICTING[infer])) == FORBIDDEN
        rest = RestHarness(served, files)
        asking = [*callers, *callers]  # the second time with a head that came before
        statuses = [rest.ask("GET", "/v2/models/fraud", context=caller.context()).status for caller in asking]
        assert statuses == [200, 403, 200, 403]
        rest.stop(2.0)


def test_a_device_follows_until_its_grant_is_revoked(devices, granted):
    grant = granted.grant(Role.DEVICE)
    request = edge.WatchRoutesRequest(environment="production", device="press-4")
    watch = edge_grpc.EdgeServiceStub(devices).WatchRoutes(request, metadata=bearer(token()), timeout=PATIENCE_SECONDS)
    next(watch)
    granted.send(commands.RevokeRole(grant=grant))
    with pytest.raises(grpc.RpcError) as ended:
        for _ in watch:
            pass
    assert (ended.value.code().name, ended.value.details()) == FORBIDDEN


def test_an_operator_who_loads_a_model_learns_that_releases_decide(gateway, granted):
    granted.grant(Role.OPERATOR)
    load = PREDICTING["/inference.GRPCInferenceService/RepositoryModelLoad"]
    path = "/inference.GRPCInferenceService/RepositoryModelLoad"
    assert called(gateway.channel, path, load, bearer(token()), request_of(load))[0] == "FAILED_PRECONDITION"
    assert row_of(path).action is Action.OPERATE


def test_a_tenant_predicts_with_the_models_of_its_project_alone(gateway, rest, granted):
    granted.grant(Role.PREDICTOR, models="risk.*")
    header = bearer(token())
    assert gateway.infer(infer_request([[1, 1, 1]], model="risk.cards"), metadata=header).model_name == "risk.cards"
    assert rest.infer(rows(1.0, 1.0, 1.0), "risk.cards", authorization=header[0][1]).json["model_name"] == "risk.cards"
    shown = gateway.stub.RepositoryIndex(inference.RepositoryIndexRequest(), metadata=header).models
    assert [each.name for each in shown] == ["risk.cards"]
    for model in ("fraud", "default.fraud", "cards", "risk", "risk.missing.cards"):
        with pytest.raises(grpc.RpcError) as refused:
            gateway.infer(infer_request([[1, 1, 1]], model=model), metadata=header)
        assert (refused.value.code().name, refused.value.details()) == FORBIDDEN
    assert 'model="risk.cards"' in gateway.metrics.text()


def test_a_list_of_devices_shows_the_models_that_its_caller_may_read(devices, granted):
    stub = edge_grpc.EdgeServiceStub(devices)
    served = [edge.ServedModel(model=model, version=1) for model in ("fraud", "risk.cards")]
    reported = edge.ReportDeviceRequest(environment="production", device="till-1", incarnation="i", served=served)
    stub.ReportDevice(reported, metadata=header_of(ROOT))
    granted.grant(Role.VIEWER, "ben@example.com", models="risk.*")
    for subject, models in ((ROOT, ["fraud", "risk.cards"]), ("ben@example.com", ["risk.cards"])):
        listed = stub.ListDevices(edge.ListDevicesRequest(environment="production"), metadata=header_of(subject))
        (till,) = (device for device in listed.devices if device.device == "till-1")
        assert [each.model for each in till.served] == models
