"""The body of a request, read within a number of bytes and a time."""

import asyncio

from starlette.datastructures import Headers
from starlette.requests import Request

BODY_SECONDS = 30.0
"""How long a body may take to come."""


class BodyTooLarge(Exception):
    """The body has more bytes than may come, or says that it has."""


class BodyTooSlow(Exception):
    """The body was not whole after BODY_SECONDS."""


def declares_too_much(headers: Headers, most_bytes: int) -> bool:
    """Whether the header content-length is above the limit, or no number."""
    declared = headers.get("content-length", "0")
    return not declared.isdecimal() or int(declared[:20]) > most_bytes


async def whole_body(request: Request, most_bytes: int) -> bytes:
    """All of the body. Raises BodyTooLarge, BodyTooSlow and ClientDisconnect."""
    if declares_too_much(request.headers, most_bytes):
        raise BodyTooLarge
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                found += part
                if len(found) > most_bytes:
                    raise BodyTooLarge
    except TimeoutError:
        raise BodyTooSlow from None
    return bytes(found)
