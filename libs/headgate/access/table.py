"""Who may call what: each method has exactly one row. A server with a method without a row does not start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from headgate.access.roles import BITS, Action

READ, PUBLISH, APPROVE, RELEASE = Action.READ, Action.PUBLISH, Action.APPROVE, Action.RELEASE
ABORT, OPERATE, ADMINISTER, GRANT, PREDICT, FOLLOW = (
    Action.ABORT,
    Action.OPERATE,
    Action.ADMINISTER,
    Action.GRANT,
    Action.PREDICT,
    Action.FOLLOW,
)


class Resource(Enum):
    """What a method is about, for people who read the table."""

    MODEL = "model"
    VERSION = "version"
    RELEASE = "release"
    ENVIRONMENT = "environment"
    HISTORY = "history"
    BLOB = "blob"
    ATTEMPT = "attempt"
    PREDICTION = "prediction"
    DEVICE = "device"
    ACCESS = "access"
    SERVER = "server"


class Scope(Enum):
    """What a grant must cover."""

    OPEN = auto()
    """Nothing: everybody may call it, proven or not."""
    ANYWHERE = auto()
    """Something: a grant of the action for any model or environment is enough."""
    EVERYWHERE = auto()
    """All models and all environments."""
    MODEL = auto()
    """The model that the field names, as {model} or models/{model}/...; all models for models/- and without a field."""
    ENVIRONMENT = auto()
    """The environment that the field names, as {environment} or environments/{environment}."""
    RELEASE = auto()
    """The model and the environment of the release that the field names."""
    START = auto()
    """The model that the field names, in the environment that the field `environment` names."""
    VISIBLE = auto()
    """The model that the field names. For models/- and without a field a grant for anything is enough: the method shows
    its caller only what it may read one by one.
    """
    STREAM = auto()
    """The model or the environment whose stream the field names; everything when it is empty."""
    STREAMS = auto()
    """The same, but when it is empty, the method shows its caller only the streams that it may read one by one."""
    BOUNDS = auto()
    """What the fields `models` and `environments` name; all of them for more than one name, and for a deny."""
    GRANTED = auto()
    """The bounds of the grant or the token that the field names; everything for a deny."""
    EXPLAINED = auto()
    """What the field names as people do: models/{model}, environments/{environment}, models/{model}@{environment}."""
    SERVED = auto()
    """The model that the field names, or all without a field, in the environment that the gateway serves."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a subject needs for one method: this action on what a field of the request names, by the scope."""

    resource: Resource
    action: Action
    scope: Scope
    named_by: str = ""
    bit: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bit", BITS[self.action])


class MethodWithoutRow(Exception):
    """A server was given a method that the table does not know, so nobody decides who may call it."""


def _rows(service: str, rows: Mapping[str, tuple[Any, ...]]) -> dict[str, Row]:
    return {f"/{service}/{method}": Row(*row) for method, row in rows.items()}


_MODEL, _VERSION, _RELEASE, _ENVIRONMENT = (
    Resource.MODEL,
    Resource.VERSION,
    Resource.RELEASE,
    Resource.ENVIRONMENT,
)
_PREDICTION, _DEVICE, _SERVER, _BLOB = Resource.PREDICTION, Resource.DEVICE, Resource.SERVER, Resource.BLOB
_ACCESS = Resource.ACCESS

