"""The JSON API over a real gRPC server: what it receives, and what a caller gets."""

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlencode

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.errors import ErrorInterceptor
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import resources_pb2 as resources
from services.portal.api import app as api
from services.portal.api import http_request
from services.portal.api.calls import Services
from services.portal.api.http_rules import HttpRule, rules_of
from services.portal.api.methods import SERVICE_OF, services
from tests.portal.loop import Loop, ask
from tests.protobufs import messages
from tests.waiting import until

RULES = rules_of(services())
JSON = ("content-type", "application/json")
REGISTRY = "/headgate.v1.RegistryService/"


class Server(grpc.GenericRpcHandler):
    """Answers every RPC by what a test sets, and keeps what it received."""

    def __init__(self):
        self.received, self.metadata, self.seconds = [], {}, 0.0
        self.answers = {}
        self.ended = []
        self._methods = {f"/{m.containing_service.full_name}/{m.name}": m for s in services() for m in s.methods}
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=[self], interceptors=[ErrorInterceptor()])
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def service(self, details):
        method = self._methods.get(details.method)
        if method is None:
            return None
        answer = self.answers.get(details.method)

        def unary(request, context):
            self._keep(request, context)
            return answer(request) if answer else GetMessageClass(method.output_type)()

        def stream(request, context):
            self._keep(request, context)
            context.add_callback(lambda: self.ended.append(method.name))
            yield from answer(request) if answer else ()

        kind = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        behaviour = stream if method.server_streaming else unary
        codec = GetMessageClass(method.input_type).FromString, GetMessageClass(method.output_type).SerializeToString
        return kind(behaviour, *codec)

    def _keep(self, request, context):
        self.received.append(request)
        self.metadata, self.seconds = dict(context.invocation_metadata()), context.time_remaining()

    def stop(self):
        self._server.stop(None).wait()


class Portal:
    def __init__(self, address: str, asks_callers: bool = False):
        self.loop = Loop()
        self.services = Services(dict.fromkeys(SERVICE_OF, address))
        self.app = Starlette(routes=api.api_routes(self.services, asks_callers))

    def ask(self, *arguments, **how):
        return self.loop.run(ask(self.app, *arguments, **how))

    def close(self):
        self.loop.run(self.services.close())
        self.loop.close()


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared(server):
    portal = Portal(f"127.0.0.1:{server.port}")
    yield portal
    portal.close()


@pytest.fixture
def portal(server, shared):
    server.received.clear()
    server.answers.clear()
    server.ended.clear()
    return shared


# The way back: a client of HttpRule's rules, written for this test alone.

segments = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/%"), min_size=1, max_size=8)


@st.composite
def requests(draw, rule: HttpRule):
    """A message that the rule can carry, as (message, target, body)."""
    message = draw(messages(GetMessageClass(rule.method.input_type)))
    path = rule.template
    for variable in rule.variables:
        inner = next(part for part in path.replace("{", "}").split("}") if part.split("=")[0] == variable.field)
        value = "/".join(
            draw(segments) if part == "*" else part for part in (inner.partition("=")[2] or "*").split("/")
        )
        path = path.replace("{" + inner + "}", quote(value, safe="/" if variable.many else ""))
        setattr(message, variable.field, value)
    if rule.body:
        return message, path, json_format.MessageToJson(message).encode()
    pairs = []
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None:
            message.ClearField(field.name)
        elif field.name not in [variable.field for variable in rule.variables]:
            pairs += pairs_of(message, field)
    return message, f"{path}?{urlencode(pairs)}" if pairs else path, b""


def pairs_of(message, field):
    if field.has_presence and not message.HasField(field.name):
        return []
    only = type(message)()
    only.MergeFrom(message)
    for other in message.DESCRIPTOR.fields:
        if other.name != field.name:
            only.ClearField(other.name)
    found = json_format.MessageToDict(only, preserving_proto_field_name=True).get(field.name, [])
    values = found if field.is_repeated else [found] if found != [] else []
    return [(field.name, str(each).lower() if field.type == FieldDescriptor.TYPE_BOOL else each) for each in values]


