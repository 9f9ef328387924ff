"""The OpenAPI 3.1 document of the JSON API, made of the descriptors and their annotations. Pure.

Source: spec.openapis.org/oas/v3.1.1; the forms of fields are those of protobuf's JSON mapping.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from services.portal.api.http_rules import WHOLE_BODY, HttpRule

VARIABLE = re.compile(r"\{([\w.]+)(?:=([^{}]+))?\}")
MAX_QUERY_DEPTH = 2
"""How deep a field may lie that the query is said to take. The API takes deeper ones too."""
STATUS = "google.rpc.Status"
_SINGULAR = {"aliases": "alias", "access": "stream"}
_NUMBERS: Mapping[int, dict[str, Any]] = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "format": "uint32"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": ["number", "string"], "format": "double"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": ["number", "string"], "format": "float"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
}


def document(rules: Sequence[HttpRule], version: str) -> dict[str, Any]:
    """The whole document, with every schema that an operation needs."""
    schemas: dict[str, Any] = {STATUS: _status()}
    paths: dict[str, Any] = {}
    for rule in rules:
        for descriptor in (rule.method.input_type, rule.method.output_type):
            _add(schemas, descriptor)
        path, parameters = _path(rule)
        paths.setdefault(path, {})[rule.verb.lower()] = _operation(rule, path, parameters)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Headgate",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _path(rule: HttpRule) -> tuple[str, list[str]]:
    """The path in OpenAPI's form, where a parameter is one segment: {name=models/*} becomes models/{model}."""
    parameters: list[str] = []

    def segments(found: re.Match[str]) -> str:
        name, shown = found[1], []
        for part in (found[2] or "*").split("/"):
            if part == "*":
                parameters.append(name)
            shown.append("{" + name + "}" if part == "*" else part)
            name = _SINGULAR.get(part, part.removesuffix("s"))
        return "/".join(shown)

    return VARIABLE.sub(segments, rule.template), parameters


def _operation(rule: HttpRule, path: str, parameters: Sequence[str]) -> dict[str, Any]:
    method = rule.method
    service = method.containing_service.name
    answer = {"$ref": f"#/components/schemas/{method.output_type.full_name}"}
    found: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method.name}_{rule.verb.lower()}{path}").strip("_"),
        "summary": method.name,
        "tags": [service],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters
        ]
        + [{"name": name, "in": "query", "schema": schema} for name, schema in _query(rule)],
        "responses": {
            "200": {"description": "The answer.", "content": _content(answer, method.server_streaming)},
            "default": {"description": "The error.", "content": _content({"$ref": f"#/components/schemas/{STATUS}"})},
        },
    }
    if rule.body:
        found["requestBody"] = {"required": True, "content": _content(_body(rule))}
    return found


def _content(schema: dict[str, Any], streams: bool = False) -> dict[str, Any]:
    if not streams:
        return {"application/json": {"schema": schema}}
    line = {"type": "object", "properties": {"result": schema, "error": {"$ref": f"#/components/schemas/{STATUS}"}}}
    return {"application/x-ndjson": {"schema": line}, "text/event-stream": {"schema": schema}}


def _body(rule: HttpRule) -> dict[str, Any]:
    if rule.body == WHOLE_BODY:
        return {"$ref": f"#/components/schemas/{rule.method.input_type.full_name}"}
    return _schema(rule.method.input_type.fields_by_name[rule.body])


def _query(rule: HttpRule) -> Iterator[tuple[str, dict[str, Any]]]:
    if rule.body == WHOLE_BODY:
        return
    bound = {variable.field for variable in rule.variables} | {rule.body}
    yield from _leaves(rule.method.input_type, "", bound, MAX_QUERY_DEPTH)


def _leaves(message: Descriptor, place: str, bound: set[str], depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for field in message.fields:
        if f"{place}{field.name}" in bound:
            continue
        if field.message_type is None:
            yield f"{place}{field.name}", _schema(field)
        elif depth > 1 and not field.is_repeated:
            yield from _leaves(field.message_type, f"{place}{field.name}.", bound, depth - 1)


def _add(schemas: dict[str, Any], descriptor: Descriptor) -> None:
    """Adds the schema of a message, and those of the messages in it."""
    if descriptor.full_name in schemas or descriptor.GetOptions().map_entry:
        for field in descriptor.fields if descriptor.GetOptions().map_entry else ():
            if field.message_type is not None:
                _add(schemas, field.message_type)
        return
    properties: dict[str, Any] = {}
    schemas[descriptor.full_name] = {"type": "object", "properties": properties}
    for field in descriptor.fields:
        properties[field.json_name] = _schema(field)
        if field.message_type is not None:
            _add(schemas, field.message_type)


def _schema(field: FieldDescriptor) -> dict[str, Any]:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _one(message.fields_by_name["value"])}
    return {"type": "array", "items": _one(field)} if field.is_repeated else _one(field)


def _one(field: FieldDescriptor) -> dict[str, Any]:
    if field.message_type is not None:
        return {"$ref": f"#/components/schemas/{field.message_type.full_name}"}
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64"}
    return dict(_NUMBERS.get(field.cpp_type, {"type": "string"}))


def _enum(enum: EnumDescriptor) -> dict[str, Any]:
    return {"type": "string", "enum": [value.name for value in enum.values]}


def _status() -> dict[str, Any]:
    details = {"type": "array", "items": {"type": "object", "properties": {"@type": {"type": "string"}}}}
    properties = {"code": {"type": "integer"}, "message": {"type": "string"}, "details": details}
    return {"type": "object", "properties": properties}
