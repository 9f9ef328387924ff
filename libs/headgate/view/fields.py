"""The fields that filters compare and orders sort by, for each kind of resource. The fold and Redis use this table."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from headgate.domain.names import project_of
from headgate.domain.release import is_active
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources

Resource = resources.Model | resources.Version | resources.Release
Value = str | float | bool


class Kind(Enum):
    """The kinds of resources that can be listed and searched."""

    MODEL = "model"
    VERSION = "version"
    RELEASE = "release"


class Type(Enum):
    """The type of a field; the text describes the values that a filter accepts."""

    TEXT = "text"
    WORD = "one of its words"
    NUMBER = "a number"
    TIME = "an RFC 3339 time or milliseconds since 1970"
    FLAG = "true or false"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `read` returns its value, or None when a resource does not have it.

    A `keyed` field is written PATH.KEY. An `indexed` field has an index for equality. A list can be sorted by an
    `ordered` field. The value of a `fixed` field never changes once the resource exists.
    """

    type: Type
    read: Callable[[Any, str], Value | None]
    keys: Callable[[Any], Iterator[str]] | None = None
    words: tuple[str, ...] = ()
    indexed: bool = False
    ordered: bool = False
    fixed: bool = False

    @property
    def keyed(self) -> bool:
        return self.keys is not None


def field_of(kind: Kind, path: str) -> tuple[Field, str] | None:
    """The field that a path names, and its key; None when it names no field."""
    name, _, key = path.partition(".")
    field = FIELDS[kind].get(name)
    return (field, key) if field is not None and field.keyed == bool(key) else None


def paths(kind: Kind, ordered: bool = False) -> str:
    """The names of the kind's fields, as errors list them."""
    found = [f"{name}.KEY" if field.keyed else name for name, field in FIELDS[kind].items() if field.ordered >= ordered]
    return ", ".join(found)


def resource_id(resource: Resource) -> str:
    """An id that is unique within the kind and sorts by model and number: `fraud`, `fraud/0000000003`."""
    match resource:
        case resources.Model():
            return model_of(resource)
        case resources.Version():
            return f"{model_of(resource)}/{resource.version:010d}"
        case resources.Release():
            return f"{model_of(resource)}/{resource.release:010d}"


def model_of(resource: Resource) -> str:
    """The name of the resource's model, without `models/`."""
    return str(resource.name.split("/")[1])


def term(path: str, value: Value) -> str:
    """The text of one equality; an index has one set of ids for each."""
    return f"{path}={value}"


def terms(kind: Kind, resource: Resource) -> Iterator[str]:
    """All indexed equalities that hold for the resource."""
    for path, field, key in _present(kind, resource):
        value = field.read(resource, key)
        if field.indexed and value is not None:
            yield term(path, value)


def sort_values(kind: Kind, resource: Resource) -> Iterator[tuple[str, float]]:
    """The resource's values in all orders that contain it, each with its path."""
    for path, field, key in _present(kind, resource):
        if field.ordered:
            value = sort_value(field, key, resource)
            if value is not None:
                yield path, value


def sort_value(field: Field, key: str, resource: Resource) -> float | None:
    """The resource's value in an order by this field; None without the field. Texts give 0, so the id decides."""
    value = field.read(resource, key)
    return 0.0 if isinstance(value, str) else value


def _present(kind: Kind, resource: Resource) -> Iterator[tuple[str, Field, str]]:
    for name, field in FIELDS[kind].items():
        if field.keys is None:
            yield name, field, ""
        else:
            for key in field.keys(resource):
                yield f"{name}.{key}", field, key


def _text(attribute: str, indexed: bool = False, fixed: bool = False) -> Field:
    return Field(Type.TEXT, lambda resource, _: getattr(resource, attribute) or None, indexed=indexed, fixed=fixed)


def _number(attribute: str, ordered: bool = False, time: bool = False, fixed: bool = False) -> Field:
    kind = Type.TIME if time else Type.NUMBER
    return Field(kind, lambda resource, _: float(getattr(resource, attribute)), ordered=ordered, fixed=fixed)


def _flag(read: Callable[[Any], bool]) -> Field:
    return Field(Type.FLAG, lambda resource, _: bool(read(resource)), indexed=True)


