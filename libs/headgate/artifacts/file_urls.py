"""The path that a file URL names. `Path.as_uri()` writes such a URL; nothing else should put one together."""

from pathlib import Path
from urllib.parse import unquote, urlsplit


def path_of(url: str) -> Path:
    """The absolute path in `file:///path`, with its escapes such as %20 undone. Raises ValueError with the reason."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise ValueError("the path of a file URL begins after three slashes")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError("in the path of a file URL, ? is written as %3F and # as %23")
    return Path(unquote(parts.path))
