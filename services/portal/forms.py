"""Reads a posted form, and checks that it comes from a page of this sign-in."""

from collections.abc import Mapping
from hmac import compare_digest
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 32
WORD_HEADER = "x-form-word"
WORD_FIELD = "word"
"""The word of a session stands in the first HTML of a page, which no other site can read."""


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, each once. Raises HTTPException."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise HTTPException(415, f"expected a form: content-type {FORM}")
    try:
        return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise HTTPException(400, f"expected a form of UTF-8 with at most {MAX_FIELDS} fields") from error


def require_word(request: Request, word: str, form: Mapping[str, str]) -> None:
    """Raises HTTPException when the request does not repeat the word of its session."""
    shown = request.headers.get(WORD_HEADER) or form.get(WORD_FIELD, "")
    if not compare_digest(shown.encode(), word.encode()):
        raise HTTPException(403, "this page is older than the sign-in: load it again")
