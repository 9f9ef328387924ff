"""What decisions on predictions need to know, as the gateway's fold has it. A call waits for no lock of the fold.

The fold's thread brings it up to date with each fact before anybody is told of that fact. So a grant or a token that is
revoked ends with the reading of its fact.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from headgate.access.folded import grants_of
from headgate.access.grants import Grants, Target
from headgate.domain.names import ACCESS_STREAM, split_stream
from headgate.domain.state import AccessState, ModelState
from headgate.log.port import LogUnavailable, Record
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

NOT_READ = "this gateway has not read yet who may ask what; try again soon"
NO_LABELS: Mapping[str, str] = {}


class Fold(Protocol):
    """The part of LifecycleFold that is used here."""

    @property
    def lock(self) -> threading.RLock: ...

    @property
    def models(self) -> Mapping[str, ModelState]: ...

    @property
    def access(self) -> AccessState: ...

    def on_accepted(self, listener: Callable[[Record, facts.LifecycleRecord], None]) -> None: ...


class ServedAccess:
    """Every method may be called on any thread. Grants and tokens raise LogUnavailable before `begin`."""

    def __init__(self, fold: Fold, served: str, administrators: Sequence[str] = ()) -> None:
        self.served = served
        self._fold, self._administrators = fold, tuple(administrators)
        self._grants: Grants | None = None
        self._tokens: Mapping[str, resources.Token] = {}
        self._labels: dict[str, Mapping[str, str]] = {}

    def begin(self) -> None:
        """Takes the state of the fold over, and follows it from then on. Call it once the fold has caught up."""
        with self._fold.lock:
            if self._grants is not None:
                return
            models = self._fold.models.items()
            self._labels = {name: dict(state.model.labels) for name, state in models if state.model.labels}
            self._take_access()
            self._fold.on_accepted(self._follow)

    def grants(self) -> Grants:
        """All grants that hold now."""
        if self._grants is None:
            raise LogUnavailable(NOT_READ)
        return self._grants

    def token(self, sha256: str) -> resources.Token | None:
        """The token with this digest; None when there is none, or when it was revoked."""
        if self._grants is None:
            raise LogUnavailable(NOT_READ)
        return self._tokens.get(sha256)

    def labels(self, model: str) -> Mapping[str, str]:
        """The labels of a model; none for one that does not exist."""
        return self._labels.get(model, NO_LABELS)

    def target(self, model: str) -> Target:
        """The model in the environment that is served here."""
        return Target(model, self.served, self._labels.get(model, NO_LABELS))

    def environment_of(self, model: str, release: int) -> str:
        """Nothing here is about a release."""
        return ""

    def bounds_of(self, kind: str, name: str) -> tuple[str, str] | None:
        """Nothing here is about a grant."""
        return None

    def _follow(self, record: Record, accepted: facts.LifecycleRecord) -> None:
        if accepted.stream == ACCESS_STREAM:
            self._take_access()
            return
        kind, name = split_stream(accepted.stream)
        state = self._fold.models.get(name) if kind == "models" else None
        if state is not None and (state.model.labels or name in self._labels):
            self._labels[name] = dict(state.model.labels)

    def _take_access(self) -> None:
        access = self._fold.access
        grants = grants_of(access, self._administrators)
        # The tokens first: a token that is gone proves nobody, whatever the grants are.
        self._tokens = {token.sha256: token for token in access.tokens.values()}
        self._grants = grants
