"""The path that a file URL names. `Path.as_uri()` writes such a URL; nothing else should put one together."""

from pathlib import Path
from urllib.parse import unquote, urlsplit


def path_of(url: str) -> Path:
    """The absolute path in `file:///path`, with its escapes such as %20 undone. Raises ValueError with the reason."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise ValueError("the path of a file URL begins after three slashes")
    refuse_unescaped(url)
    return Path(unquote(parts.path))


def refuse_unescaped(url: str) -> None:
    """Raises ValueError for a URL with a ? or a #: they end its path, and what follows would be left out."""
    if "?" in url or "#" in url:
        raise ValueError("in the path of a URL, ? is written as %3F and # as %23")
