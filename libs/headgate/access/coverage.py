"""Refuses a server that was given a method without a row: nobody would decide who may call it."""

from collections.abc import Mapping
from typing import Any

from headgate.access.table import row_of


class CoveredServer:
    """Stands before a server while its servicers are added. Everything else goes to the server itself."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Adds the methods of a service. Raises MethodWithoutRow."""
        for method in handlers:
            row_of(f"/{service}/{method}")
        self._server.add_registered_method_handlers(service, handlers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)
