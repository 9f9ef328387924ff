"""Names of streams and resources, and the one rule for what a name may look like."""

import re

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
NAME_RULE = "a name has 1 to 63 of a-z, 0-9, - and _, and starts with a letter or digit"

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
    return f"models/{model}/versions/{version}"


def release_name(model: str, release: int) -> str:
    """Resource name of a release."""
    return f"models/{model}/releases/{release}"