@settings(max_examples=50, deadline=None)
@given(rule=st.sampled_from(RULES), data=st.data())
def test_grpc_receives_what_was_sent_as_json(server, shared, rule, data):
    server.received.clear()
    server.answers.clear()
    message, target, body = data.draw(requests(rule))
    answer = shared.ask(rule.verb, target, body, [JSON])
    assert answer.status == 200, answer.body
    (received,) = server.received
    assert received.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


def test_the_answer_is_the_message_as_json(portal, server):
    server.answers[REGISTRY + "GetModel"] = lambda request: resources.Model(name=request.name, description="é\u2028")
    answer = portal.ask("GET", "/v1/models/fraud")
    assert answer.json == {"name": "models/fraud", "description": "é\u2028"}
    assert answer.headers["content-type"] == "application/json"


def test_token_name_and_trace_of_the_caller_go_on_and_nothing_else(portal, server):
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = [("Authorization", "Bearer x"), ("X-Actor", "ann"), ("traceparent", trace), ("cookie", "c=1")]
    portal.ask("GET", "/v1/models/fraud", headers=headers)
    assert server.metadata["authorization"] == "Bearer x"
    assert server.metadata["x-actor"] == "ann"
    assert server.metadata["traceparent"].split("-")[1] == "a" * 32
    assert "cookie" not in server.metadata


def test_a_call_has_a_deadline_also_when_its_caller_names_none(portal, server):
    portal.ask("GET", "/v1/models/fraud")
    assert 0 < server.seconds < http_request.USUAL_SECONDS + 1  # gRPC rounds it
    portal.ask("GET", "/v1/models/fraud", headers=[("grpc-timeout", "5S")])
    assert server.seconds < 6


@pytest.mark.parametrize("text", ["5", "0S", "999999999S", "11M", "S", "-1S", "5s"])
def test_a_deadline_of_another_form_is_refused(portal, text):
    answer = portal.ask("GET", "/v1/models/fraud", headers=[("grpc-timeout", text)])
    assert (answer.status, answer.json["code"]) == (400, 3)


def test_a_refusal_is_a_status_with_its_reason_and_its_field(portal, server):
    def refuse(request):
        raise RpcRefused(grpc.StatusCode.NOT_FOUND, "not-found", "model fraud does not exist", "name")

    server.answers[REGISTRY + "GetModel"] = refuse
    answer = portal.ask("GET", "/v1/models/fraud")
    assert answer.status == 404
    assert answer.json == {
        "code": 5,
        "message": "model fraud does not exist",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "not-found", "domain": "headgate.dev"},
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "name", "description": "model fraud does not exist"}],
            },
        ],
    }


@pytest.mark.parametrize(
    ("code", "status", "header"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 400, None),
        (grpc.StatusCode.FAILED_PRECONDITION, 400, None),
        (grpc.StatusCode.UNAUTHENTICATED, 401, ("www-authenticate", "Bearer")),
        (grpc.StatusCode.PERMISSION_DENIED, 403, None),
        (grpc.StatusCode.ABORTED, 409, None),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429, ("retry-after", "3")),
        (grpc.StatusCode.INTERNAL, 500, None),
        (grpc.StatusCode.UNAVAILABLE, 503, ("retry-after", "3")),
    ],
)
def test_a_status_has_its_published_http_status(portal, server, code, status, header):
    def refuse(request):
        raise RpcRefused(code, "slug", "a rule", retry_after_seconds=2.5 if header == ("retry-after", "3") else 0)

    server.answers[REGISTRY + "GetModel"] = refuse
    answer = portal.ask("GET", "/v1/models/fraud")
    assert (answer.status, answer.json["code"]) == (status, code.value[0])
    assert header is None or answer.headers[header[0]] == header[1]


