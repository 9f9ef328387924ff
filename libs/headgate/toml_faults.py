"""Why a text is not TOML, in words for its author, with the line."""

import re
import sys

MAX_KEYS = 2_500
"""How many parts a dotted key may have. The time in which tomllib reads one grows with the square of their number."""

_DEEP = re.compile(rf"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_KEYS},}}""")
_AT_END = "(at end of document)"


def too_deep(text: str) -> bool:
    """Whether a key has more parts than MAX_KEYS."""
    return text.count(".") >= MAX_KEYS and _DEEP.search(text) is not None


def why_not_toml(text: str, error: ValueError) -> str:
    """What tomllib found, with the line also where it names none: at the end, and of a number with too many digits."""
    limit = sys.get_int_max_str_digits()
    if limit and (long := re.search(rf"[0-9_]{{{limit + 1},}}", text)):
        return f"expected numbers of at most {limit} digits (at line {_line_at(text, long.start())})"
    fault = str(error)
    if fault.endswith(_AT_END):
        last = _line_at(text, len(text.rstrip()))
        fault = f"{fault.removesuffix(_AT_END)}(at line {last}, the end of the file)"
    return f"expected TOML, got {fault}"


def _line_at(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
