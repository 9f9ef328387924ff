"""What the portal reads from its environment."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headgate.domain.address import ADDRESS_RULE, is_address, is_loopback
from headgate.lifecycle.authentication_setting import AuthenticatedSettings
from headgate.lifecycle.service_parts import replica_name
from headgate.runtime.settings import CHECK

URL_RULE = "expected https://HOST or https://HOST:PORT without a path; http is for loopback alone"


def _require_address(text: str) -> None:
    if not is_address(text):
        raise ValueError(ADDRESS_RULE)


def _address(default: str) -> Any:
    return field(default=default, metadata={CHECK: _require_address})


def _require_url(text: str) -> None:
    parts = urlsplit(text)
    encrypted = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not (encrypted and parts.hostname) or parts.path not in ("", "/") or parts.query or "@" in parts.netloc:
        raise ValueError(URL_RULE)


def _require_openid(scope: str) -> None:
    if "openid" not in scope.split():
        raise ValueError("expected scopes with spaces between them, and openid among them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(AuthenticatedSettings):
    name: str = replica_name("portal-0")
    console_port: int = 0
    """The HTTP port of the console; 0 for any free port. The gRPC port answers health alone."""
    console_url: str = field(default="", metadata={CHECK: _require_url})
    """The address by which browsers reach the console. Without it they reach it by the loopback alone."""
    console_client_id: str = ""
    """The name under which the identity provider knows the console. Without it people cannot sign in there."""
    console_client_secret: Path | None = None
    """File with the console's secret at the provider. Without it the console is a public client."""
    console_scope: str = field(default="", metadata={CHECK: _require_openid})
    """What to ask the provider for. Without it: openid, and a renewal if there is one."""
    console_audience: str = ""
    """For whom the provider is to make the token, where it asks for it."""
    registry: str = _address("127.0.0.1:7400")
    trainer: str = _address("127.0.0.1:7401")
    evaluator: str = _address("127.0.0.1:7402")
    deployer: str = _address("127.0.0.1:7403")
    edge: str = field(default="", metadata={CHECK: _require_address})
    """The gateway's server for devices, for ListDevices over HTTP. Without it this call is not answered."""
    webhook_secrets: Path | None = None
    """Folder with the secrets of webhooks, one file for each name. Without it no delivery is taken."""
    tls_ca: Path | None = None
    """PEM file with the authority of the services that the portal calls. Without it the calls are plain text."""

    @property
    def browsers_encrypt(self) -> bool:
        """Whether browsers reach the console by TLS: its own, or that of what stands before it."""
        return self.tls_certificate is not None or urlsplit(self.console_url).scheme == "https"
