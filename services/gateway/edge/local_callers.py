"""Who may ask a device for predictions: every program of its machine, or those that have one token.

A device knows no grants: it follows its gateway from a network that nobody trusts, and needs no list of who may do
what.
"""

from collections.abc import Mapping
from pathlib import Path

from headgate.access.grants import ALL, Bound, Grant, Grants, Target
from headgate.access.roles import Role
from headgate.client.bearer import TokenUnusable, digest_in
from headgate.domain.names import TOKEN_PREFIX
from headgate.runtime.authentication.authenticator import Authenticator
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.call_check import CallCheck
from headgate.runtime.settings import SettingsError
from headgate.v1 import resources_pb2 as resources
from services.gateway.callers import Callers

CALLER = "caller"


class LocalAccess:
    """One token, for all models of the device. It holds as long as the device runs."""

    def __init__(self, served: str, sha256: str) -> None:
        self.served, self._sha256 = served, sha256
        self._held = resources.Token(token=CALLER, sha256=sha256)
        self._grants = Grants([Grant(CALLER, TOKEN_PREFIX + CALLER, Role.PREDICTOR, Bound(ALL), Bound(ALL))])

    def grants(self) -> Grants:
        return self._grants

    def token(self, sha256: str) -> resources.Token | None:
        """The token of this digest; None for any other."""
        return self._held if sha256 == self._sha256 else None

    def target(self, model: str) -> Target:
        return Target(model, self.served)

    def labels(self, model: str) -> Mapping[str, str]:
        return {}

    def environment_of(self, model: str, release: int) -> str:
        return ""

    def bounds_of(self, kind: str, name: str) -> tuple[str, str] | None:
        return None


def local_callers(file: Path | None, environment: str, metrics: Metrics) -> Callers | None:
    """Who decides on calls, by the secret in the file; None without a file. Raises SettingsError."""
    if file is None:
        return None
    try:
        access = LocalAccess(environment, digest_in(file))
    except TokenUnusable as error:
        raise SettingsError([f"--caller-token: {error}"]) from error
    return Callers(CallCheck(Authenticator(access.token, lambda: -1), access, metrics), access)
