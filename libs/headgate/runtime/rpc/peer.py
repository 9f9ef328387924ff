"""Who is at the other end of a call, by the certificate that this server has verified."""

from typing import Any

PEER_URI = "peer_uri"
"""gRPC's own name for the URIs in a certificate."""


def peer_uris(context: Any) -> tuple[str, ...]:
    """The URIs in the caller's certificate, such as `spiffe://headgate/user/alice`; none without a certificate.

    `context` is the context of a call of grpc, of grpc.aio or of the gateway's ASGI server.
    """
    found = context.auth_context().get(PEER_URI, ())
    return tuple(uri.decode(errors="replace") for uri in found)


def peer_field(context: Any) -> str:
    """The same in one text, for a log line."""
    return " ".join(peer_uris(context))
