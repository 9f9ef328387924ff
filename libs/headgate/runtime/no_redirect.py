"""Keeps a request of the standard library at the address that was named: its answer is believed, or has a secret."""

import urllib.request
from typing import Any


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """An answer that leads elsewhere becomes an HTTPError."""

    def redirect_request(self, *_: Any) -> None:
        """Follows nothing."""
