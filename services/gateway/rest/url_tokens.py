"""Finds a token in the query of an address, where logs, proxies and histories of shells keep it."""

from urllib.parse import parse_qsl, urlsplit

from headgate.domain.known_tokens import without_tokens

NAMES = frozenset({"token", "access_token", "id_token", "bearer", "authorization", "auth", "jwt", "api_key", "apikey"})
RULE = (
    "the address has a token, and others can read addresses: send it as the header authorization: Bearer TOKEN, and "
    "revoke this one"
)


def has_token(target: bytes) -> bool:
    """Whether the query of a request's target has a token, by the name of a parameter or by its form."""
    query = urlsplit(target).query.decode("ascii", errors="replace")
    found = parse_qsl(query, keep_blank_values=True)
    return any(name.lower() in NAMES or without_tokens(value) != value for name, value in found)
