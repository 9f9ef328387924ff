"""The OpenAPI document: every way over HTTP is in it, and it holds what it names."""

import json
import re

from services.portal.api.http_rules import matching, rules_of
from services.portal.api.methods import services
from services.portal.api.openapi import document

RULES = rules_of(services())
DOCUMENT = document(RULES, "0.0.0")
OPERATIONS = [(path, verb, found) for path, item in DOCUMENT["paths"].items() for verb, found in item.items()]


def test_every_rule_is_one_operation():
    assert len(OPERATIONS) == len(RULES)
    assert len({found["operationId"] for _, _, found in OPERATIONS}) == len(RULES)


def test_a_path_of_the_document_is_a_path_of_the_api():
    for path, verb, found in OPERATIONS:
        rule, _ = matching(RULES, verb.upper(), re.sub(r"\{\w+\}", "x", path))
        assert rule.method.name == found["summary"]


def test_the_parameters_of_a_path_are_those_that_it_names_each_once():
    for path, _, found in OPERATIONS:
        named = [each["name"] for each in found["parameters"] if each["in"] == "path"]
        assert named == re.findall(r"\{(\w+)\}", path)
        assert len(set(named)) == len(named)


def test_every_reference_leads_to_a_schema():
    wanted = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT)))
    assert wanted <= DOCUMENT["components"]["schemas"].keys()


def test_fields_have_the_form_of_protobufs_json():
    model = DOCUMENT["components"]["schemas"]["headgate.v1.Model"]["properties"]
    assert model["createTimeMs"] == {"type": "string", "format": "int64"}
    assert model["labels"] == {"type": "object", "additionalProperties": {"type": "string"}}
    assert model["latestVersion"] == {"type": "integer", "format": "int32"}


def test_a_request_without_a_body_has_its_fields_in_the_query():
    found = DOCUMENT["paths"]["/v1/models/{model}/versions"]["get"]
    assert {"page_size", "filter"} <= {each["name"] for each in found["parameters"] if each["in"] == "query"}
    assert "requestBody" not in found


def test_a_stream_is_lines_of_json_or_events():
    found = DOCUMENT["paths"]["/v1/models:watch"]["get"]["responses"]["200"]["content"]
    assert found.keys() == {"application/x-ndjson", "text/event-stream"}
