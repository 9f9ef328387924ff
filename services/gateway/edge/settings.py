"""The settings of a device. `headgate edge` sets them from its options."""

from dataclasses import dataclass, field
from pathlib import Path

from headgate.domain.address import ADDRESS_RULE, is_address
from headgate.domain.names import MODEL_NAME_RULE, NAME_RULE, REPLICA_RULE, is_model_name, is_name, is_replica_name
from headgate.runtime.settings import ABOVE_ZERO, CHECK

PREFIX = "HEADGATE_EDGE_"
MAX_MODELS = 1_000


def _require_environment(name: str) -> None:
    if not is_name(name):
        raise ValueError(NAME_RULE)


def _require_device(name: str) -> None:
    if not is_replica_name(name):
        raise ValueError(REPLICA_RULE)


def addresses_of(text: str) -> tuple[str, ...]:
    """The addresses, which are separated by commas. Raises ValueError."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found or not all(map(is_address, found)):
        raise ValueError(ADDRESS_RULE)
    return found


def models_of(text: str) -> tuple[str, ...]:
    """The names of models, which are separated by commas. Raises ValueError."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(map(is_model_name, found)):
        raise ValueError(MODEL_NAME_RULE)
    if len(found) > MAX_MODELS:
        raise ValueError(f"expected {MAX_MODELS} models at most")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    environment: str = field(metadata={CHECK: _require_environment})
    source: str = field(metadata={CHECK: addresses_of})
    """Addresses of the gateways' servers for devices, separated by commas."""
    device: str = field(metadata={CHECK: _require_device})
    """The name of the device, unique in the environment and the same after a restart."""
    state: Path
    """The folder in which the device keeps its routes, files and counts."""
    keys: Path
    """Directory of the trusted keys."""
    encryption_key: Path | None = None
    """File with the key that encrypts the model files on the disk; without it, one in the state folder."""
    tls_ca: str = ""
    """The authority of the gateways' certificates, as a file; empty to call without TLS."""
    tls_client_certificate: str = ""
    tls_client_key: str = ""
    token_file: Path | None = None
    """File with the token by which the device proves who it is. It is read at each try, so it can be replaced."""
    caller_token: Path | None = None
    """File with the secret that local callers must send. Without it every program of this machine may predict."""
    models: str = field(default="", metadata={CHECK: models_of})
    """The models to serve, separated by commas; empty for all of the environment."""
    port: int = 0
    rest_port: int = 0
    metrics_port: int = 0
    disk_mib: int = field(default=4_096, metadata={ABOVE_ZERO: True})
    """The most MiB of model files on the disk."""
    grace_seconds: float = 10.0