def test_a_service_that_is_down_is_named_without_its_address():
    portal = Portal("127.0.0.1:9")
    try:
        answer = portal.ask("GET", "/v1/models/fraud")
        assert answer.status == 503
        assert "127.0.0.1" not in answer.body.decode()
    finally:
        portal.close()


def test_where_callers_must_prove_who_they_are_a_call_without_a_token_reaches_no_service(server):
    portal = Portal(f"127.0.0.1:{server.port}", asks_callers=True)
    server.received.clear()
    try:
        answer = portal.ask("GET", "/v1/models/fraud")
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert server.received == []
    finally:
        portal.close()


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        (b'{"model": "\xff"}', "", "0xff"),
        (b"[" * 10_000, "", "nesting"),
        (b'{"labels":' * 10_000, "", "nesting"),
        (b'{"model": NaN}', "", "NaN"),
        (b'{"model": -Infinity}', "", "Infinity"),
        (b'{"model": "a", "model": "b"}', "", "twice"),
        (b'{"model": "a"} x', "", "not JSON"),
        (b"[]", "", "expected a JSON object"),
        (b'{"modell": "a"}', "modell", "no field 'modell'"),
        (b'{"model": 5}', "model", "expected string"),
        (b'{"model": "\\ud800"}', "model", "npaired surrogate"),
        (b'{"labels": {"a": 5}}', "labels", "expected string"),
        (b'{"labels": ' + b"9" * 5_000 + b"}", "", "not JSON"),
    ],
)
def test_a_body_that_is_no_request_is_a_clear_400(portal, server, body, field, rule):
    answer = portal.ask("POST", "/v1/models", body, [JSON])
    assert answer.status == 400
    assert rule in answer.json["message"]
    violations = [d["fieldViolations"][0]["field"] for d in answer.json["details"] if "fieldViolations" in d]
    assert violations == ([field] if field else [])
    assert server.received == []


def test_a_field_inside_another_is_named_with_its_place(portal):
    answer = portal.ask("POST", "/v1/models/fraud/releases", b'{"policy": {"judge": {"nope": 1}}}', [JSON])
    assert answer.json["details"][1]["fieldViolations"][0]["field"] == "policy.judge.nope"
    answer = portal.ask("POST", "/v1/models/fraud/releases", b'{"policy": {"judge": 5}}', [JSON])
    assert answer.json["message"] == "policy.judge: expected a JSON object"


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("/v1/models?pageSize=x", "page_size: expected a number, got 'x'"),
        ("/v1/models?page_size=1&page_size=2", "twice"),
        ("/v1/models?nope=1", "no field 'nope'"),
        ("/v1/models?filter=%ff", "0xff"),
        ("/v1/models?" + "filter=a&" * 300, "at most 200 fields"),
        ("/v1/models/a?name=models/b", "in the path"),
        ("/v1/history:watch?after.offset=5", "after.offset"),
        ("/v1/history:watch?from_now=maybe", "from_now"),
        ("/v1/models/%ff", "0xff"),
    ],
)
def test_a_path_or_a_query_that_is_no_request_is_a_clear_400(portal, server, target, rule):
    answer = portal.ask("GET", target)
    assert (answer.status, rule in answer.json["message"]) == (400, True), answer.body
    assert server.received == []


def test_the_query_names_no_field_of_a_request_that_has_a_body(portal):
    assert "body" in portal.ask("POST", "/v1/models?model=a", b"{}", [JSON]).json["message"]
    assert "query" in portal.ask("GET", "/v1/models", b"{}", [JSON]).json["message"]


def test_path_and_body_name_the_same_resource(portal, server):
    answer = portal.ask("PATCH", "/v1/models/a", b'{"name": "models/b"}', [JSON])
    assert (answer.status, "in the path" in answer.json["message"]) == (400, True)
    assert portal.ask("PATCH", "/v1/models/a", b'{"name": "models/a"}', [JSON]).status == 200


