"""What decisions on calls need to know, from the fold: grants, tokens, labels of models, environments of releases."""

from collections.abc import Sequence

from headgate.access.folded import grants_of
from headgate.access.grants import ALL, Grants
from headgate.lifecycle.follower import LifecycleFold
from headgate.v1 import resources_pb2 as resources


class FoldedAccess:
    """Thread-safe. Grants and tokens are put in order once for each change of the access stream."""

    def __init__(self, fold: LifecycleFold, administrators: Sequence[str] = (), served: str = ALL) -> None:
        self.served = served
        self._fold, self._administrators = fold, tuple(administrators)
        self._sequence = -1
        self._grants = Grants()
        self._tokens: dict[str, resources.Token] = {}

    def grants(self) -> Grants:
        """All grants that hold now."""
        with self._fold.lock:
            self._follow()
            return self._grants

    def token(self, sha256: str) -> resources.Token | None:
        """The token with this digest; None when there is none, or when it was revoked."""
        with self._fold.lock:
            self._follow()
            return self._tokens.get(sha256)

    def labels(self, model: str) -> dict[str, str]:
        with self._fold.lock:
            state = self._fold.models.get(model)
            return dict(state.model.labels) if state else {}

    def environment_of(self, model: str, release: int) -> str:
        with self._fold.lock:
            state = self._fold.models.get(model)
            found = state.releases.get(release) if state else None
            return found.environment if found else ""

    def bounds_of(self, kind: str, name: str) -> tuple[str, str] | None:
        with self._fold.lock:
            access = self._fold.access
            grant = access.grants.get(name)
            found = access.tokens.get(name) if kind == "token" else grant if grant and not grant.deny else None
            return (found.models, found.environments) if found else None

    def _follow(self) -> None:
        access = self._fold.access
        if access.sequence == self._sequence:
            return
        self._grants = grants_of(access, self._administrators)
        self._tokens = {token.sha256: token for token in access.tokens.values()}
        self._sequence = access.sequence
