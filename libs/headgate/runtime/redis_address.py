"""The form of an address of a Redis server. It needs no Redis library."""

from urllib.parse import urlsplit

from headgate.domain.address import MAX_PORT

ADDRESS_RULE = (
    f"expected redis://host:port/db with a port from 1 to {MAX_PORT}, rediss:// for TLS; a user and a password stand"
    " before the host, with a : between them and an @ behind; in the password / is %2F, # is %23 and ? is %3F"
)


def require_address(url: str) -> None:
    """Raises ValueError for a URL that is not the address of a Redis server."""
    if not is_address(url):
        raise ValueError(ADDRESS_RULE)


def is_address(url: str) -> bool:
    """Whether the URL is the address of a Redis server."""
    try:
        parts = urlsplit(url)
        database = parts.path.strip("/")
        # An unescaped character of the password ends the host early, and another Redis would be asked.
        is_cut = "@" in url.partition("://")[2][len(parts.netloc) :]
        is_right = parts.port != 0 and (not database or database.isdecimal())
        return parts.scheme in ("redis", "rediss") and is_right and not is_cut and not parts.fragment
    except ValueError:  # the port is not a number
        return False
