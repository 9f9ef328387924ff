"""A release policy for people: each value under its key in a policy file, and whether it is the default."""

from collections.abc import Iterator, Sequence

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from headgate.domain import policy as policies
from headgate.domain.weights import percent_of
from headgate.domain.words import counted, hyphenated
from headgate.v1 import configuration_pb2 as configuration

UNITS = (("_ms", "_seconds", 1_000), ("_bps", "_percent", 100))
"""The end of a field's name, the end of its key, and how much of the field's unit is one of the key's."""
DEFAULT_MARK = " (default)"


def policy_lines(policy: configuration.ReleasePolicy) -> Iterator[tuple[str, str]]:
    """The keys and values that apply, in the order of the .proto file. An absent value is the default."""
    resolved = policies.resolve(policy)
    for field in configuration.ReleasePolicy.DESCRIPTOR.fields:
        if field.name == "steps":
            yield "steps", _steps(resolved)
        elif field.message_type is not None:
            nested = getattr(resolved, field.name), getattr(policies.DEFAULT, field.name)
            yield from ((f"{field.name}.{key}", text) for key, text in _values(*nested, field.message_type.fields))
        else:
            yield from _values(resolved, policies.DEFAULT, [field])


def steps_text(policy: configuration.ReleasePolicy) -> str:
    """The weights and times of the steps that apply."""
    steps = policies.resolve(policy).steps
    return ", ".join(f"{percent_of(step.weight_bps)} {step.min_duration_ms / 1000:g} s" for step in steps)


def _steps(policy: configuration.ReleasePolicy) -> str:
    mark = DEFAULT_MARK if list(policy.steps) == list(policies.DEFAULT.steps) else ""
    return "\n".join(
        f"{percent_of(step.weight_bps)} for at least {step.min_duration_ms / 1000:g} s"
        f" and {counted(policies.needed_keys(step), 'key')}{mark}"
        for step in policy.steps
    )


def _values(message: Message, defaults: Message, fields: Sequence[FieldDescriptor]) -> Iterator[tuple[str, str]]:
    for field in fields:
        value, default = _value(message, field), _value(defaults, field)
        mark = DEFAULT_MARK if value == default else ""
        key, per_unit = _key(field.name)
        yield key, f"{'none' if value is None else _text(field, value, per_unit)}{mark}"


def _value(message: Message, field: FieldDescriptor) -> float | None:
    """The number in the field; None when it is absent and has no default."""
    if field.has_presence and not message.HasField(field.name):
        return None
    found: float = getattr(message, field.name)
    return found


def _key(name: str) -> tuple[str, int]:
    for end, unit, per_unit in UNITS:
        if name.endswith(end):
            return name.removesuffix(end) + unit, per_unit
    return name, 1


def _text(field: FieldDescriptor, value: float, per_unit: int) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if field.enum_type is not None:
        # An unspecified value means the same as the first one that has a name of its own.
        return hyphenated(getattr(configuration, field.enum_type.name), int(value) or 1)
    return f"{value / per_unit:.15g}"
