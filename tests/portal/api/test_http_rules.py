"""Every RPC has a way over HTTP, and a path names one of them."""

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool

from services.portal.api.http_rules import BadRule, NotText, matching, rules_of
from services.portal.api.methods import SERVICE_OF, WITHOUT_HTTP, services

RULES = rules_of(services())


def found(verb: str, path: str) -> tuple[str, dict[str, str]]:
    rule, values = matching(RULES, verb, path)
    return rule.method.name, values


def test_every_rpc_has_a_way_over_http_or_a_reason_why_not():
    with_way = {rule.method.full_name for rule in RULES}
    all_rpcs = {method.full_name for service in services() for method in service.methods}
    assert with_way | WITHOUT_HTTP.keys() == all_rpcs
    assert not with_way & WITHOUT_HTTP.keys()


def test_every_service_with_a_way_over_http_has_an_address():
    assert {rule.method.containing_service.full_name for rule in RULES} <= SERVICE_OF.keys()


def test_no_two_rules_are_alike():
    ways = [(rule.verb, rule.pattern.pattern) for rule in RULES]
    assert len(set(ways)) == len(ways)


@pytest.mark.parametrize(
    ("verb", "path", "rpc", "values"),
    [
        ("GET", "/v1/models/fraud", "GetModel", {"name": "models/fraud"}),
        ("GET", "/v1/models/fraud/aliases/best", "GetVersion", {"name": "models/fraud/aliases/best"}),
        ("POST", "/v1/models/fraud:label", "LabelModel", {"name": "models/fraud"}),
        ("GET", "/v1/models/-/versions:watch", "WatchVersions", {"parent": "models/-"}),
        ("GET", "/v1/models:watch", "WatchModels", {}),
        ("GET", "/v1/environments/a%20b/history", "ListHistory", {"stream": "environments/a b"}),
        ("GET", "/v1/models/a%2Fb", "GetModel", {"name": "models/a%2Fb"}),
        ("GET", "/v1/models/a%252Fb", "GetModel", {"name": "models/a%2Fb"}),
        ("GET", "/v1/blobs/a%2Fb", "GetBlob", {"sha256": "a/b"}),
        ("DELETE", "/v1/environments/production/freezes/night", "LiftFreeze",
         {"name": "environments/production", "freeze": "night"}),
    ],
)  # fmt: skip
def test_a_path_names_an_rpc_and_its_fields(verb, path, rpc, values):
    assert found(verb, path) == (rpc, values)


def test_a_path_with_another_method_says_which_it_has():
    assert matching(RULES, "PUT", "/v1/models") == ["GET", "POST"]


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/models/", "/v1/models//versions", "/v1/models/a/b", "/v1"])
def test_a_path_of_no_rpc_has_no_method(path):
    assert matching(RULES, "GET", path) == []


def test_a_path_that_is_not_utf_8_is_refused():
    with pytest.raises(NotText, match="0xff"):
        matching(RULES, "GET", "/v1/models/%ff")


@pytest.mark.parametrize(
    ("pattern", "body", "expected"),
    [
        ("/v1/{missing}", "", "no text of"),
        ("/v1/{number}", "", "no text of"),
        ("/v1/{text=a?}", "", "no segment"),
        ("/v1/{text}", "missing", "body names"),
    ],
)
def test_an_annotation_that_cannot_be_served_is_found_at_the_start(pattern, body, expected):
    with pytest.raises(BadRule, match=expected):
        rules_of([service_with(pattern, body)])


def service_with(pattern: str, body: str):
    """A service with one annotated RPC, whose request has a text and a number."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", dependency=["google/api/annotations.proto"])
    message = file.message_type.add(name="In")
    message.field.add(name="text", number=1, type=9, label=1)
    message.field.add(name="number", number=2, type=5, label=1)
    method = file.service.add(name="S").method.add(name="M", input_type=".t.In", output_type=".t.In")
    rule = method.options.Extensions[annotations_pb2.http]
    rule.get, rule.body = pattern, body
    pool = descriptor_pool.DescriptorPool()
    for known in (descriptor_pb2, http_pb2, annotations_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName("t.S")
