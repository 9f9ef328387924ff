"""The gateway's settings, read from environment variables."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from headgate.domain.names import NAME_RULE, is_name
from headgate.lifecycle.artifact_setting import ArtifactSettings
from headgate.lifecycle.service_parts import replica_name
from headgate.runtime.settings import ABOVE_ZERO, CHECK, HOST
from services.gateway.prediction_log.sampling import MAX_CONTENT_BYTES, models_of, rates_of, require_rate


def _require_environment(name: str) -> None:
    if not is_name(name):
        raise ValueError(NAME_RULE)


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
"""The name of a header or of a cookie, by RFC 9110 and RFC 6265."""


def _require_header(name: str) -> None:
    if name and (not _TOKEN.fullmatch(name) or name != name.lower() or name.startswith("grpc-")):
        raise ValueError("expected the name of a header in lower case that does not begin with grpc-")


def _require_cookie(name: str) -> None:
    if name and not _TOKEN.fullmatch(name):
        raise ValueError("expected the name of a cookie: up to 64 letters, digits and -_.")


H2CORN, GRPCIO = "h2corn", "grpcio"


MIN_MEMORY_BYTES = 2**20
"""No version fits into less."""


def _require_front(name: str) -> None:
    if name not in (H2CORN, GRPCIO):
        raise ValueError(f"expected {H2CORN} or {GRPCIO}")


def _require_memory(size: int) -> None:
    if size and size < MIN_MEMORY_BYTES:
        raise ValueError(f"expected bytes from {MIN_MEMORY_BYTES} up, or 0")


MAX_WORKERS = 64


def _require_workers(count: int) -> None:
    if not 1 <= count <= MAX_WORKERS:
        raise ValueError(f"expected processes from 1 to {MAX_WORKERS}")


def _require_content_bytes(size: int) -> None:
    if not 0 <= size <= MAX_CONTENT_BYTES:
        raise ValueError(f"expected bytes from 0 to {MAX_CONTENT_BYTES}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ArtifactSettings):
    name: str = replica_name("gateway-0")
    keys: Path
    """Directory of the trusted keys."""
    environment: str = field(default="production", metadata={CHECK: _require_environment})
    routing_header: str = field(default="", metadata={CHECK: _require_header})
    """Header with a caller's routing key, beside x-routing-key. Empty for none."""
    routing_cookie: str = field(default="", metadata={CHECK: _require_cookie})
    """Cookie with a caller's routing key. Empty for none."""
    gateway_front: str = field(default=H2CORN, metadata={CHECK: _require_front})
    """The engine of the gRPC port: h2corn, or grpcio, which costs two to three times the CPU time."""
    gateway_workers: int = field(default=1, metadata={CHECK: _require_workers})
    """How many processes answer on the same ports."""
    rest_port: int = 0
    """The port of the REST server; 0 for any free port."""
    model_memory_bytes: int = field(default=0, metadata={CHECK: _require_memory})
    """The memory that loaded versions may take; 0 for a share of the machine's, or of the container's."""
    edge_port: int = 0
    """The port of the gRPC server for devices; 0 for no such server."""
    edge_client_ca: Path | None = None
    """PEM file with the authority of the devices' certificates; without it, that of all callers."""
    micro_batching: bool = True
    """Whether requests that wait together for a slow version run as one forward, where its export allows it."""
    advertise: str = field(default="127.0.0.1", metadata={HOST: True})
    """Host name or address of this gateway for other processes. The gateway's status contains it."""
    prediction_rate: float = field(default=0.0, metadata={CHECK: require_rate})
    """The share of predictions that are recorded in the prediction log, from 0 to 1."""
    prediction_rates: str = field(default="", metadata={CHECK: rates_of})
    """The same share for single models, such as `fraud=1,churn=0`."""
    prediction_inputs_left_out: str = field(default="", metadata={CHECK: models_of})
    """Models whose inputs are not recorded, such as `patients,loans`; `*` for all."""
    predictions_per_second: float = field(default=100.0, metadata={ABOVE_ZERO: True})
    """How many predictions this gateway records in a second at most."""
    prediction_content_bytes: int = field(default=16_384, metadata={CHECK: _require_content_bytes})
    """The most bytes of tensors in one record; of larger ones it has the shape and the SHA-256."""