TABLE: Mapping[str, Row] = {
    **_rows(
        "headgate.v1.RegistryService",
        {
            "CreateModel": (_MODEL, PUBLISH, Scope.MODEL, "model"),
            "GetModel": (_MODEL, READ, Scope.MODEL, "name"),
            "ListModels": (_MODEL, READ, Scope.VISIBLE),
            "WatchModels": (_MODEL, READ, Scope.VISIBLE),
            "UpdateModel": (_MODEL, PUBLISH, Scope.MODEL, "name"),
            # A grant may be for all models with a label, so whoever sets labels gives and takes rights.
            "LabelModel": (_MODEL, ADMINISTER, Scope.MODEL, "name"),
            # Whoever may push there publishes from then on.
            "AddRepository": (_MODEL, ADMINISTER, Scope.MODEL, "name"),
            "RemoveRepository": (_MODEL, ADMINISTER, Scope.MODEL, "name"),
            "SetAlias": (_MODEL, PUBLISH, Scope.MODEL, "parent"),
            "DeleteAlias": (_MODEL, PUBLISH, Scope.MODEL, "parent"),
            "CreateVersion": (_VERSION, PUBLISH, Scope.MODEL, "parent"),
            "GetVersion": (_VERSION, READ, Scope.MODEL, "name"),
            "ListVersions": (_VERSION, READ, Scope.VISIBLE, "parent"),
            "WatchVersions": (_VERSION, READ, Scope.VISIBLE, "parent"),
            "ListAttestations": (_VERSION, READ, Scope.MODEL, "parent"),
            "TagVersion": (_VERSION, PUBLISH, Scope.MODEL, "name"),
            "CancelVersion": (_VERSION, PUBLISH, Scope.MODEL, "name"),
            "ApproveVersion": (_VERSION, APPROVE, Scope.MODEL, "name"),
            "DenyVersion": (_VERSION, APPROVE, Scope.MODEL, "name"),
            "WaiveGate": (_VERSION, ADMINISTER, Scope.MODEL, "name"),
            "ArchiveVersion": (_VERSION, OPERATE, Scope.MODEL, "name"),
            "PurgeVersion": (_VERSION, ADMINISTER, Scope.MODEL, "name"),
            "QuarantineVersion": (_VERSION, ABORT, Scope.MODEL, "name"),
            "LiftQuarantine": (_VERSION, OPERATE, Scope.MODEL, "name"),
            "ListHistory": (Resource.HISTORY, READ, Scope.STREAM, "stream"),
            "WatchHistory": (Resource.HISTORY, READ, Scope.STREAMS, "stream"),
            "Explain": (Resource.HISTORY, READ, Scope.MODEL, "name"),
            "GetFoldDigest": (Resource.HISTORY, READ, Scope.EVERYWHERE),
            "GetLogTime": (_SERVER, READ, Scope.ANYWHERE),
        },
    ),
    **_rows(
        "headgate.v1.ReleaseService",
        {
            "StartRelease": (_RELEASE, RELEASE, Scope.START, "parent"),
            "GetRelease": (_RELEASE, READ, Scope.MODEL, "name"),
            "ListReleases": (_RELEASE, READ, Scope.VISIBLE, "parent"),
            "WatchRelease": (_RELEASE, READ, Scope.MODEL, "name"),
            "PauseRelease": (_RELEASE, ABORT, Scope.RELEASE, "name"),
            "ResumeRelease": (_RELEASE, RELEASE, Scope.RELEASE, "name"),
            "PromoteRelease": (_RELEASE, RELEASE, Scope.RELEASE, "name"),
            "AbortRelease": (_RELEASE, ABORT, Scope.RELEASE, "name"),
            "UndoRelease": (_RELEASE, RELEASE, Scope.RELEASE, "name"),
            "CreateEnvironment": (_ENVIRONMENT, ADMINISTER, Scope.ENVIRONMENT, "environment"),
            "GetEnvironment": (_ENVIRONMENT, READ, Scope.ANYWHERE),
            "ListEnvironments": (_ENVIRONMENT, READ, Scope.ANYWHERE),
            "SetPolicy": (_ENVIRONMENT, ADMINISTER, Scope.ENVIRONMENT, "name"),
            "DeclareFreeze": (_ENVIRONMENT, OPERATE, Scope.ENVIRONMENT, "name"),
            "LiftFreeze": (_ENVIRONMENT, OPERATE, Scope.ENVIRONMENT, "name"),
        },
    ),
    **_rows(
        "headgate.v1.AccessService",
        {
            "GrantRole": (_ACCESS, GRANT, Scope.BOUNDS),
            "RevokeRole": (_ACCESS, GRANT, Scope.GRANTED, "grant"),
            "ListGrants": (_ACCESS, READ, Scope.VISIBLE),
            "CreateToken": (_ACCESS, GRANT, Scope.BOUNDS),
            "RevokeToken": (_ACCESS, GRANT, Scope.GRANTED, "token"),
            "ListTokens": (_ACCESS, READ, Scope.VISIBLE),
            "ExplainAccess": (_ACCESS, READ, Scope.EXPLAINED, "resource"),
        },
    ),
    **_rows(
        "headgate.v1.TrainerService",
        {
            "ListAttempts": (Resource.ATTEMPT, READ, Scope.VISIBLE),
            "WatchEpochs": (Resource.ATTEMPT, READ, Scope.MODEL, "name"),
            "WatchLogs": (Resource.ATTEMPT, READ, Scope.MODEL, "name"),
        },
    ),
    **_rows(
        "headgate.v1.ArtifactService",
        # A blob belongs to no model until a version names it.
        {
            "GetBlob": (_BLOB, PUBLISH, Scope.ANYWHERE),
            "UploadBlob": (_BLOB, PUBLISH, Scope.ANYWHERE),
            "FetchBlob": (_BLOB, PUBLISH, Scope.ANYWHERE),
        },
    ),
    **_rows("headgate.v1.EvaluatorService", {"Evaluate": (_VERSION, OPERATE, Scope.MODEL, "name")}),
    **_rows("headgate.v1.DeployerService", {"ListPilots": (_RELEASE, READ, Scope.VISIBLE)}),
    **_rows(
        "headgate.v1.EdgeService",
        {
            "WatchRoutes": (_DEVICE, FOLLOW, Scope.ENVIRONMENT, "environment"),
            "ReadArtifact": (_DEVICE, FOLLOW, Scope.ENVIRONMENT, "environment"),
            "ReportDevice": (_DEVICE, FOLLOW, Scope.ENVIRONMENT, "environment"),
            "ListDevices": (_DEVICE, READ, Scope.VISIBLE),
        },
    ),
    **_rows(
        "inference.GRPCInferenceService",
        {
            "ServerLive": (_SERVER, READ, Scope.OPEN),
            "ServerReady": (_SERVER, READ, Scope.OPEN),
            "ServerMetadata": (_SERVER, PREDICT, Scope.ANYWHERE),
            "ModelReady": (_PREDICTION, PREDICT, Scope.SERVED, "name"),
            "ModelMetadata": (_PREDICTION, PREDICT, Scope.SERVED, "name"),
            "ModelConfig": (_PREDICTION, PREDICT, Scope.SERVED, "name"),
            "ModelStatistics": (_PREDICTION, PREDICT, Scope.SERVED, "name"),
            "ModelInfer": (_PREDICTION, PREDICT, Scope.SERVED, "model_name"),
            "ModelStreamInfer": (_PREDICTION, PREDICT, Scope.SERVED, "model_name"),
            # It shows the models that its caller may ask.
            "RepositoryIndex": (_PREDICTION, PREDICT, Scope.ANYWHERE),
            "RepositoryModelLoad": (_PREDICTION, OPERATE, Scope.SERVED, "model_name"),
            "RepositoryModelUnload": (_PREDICTION, OPERATE, Scope.SERVED, "model_name"),
        },
    ),
    **_rows(
        "grpc.health.v1.Health",
        dict.fromkeys(("Check", "List", "Watch"), (_SERVER, READ, Scope.OPEN)),
    ),
    **{
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo": Row(_SERVER, READ, Scope.OPEN)
        for version in ("v1", "v1alpha")
    },
}
"""The whole rule of who may call what, by the path of each gRPC method. REST has the rows of its gRPC methods."""


def row_of(method: str) -> Row:
    """The row of a method by its path, /package.Service/Method. Raises MethodWithoutRow."""
    row = TABLE.get(method)
    if row is None:
        raise MethodWithoutRow(f"{method} has no row in headgate.access.table: who may call it?")
    return row
