"""Names of streams and resources: how each is made, how it is read, and what a name may look like."""

import re

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
NAME_RULE = "a name has 1 to 63 of a-z, 0-9, - and _, and starts with a letter or digit"

NUMBER = re.compile(r"[0-9]{1,9}")
"""Of a version or a release: every number of this form fits into 32 bits."""

_TOP = re.compile(r"(?P<kind>models|environments)/(?P<name>[^/]+)")
_BELOW_MODEL = re.compile(r"models/(?P<model>[^/]+)/(?P<kind>versions|releases|aliases)/(?P<id>[^/]+)")

ANONYMOUS = "anonymous"
"""Who acts where nobody said who: all of them are one."""


def is_name(text: str) -> bool:
    """Whether the text may name a model, an environment, an alias or a tag key."""
    return NAME.fullmatch(text) is not None


def model_stream(model: str) -> str:
    """The stream of a model's facts."""
    return f"models/{model}"


def environment_stream(environment: str) -> str:
    """The stream of an environment's facts."""
    return f"environments/{environment}"


def split_stream(stream: str) -> tuple[str, str]:
    """Kind ("models" or "environments") and name of a stream; ("", "") for anything else."""
    kind, _, name = stream.partition("/")
    if kind in ("models", "environments") and is_name(name):
        return kind, name
    return "", ""


def version_name(model: str, version: int) -> str:
    """Resource name of a version; also the subject its artifact is signed for."""
    return f"{model_stream(model)}/{version_subject(version)}"


def release_name(model: str, release: int) -> str:
    """Resource name of a release."""
    return f"{model_stream(model)}/{release_subject(release)}"


def alias_name(model: str, alias: str) -> str:
    """Resource name of an alias."""
    return f"{model_stream(model)}/aliases/{alias}"


def version_subject(version: int) -> str:
    """A version within its model's stream."""
    return f"versions/{version}"


def release_subject(release: int) -> str:
    """A release within its model's stream."""
    return f"releases/{release}"


def short_name(name: str) -> str:
    """What a model or an environment is called in its resource name, which is also its stream's."""
    return name.partition("/")[2]


def split_name(name: str, kind: str) -> str | None:
    """The name in {kind}/{name}, kind being "models" or "environments"; None for another form."""
    match = _TOP.fullmatch(name)
    return match["name"] if match and match["kind"] == kind else None


def split_numbered(name: str, kind: str) -> tuple[str, int] | None:
    """Model and number in models/{model}/{kind}/{number}, kind being "versions" or "releases"; None otherwise."""
    match = _BELOW_MODEL.fullmatch(name)
    if match is None or match["kind"] != kind or not NUMBER.fullmatch(match["id"]):
        return None
    return match["model"], int(match["id"])


def split_alias(name: str) -> tuple[str, str] | None:
    """Model and alias in models/{model}/aliases/{alias}; None for another form."""
    match = _BELOW_MODEL.fullmatch(name)
    return (match["model"], match["id"]) if match and match["kind"] == "aliases" else None
