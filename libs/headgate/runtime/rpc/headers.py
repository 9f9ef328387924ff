"""The headers by which a call says who makes it. Clients add them, and servers read them."""

ACTOR = "x-actor"
"""What the caller says of its name. It counts only where nobody has to prove a name."""
AUTHORIZATION = "authorization"
"""The caller's token, as `Bearer TOKEN`."""
