"""Makes the request of an RPC of an HTTP request: fields in the path, in the query and in the body. Pure."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from headgate.domain.strict_json import read_json
from headgate.domain.words import json_kind
from services.portal.api.http_rules import WHOLE_BODY, HttpRule, field_at

MAX_QUERY_FIELDS = 200
MAX_SHOWN = 300
_INSIDE = re.compile(r"Failed to parse (\w+) field: ")
_UNKNOWN = re.compile(r'has no field named "(?P<name>[^"]*)"')
_PLACE = re.compile(r"( at \"?[A-Z]\w*[\w.\[\]]*\"?)?\.*\Z")
_NO_NUMBER = re.compile(
    r"(?:invalid literal for int\(\) with base 10|Couldn't parse integer|could not convert string to float): "
)
_NOT_OBJECT = re.compile(r"object is not iterable|is not iterable|has no attribute")


class BadRequest(ValueError):
    """A request that names no message. `field` is the field that is wrong; empty for the request as a whole."""

    def __init__(self, rule: str, field: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.field = field


def request_message(rule: HttpRule, values: Mapping[str, str], query: str, body: bytes) -> Message:
    """The request of the rule's RPC: the fields of the path, of the query string and of the body. Raises BadRequest."""
    message = _of_body(rule, body)
    named = _Tree(rule.method)
    for path, text in values.items():
        _refuse_other(message, rule, path, text)
        named.put(path, text)
    for path, text in _pairs(query):
        _refuse_bound(rule, values, path)
        named.put(path, text)
    message.MergeFrom(_parsed(rule.method, named.root))
    return message


def _of_body(rule: HttpRule, body: bytes) -> Message:
    if not rule.body:
        if body.strip():
            raise BadRequest(f"{rule.verb} of this path takes no body: its fields belong into the query")
        return new_request(rule.method)
    try:
        found = read_json(body) if body.strip() else {}
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if rule.body != WHOLE_BODY:
        return _parsed(rule.method, {rule.body: found})
    if not isinstance(found, dict):
        raise BadRequest(f"the body: expected a JSON object, got {json_kind(found)}")
    return _parsed(rule.method, found)


def new_request(method: MethodDescriptor) -> Message:
    """An empty request of an RPC."""
    return GetMessageClass(method.input_type)()


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the query: expected text in UTF-8, got the byte 0x{error.object[error.start]:02x}") from None
    except ValueError:
        raise BadRequest(f"the query: expected at most {MAX_QUERY_FIELDS} fields") from None


def _refuse_other(message: Message, rule: HttpRule, path: str, text: str) -> None:
    """Path and body may name the same field, but only with the same value."""
    at: Any = message
    fields = field_at(rule.method.input_type, path)
    for field in fields:
        at = getattr(at, field.name)
    if at not in ("", text):
        raise BadRequest(f"{path} is {at[:MAX_SHOWN]!r} in the body, and {text[:MAX_SHOWN]!r} in the path", path)


def _refuse_bound(rule: HttpRule, values: Mapping[str, str], path: str) -> None:
    shown = path[:MAX_SHOWN]
    if rule.body == WHOLE_BODY:
        raise BadRequest(f"the query names {shown!r}: the fields of this request belong into its body", shown)
    fields = field_at(rule.method.input_type, path)
    name = ".".join(field.name for field in fields)
    if name in values:
        raise BadRequest(f"the query names {shown!r}, which is in the path", shown)
    if fields and fields[0].name == rule.body:
        raise BadRequest(f"the query names {shown!r}, which belongs into the body", shown)


class _Tree:
    """The fields of path and query as a JSON object."""

    def __init__(self, method: MethodDescriptor) -> None:
        self.root: dict[str, Any] = {}
        self._message = method.input_type

    def put(self, path: str, text: str) -> None:
        """Puts one value. Raises BadRequest."""
        shown = path[:MAX_SHOWN]
        fields = field_at(self._message, path)
        if not fields:
            raise BadRequest(f"there is no field {shown!r}", shown)
        *outer, last = fields
        if any(field.is_repeated for field in outer) or last.message_type is not None:
            raise BadRequest(f"{shown!r} has fields of its own: a query names texts, numbers and yes or no", shown)
        at = self.root
        for field in outer:
            at = at.setdefault(field.name, {})
        value = _scalar(last, text)
        if last.is_repeated:
            at.setdefault(last.name, []).append(value)
        elif last.name in at:
            raise BadRequest(f"{shown!r} stands twice", shown)
        else:
            at[last.name] = value


def _scalar(field: FieldDescriptor, text: str) -> Any:
    """A text as JSON has it. Numbers and names of enums may be texts there."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    return text


def _parsed(method: MethodDescriptor, found: dict[str, Any]) -> Message:
    message = new_request(method)
    try:
        json_format.ParseDict(found, message)
    except json_format.ParseError as error:
        raise _bad(str(error)) from None
    except RecursionError:
        raise BadRequest("the body: expected lists and objects with less nesting") from None
    return message


def _bad(error: str) -> BadRequest:
    """The field and the rule in an error of the library: it names the fields from the outermost on, one by one."""
    text = error.partition("\n")[0]
    names = _INSIDE.findall(text)
    rule = _INSIDE.sub("", text)
    unknown = _UNKNOWN.search(rule)
    if unknown:
        names.append(unknown["name"][:MAX_SHOWN])
        return BadRequest(f"there is no field {'.'.join(names)!r}", ".".join(names))
    rule = "expected a JSON object" if _NOT_OBJECT.search(rule) else _PLACE.sub("", rule)
    rule = _NO_NUMBER.sub("expected a number, got ", rule)
    where = ".".join(names)
    return BadRequest(f"{where or 'the body'}: {rule[:1].lower()}{rule[1:MAX_SHOWN]}", where)
