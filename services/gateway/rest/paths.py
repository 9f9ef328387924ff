"""Which method of the protocol a path names."""

from enum import Enum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

MAX_REMEMBERED_PATHS = 1_024

GET = frozenset({b"GET", b"HEAD"})
POST = frozenset({b"POST"})


class Method(Enum):
    """The methods of the protocol, by the names that the metrics show."""

    SERVER_METADATA = "ServerMetadata"
    SERVER_LIVE = "ServerLive"
    SERVER_READY = "ServerReady"
    MODEL_METADATA = "ModelMetadata"
    MODEL_READY = "ModelReady"
    MODEL_CONFIG = "ModelConfig"
    MODEL_STATISTICS = "ModelStatistics"
    MODEL_INFER = "ModelInfer"
    REPOSITORY_INDEX = "RepositoryIndex"
    REPOSITORY_LOAD = "RepositoryModelLoad"
    REPOSITORY_UNLOAD = "RepositoryModelUnload"


class Path(NamedTuple):
    """What a path names. `model` and `version` are empty where it names none."""

    method: Method
    verbs: frozenset[bytes]
    model: str = ""
    version: str = ""


_OF_SERVER = {
    ("v2",): Path(Method.SERVER_METADATA, GET),
    ("v2", "health", "live"): Path(Method.SERVER_LIVE, GET),
    ("v2", "health", "ready"): Path(Method.SERVER_READY, GET),
    ("v2", "models", "stats"): Path(Method.MODEL_STATISTICS, GET),
    ("v2", "repository", "index"): Path(Method.REPOSITORY_INDEX, POST),
}
_OF_MODEL = {
    (): (Method.MODEL_METADATA, GET),
    ("ready",): (Method.MODEL_READY, GET),
    ("config",): (Method.MODEL_CONFIG, GET),
    ("stats",): (Method.MODEL_STATISTICS, GET),
    ("infer",): (Method.MODEL_INFER, POST),
}
_OF_REPOSITORY = {"load": Method.REPOSITORY_LOAD, "unload": Method.REPOSITORY_UNLOAD}


@lru_cache(MAX_REMEMBERED_PATHS)
def find_path(target: bytes) -> Path | None:
    """The path of a request's target, or None for a path that the protocol does not have."""
    try:
        parts = tuple(unquote(part, errors="strict") for part in urlsplit(target).path.decode("ascii").split("/"))
    except (UnicodeDecodeError, ValueError):
        return None
    parts = parts[1:-1] if parts[-1] == "" else parts[1:]
    if parts in _OF_SERVER:
        return _OF_SERVER[parts]
    match parts:
        case ("v2", "models", model, "versions", version, *rest) if model and version:
            return _model_path(model, version, rest)
        case ("v2", "models", model, *rest) if model:
            return _model_path(model, "", rest)
        case ("v2", "repository", "models", model, verb) if model and verb in _OF_REPOSITORY:
            return Path(_OF_REPOSITORY[verb], POST, model)
    return None


def _model_path(model: str, version: str, rest: list[str]) -> Path | None:
    found = _OF_MODEL.get(tuple(rest))
    return None if found is None else Path(*found, model, version)
