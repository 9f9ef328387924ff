"""The HTTP rules of the RPCs, read from google.api.http, and which rule a request is for.

Source: google/api/http.proto, "Rules for HTTP mapping" and "Path template syntax". Pure.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

WHOLE_BODY = "*"
_VARIABLE = re.compile(r"\{([A-Za-z_][\w.]*)(?:=([^{}]+))?\}")
_SEGMENT = re.compile(r"\*\*|\*|[\w.~%-]+")
_ONE, _MANY = "[^/]+", ".+"


class BadRule(ValueError):
    """An annotation that cannot be served. The message names the RPC and what is wrong."""


class NotText(ValueError):
    """A path whose characters are not UTF-8."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A field that a path names. `many` says that its value may have several segments."""

    field: str
    many: bool


@dataclass(frozen=True, slots=True)
class HttpRule:
    """One way to call one RPC: an HTTP method, a path template, and the field that the body has."""

    method: MethodDescriptor
    verb: str
    template: str
    body: str
    pattern: re.Pattern[str]
    variables: tuple[Variable, ...]

    @property
    def rpc(self) -> str:
        """The path of the gRPC method."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    def values(self, raw_path: str) -> dict[str, str] | None:
        """The fields that a path names, decoded; None for a path of another rule. Raises NotText."""
        found = self.pattern.fullmatch(raw_path)
        if found is None:
            return None
        return {
            each.field: _decoded(text, each.many) for each, text in zip(self.variables, found.groups(), strict=True)
        }


def rules_of(services: Iterable[ServiceDescriptor]) -> list[HttpRule]:
    """The rules of all RPCs that have one. Those with a verb at their end come first. Raises BadRule."""
    found = [rule for service in services for method in service.methods for rule in _rules(method)]
    return sorted(found, key=lambda rule: ":" not in rule.template.rpartition("/")[2])


def matching(rules: Sequence[HttpRule], verb: str, raw_path: str) -> tuple[HttpRule, dict[str, str]] | list[str]:
    """The rule of a request and the fields in its path; else the HTTP methods that this path has. Raises NotText."""
    others: list[str] = []
    for rule in rules:
        values = rule.values(raw_path)
        if values is not None and rule.verb == verb:
            return rule, values
        if values is not None:
            others.append(rule.verb)
    return sorted(set(others))


def field_at(message: Descriptor, path: str) -> tuple[FieldDescriptor, ...]:
    """The fields of a dotted path, from the outermost on; empty when there is no such field.

    Each part is the name of the .proto file, or its form in JSON.
    """
    found: list[FieldDescriptor] = []
    at: Descriptor | None = message
    for part in path.split("."):
        field = at and (at.fields_by_name.get(part) or at.fields_by_camelcase_name.get(part))
        if not field:
            return ()
        found.append(field)
        at = field.message_type
    return tuple(found)


def _rules(method: MethodDescriptor) -> Iterator[HttpRule]:
    options = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    first = options.Extensions[annotations_pb2.http]
    for rule in (first, *first.additional_bindings):
        yield _rule(method, rule)


def _rule(method: MethodDescriptor, rule: http_pb2.HttpRule) -> HttpRule:
    kind = rule.WhichOneof("pattern")
    if kind is None or kind == "custom" or rule.response_body:
        raise BadRule(f"{method.full_name}: expected get, put, post, delete or patch, without response_body")
    template = getattr(rule, kind)
    pattern, variables = _compiled(method, template)
    if rule.body not in ("", WHOLE_BODY) and rule.body not in method.input_type.fields_by_name:
        raise BadRule(f"{method.full_name}: body names {rule.body!r}, which {method.input_type.name} has not")
    return HttpRule(method, kind.upper(), template, rule.body, pattern, variables)


def _compiled(method: MethodDescriptor, template: str) -> tuple[re.Pattern[str], tuple[Variable, ...]]:
    """The template as an expression with a group for each variable. Raises BadRule."""
    path, colon, verb = template.rpartition(":") if ":" in template.rpartition("/")[2] else (template, "", "")
    variables, parts, end = [], [], 0
    for found in _VARIABLE.finditer(path):
        inner = found[2] or "*"
        variables.append(Variable(_text_field(method, found[1]), "/" in inner or "**" in inner))
        parts += [_segments(method, path[end : found.start()]), f"({_segments(method, inner)})"]
        end = found.end()
    parts.append(_segments(method, path[end:]))
    return re.compile("".join(parts) + re.escape(colon + verb)), tuple(variables)


def _text_field(method: MethodDescriptor, path: str) -> str:
    fields = field_at(method.input_type, path)
    if not fields or fields[-1].type != FieldDescriptor.TYPE_STRING or any(field.is_repeated for field in fields):
        raise BadRule(f"{method.full_name}: the path names {path!r}, which is no text of {method.input_type.name}")
    return path


def _segments(method: MethodDescriptor, text: str) -> str:
    shown = []
    for part in text.split("/"):
        if part and not _SEGMENT.fullmatch(part):
            raise BadRule(f"{method.full_name}: {part!r} is no segment of a path")
        shown.append({"*": _ONE, "**": _MANY}.get(part, re.escape(part)))
    return "/".join(shown)


def _decoded(text: str, many: bool) -> str:
    """The value without its escapes. In one of several segments %2F stays, because / parts the segments."""
    kept = re.sub("%2[Ff]", lambda found: "%25" + found[0][1:], text) if many else text
    try:
        return unquote(kept, errors="strict")
    except UnicodeDecodeError as error:
        raise NotText(f"expected text in UTF-8, got the byte 0x{error.object[error.start]:02x}") from None