def test_a_large_body_is_refused_before_it_is_read(portal):
    def never():
        raise AssertionError("the body was read")
        yield

    answer = portal.ask("POST", "/v1/models", [], [JSON, ("content-length", str(100 << 20))])
    assert (answer.status, answer.json["code"]) == (413, 3)


def test_a_body_without_a_length_is_refused_when_it_is_too_large(portal):
    parts = [b" " * 100_000] * 20
    assert portal.ask("POST", "/v1/models", parts, [JSON]).status == 413


def test_a_form_is_no_json(portal, server):
    form = ("content-type", "application/x-www-form-urlencoded")
    answer = portal.ask("POST", "/v1/models", b"model=a", [form])
    assert (answer.status, server.received) == (415, [])


@pytest.mark.parametrize("value", ["Bearer \x7f", "Bearer é"])
def test_a_token_with_other_characters_is_refused(portal, value):
    assert portal.ask("GET", "/v1/models", headers=[("authorization", value)]).status == 400


def test_two_tokens_are_refused(portal):
    assert portal.ask("GET", "/v1/models", headers=[("authorization", "Bearer a")] * 2).status == 400


def test_an_unknown_path_and_an_unknown_method_say_what_there_is(portal):
    assert portal.ask("GET", "/v1/nothing").status == 404
    answer = portal.ask("PUT", "/v1/models")
    assert (answer.status, answer.headers["allow"], answer.json["code"]) == (405, "GET, POST", 12)


def three(request):
    for number in range(3):
        yield release_service.WatchReleaseResponse(release=resources.Release(name=f"{request.name}#{number}"))


WATCH = "/v1/models/fraud/releases/1:watch"
WATCHED = "/headgate.v1.ReleaseService/WatchRelease"


def test_a_stream_is_one_line_of_json_for_each_message(portal, server):
    server.answers[WATCHED] = three
    answer = portal.ask("GET", WATCH)
    assert answer.headers["content-type"] == "application/x-ndjson"
    names = [json.loads(line)["result"]["release"]["name"] for line in answer.body.splitlines()]
    assert names == [f"models/fraud/releases/1#{number}" for number in range(3)]


def test_a_stream_is_server_sent_events_for_whoever_asks(portal, server):
    server.answers[WATCHED] = three
    answer = portal.ask("GET", WATCH, headers=[("accept", "text/event-stream")])
    assert answer.headers["content-type"].startswith("text/event-stream")
    first = answer.body.split(b"\n\n")[0]
    assert json.loads(first.removeprefix(b"data: "))["release"]["name"] == "models/fraud/releases/1#0"


def test_a_stream_that_is_refused_at_once_has_the_status_of_its_error(portal, server):
    def refuse(request):
        raise RpcRefused(grpc.StatusCode.NOT_FOUND, "not-found", "no such release")
        yield

    server.answers[WATCHED] = refuse
    assert portal.ask("GET", WATCH).status == 404


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
def test_an_error_in_the_middle_of_a_stream_is_its_last_part(portal, server, accept):
    def break_off(request):
        yield from three(request)
        raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "ended", "the registry ends")

    server.answers[WATCHED] = break_off
    answer = portal.ask("GET", WATCH, headers=[("accept", accept)])
    assert answer.status == 200
    *_, last = answer.body.strip().split(b"\n")
    assert "the registry ends" in last.decode()
    assert b'"error"' in last or b"event: error" in answer.body


def test_the_call_ends_when_its_reader_leaves(portal, server):
    def endless(request):
        while True:
            yield registry_service.WatchModelsResponse()

    server.answers[REGISTRY + "WatchModels"] = endless
    portal.ask("GET", "/v1/models:watch", leave_after=lambda body: len(body) > 1_000)
    until(lambda: server.ended == ["WatchModels"])


def test_more_streams_than_a_portal_has_are_refused(portal, server, monkeypatch):
    monkeypatch.setattr(api, "MAX_STREAMS", 0)
    answer = portal.ask("GET", WATCH)
    assert (answer.status, answer.json["code"]) == (429, 8)