def _word(attribute: str, items: Iterable[tuple[str, int]], prefix: str) -> Field:
    words = {number: name.removeprefix(prefix).lower() for name, number in items if number}
    return Field(
        Type.WORD,
        lambda resource, _: words.get(getattr(resource, attribute)),
        None,
        tuple(words.values()),
        indexed=True,
    )


def _texts(attribute: str) -> Field:
    return Field(
        Type.TEXT,
        lambda resource, key: getattr(resource, attribute).get(key),
        lambda resource: iter(getattr(resource, attribute)),
        indexed=True,
    )


def _numbers(attribute: str) -> Field:
    def read(resource: resources.Model, key: str) -> float | None:
        found = getattr(resource, attribute).get(key)
        return None if found is None else float(found)

    return Field(Type.NUMBER, read, lambda resource: iter(getattr(resource, attribute)))


def _metric(version: resources.Version, name: str) -> float | None:
    # A metric with the value NaN is treated like one that was not measured: every comparison with it is false.
    values = (metric.value for metric in version.report.metrics if metric.name == name)
    value = next(values, None)
    return None if value is None or math.isnan(value) else value


def _metric_names(version: resources.Version) -> Iterator[str]:
    return (metric.name for metric in version.report.metrics)


_MODEL_NAME = Field(Type.TEXT, lambda resource, _: model_of(resource), indexed=True, fixed=True)
_PROJECT = Field(Type.TEXT, lambda resource, _: project_of(model_of(resource)), indexed=True, fixed=True)
_NAME = Field(Type.TEXT, lambda resource, _: resource.name, ordered=True, fixed=True)
_BUILD = _word("build", resources.BuildState.items(), "BUILD_STATE_")
_VERDICT = _word("verdict", resources.VerdictState.items(), "VERDICT_STATE_")
_RETENTION = _word("retention", resources.RetentionState.items(), "RETENTION_STATE_")
_LABELS = tuple(dict.fromkeys((*_BUILD.words, *_VERDICT.words, *_RETENTION.words, "quarantined")))

FIELDS: Mapping[Kind, Mapping[str, Field]] = {
    Kind.MODEL: {
        "name": Field(Type.TEXT, lambda resource, _: model_of(resource), ordered=True, fixed=True),
        "project": _PROJECT,
        "description": _text("description"),
        "repository": _text("repository", indexed=True),
        "labels": _texts("labels"),
        "aliases": _numbers("aliases"),
        "live": _numbers("live"),
        "latest_version": _number("latest_version", ordered=True),
        "create_time": _number("create_time_ms", ordered=True, time=True, fixed=True),
    },
    Kind.VERSION: {
        "name": _NAME,
        "model": _MODEL_NAME,
        "project": _PROJECT,
        "version": _number("version", ordered=True, fixed=True),
        "label": Field(
            Type.WORD, lambda version, _: version.label.replace(" ", "_") or None, words=_LABELS, indexed=True
        ),
        "build": _BUILD,
        "verdict": _VERDICT,
        "retention": _RETENTION,
        "quarantined": _flag(lambda version: version.quarantined),
        "commit": _text("commit", indexed=True, fixed=True),
        "repository": _text("repository"),
        "attempt": _number("attempt"),
        "tags": _texts("tags"),
        "metrics": Field(Type.NUMBER, _metric, _metric_names, ordered=True),
        "create_time": _number("create_time_ms", ordered=True, time=True, fixed=True),
        "update_time": _number("update_time_ms", ordered=True, time=True),
    },
    Kind.RELEASE: {
        "name": _NAME,
        "model": _MODEL_NAME,
        "project": _PROJECT,
        "release": _number("release", ordered=True, fixed=True),
        "environment": _text("environment", indexed=True, fixed=True),
        "phase": _word("phase", resources.Phase.items(), "PHASE_"),
        "strategy": _word("strategy", configuration.Strategy.items(), "STRATEGY_"),
        "candidate": _number("candidate"),
        "stable": _number("stable"),
        "active": _flag(is_active),
        "paused": _flag(lambda release: release.paused),
        "create_time": _number("requested_at_ms", ordered=True, time=True, fixed=True),
    },
}
