"""Builds and parses the names of streams and resources, and checks the names that users choose."""

import re

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
NAME_RULE = "a name has 1 to 63 characters of a-z, 0-9, - and _, and starts with a letter or digit"

DEFAULT_PROJECT = "default"
"""The project of the models whose names have no dot."""
MODEL_NAME = re.compile(rf"(?!{DEFAULT_PROJECT}\.)(?=.{{1,63}}\Z)(?:{NAME.pattern}\.)?{NAME.pattern}")
MODEL_NAME_RULE = (
    "the name of a model is NAME, or PROJECT.NAME in a project; both parts consist of a-z, 0-9, - and _ and start with "
    f"a letter or digit, and all has at most 63 characters; models of the project {DEFAULT_PROJECT} have no dot"
)

REPLICA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
REPLICA_RULE = (
    "the name of a replica has 1 to 253 characters of a-z, A-Z, 0-9, ., - and _, and starts with a letter or digit"
)
"""Every name of a host or of a pod is one."""

NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
"""The number of a version or a release, in the one form that names it. Every number of this form fits into 32 bits."""

MAX_ID = 256
"""How long the id of a command may be. A refusal keeps so many characters of a longer one."""

SHA256 = re.compile(r"[0-9a-f]{64}")
"""The SHA-256 of a file, as records and artifacts name it."""

_TOP = re.compile(r"(?P<kind>models|environments)/(?P<name>[^/]+)")
_BELOW_MODEL = re.compile(r"models/(?P<model>[^/]+)/(?P<kind>versions|releases|aliases)/(?P<id>[^/]+)")
_KINDS = {
    "models": "model",
    "environments": "environment",
    "versions": "version",
    "releases": "release",
    "aliases": "alias",
}

ACCESS_STREAM = "access/default"
"""The stream of all grants and tokens."""

TOKEN_PREFIX = "token:"
"""How the subject of one of Headgate's own tokens begins, and what a token gives by itself is called."""
TOPIC_PREFIX = "topic:"
"""How the actor of what follows from a record of a topic begins."""

ANONYMOUS = "anonymous"
"""The actor of every command without an actor, and the subject of grants that hold for everybody, proven or not."""


def is_name(text: str) -> bool:
    """Whether the text may name an environment, an alias, a token or a tag key."""
    return NAME.fullmatch(text) is not None


def is_model_name(text: str) -> bool:
    """Whether the text may name a model, with its project or without one."""
    return MODEL_NAME.fullmatch(text) is not None


def is_model_prefix(text: str) -> bool:
    """Whether the text stands for all models whose names begin so: `fraud-*`, `risk.*` or `risk.fraud-*`."""
    begin = text.removesuffix("*")
    return begin != text and (is_model_name(begin) or (begin.endswith(".") and is_name(begin[:-1])))


def project_of(model: str) -> str:
    """The project of a model: what its name has before the dot."""
    project, dot, _ = model.partition(".")
    return project if dot else DEFAULT_PROJECT


def is_replica_name(text: str) -> bool:
    """Whether the text may name a replica of a service."""
    return REPLICA.fullmatch(text) is not None


def model_stream(model: str) -> str:
    """The stream of a model's facts."""
    return f"models/{model}"


def stream_of(name: str) -> str:
    """The stream of a version or a release, by its resource name."""
    return name.rsplit("/", 2)[0]


def environment_stream(environment: str) -> str:
    """The stream of an environment's facts."""
    return f"environments/{environment}"


def event_command_id(source: str, id_: str) -> str:
    """The id of the command that an event becomes. Different pairs have different command ids.

    Without a bar in source and id the form is source|id, with exactly one bar. Otherwise it is length|source|id, where
    the length is that of the source. This form has at least three bars, so the two forms cannot be confused.
    """
    plain = "|" not in source and "|" not in id_
    return f"{source}|{id_}" if plain else f"{len(source)}|{source}|{id_}"


def split_stream(stream: str) -> tuple[str, str]:
    """Kind ("models", "environments" or "access") and name of a stream; ("", "") for anything else."""
    kind, _, name = stream.partition("/")
    is_right = is_model_name(name) if kind == "models" else is_name(name)
    return (kind, name) if is_right and kind in ("models", "environments", "access") else ("", "")


def version_name(model: str, version: int) -> str:
    """Resource name of a version. The signature of its artifact is for this name."""
    return f"{model_stream(model)}/{version_subject(version)}"


def release_name(model: str, release: int) -> str:
    """Resource name of a release."""
    return f"{model_stream(model)}/{release_subject(release)}"


def alias_name(model: str, alias: str) -> str:
    """Resource name of an alias."""
    return f"{model_stream(model)}/aliases/{alias}"


def version_subject(version: int) -> str:
    """The name of a version within the stream of its model."""
    return f"versions/{version}"


def release_subject(release: int) -> str:
    """The name of a release within the stream of its model."""
    return f"releases/{release}"


def short_name(name: str) -> str:
    """The name of a model or an environment without its kind, from its resource name or its stream."""
    return name.partition("/")[2]


def split_name(name: str, kind: str) -> str | None:
    """The name in {kind}/{name}; None for another form. Kinds: "models" and "environments"."""
    match = _TOP.fullmatch(name)
    return match["name"] if match and match["kind"] == kind else None


def split_numbered(name: str, kind: str) -> tuple[str, int] | None:
    """Model and number in models/{model}/{kind}/{number}; None for another form. Kinds: "versions" and "releases"."""
    match = _BELOW_MODEL.fullmatch(name)
    if match is None or match["kind"] != kind or not NUMBER.fullmatch(match["id"]):
        return None
    return match["model"], int(match["id"])


def in_words(name: str) -> str:
    """A resource name as people say it: "version 3 of fraud". Another text stays as it is."""
    if found := _BELOW_MODEL.fullmatch(name):
        return f"{_KINDS[found['kind']]} {found['id']} of {found['model']}"
    top = _TOP.fullmatch(name)
    return f"{_KINDS[top['kind']]} {top['name']}" if top else name


def split_alias(name: str) -> tuple[str, str] | None:
    """Model and alias in models/{model}/aliases/{alias}; None for another form."""
    match = _BELOW_MODEL.fullmatch(name)
    return (match["model"], match["id"]) if match and match["kind"] == "aliases" else None
