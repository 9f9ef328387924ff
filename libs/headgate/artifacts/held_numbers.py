"""Decides which numbers a tensor can hold.

A whole number must stay the same. A fraction is rounded to the nearest value, as every decimal fraction is, while the
datatype still keeps its full precision there.
"""

import math
import operator
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import SupportsFloat, SupportsIndex

Number = int | float | Decimal
Hold = Callable[[Number, str], float | int]


@dataclass(frozen=True, slots=True)
class Floating:
    """A datatype of fractions: its code in `struct`, the bits of its precision, and its smallest normal value."""

    code: str
    """Empty for bfloat16, which `struct` does not know."""
    precision_bits: int
    smallest_normal: float


BF16 = "BF16"
FLOATING: Mapping[str, Floating] = {
    BF16: Floating("", 8, 2.0**-126),
    "FP16": Floating("<e", 11, 2.0**-14),
    "FP32": Floating("<f", 24, 2.0**-126),
    "FP64": Floating("<d", 53, 2.0**-1022),
}
WHOLE: Mapping[str, tuple[int, int]] = {
    f"{sign}INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if not sign else (0, 2**bits - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
"""The lowest and the highest value of each datatype of whole numbers."""
BF16_BYTES = 2
BF16_LOWEST_EXPONENT = -133
BF16_END = 2.0**128
MAX_DIGITS = 17
"""So many decimal digits tell every value of a floating datatype from all others."""
MAX_INT_DIGITS = 400
"""Python makes an int of at most 4,300 digits. No number of a datatype has as many as 400."""
EVERY_WHOLE_DOUBLE = 2**53
"""Beyond it a double is whole, whether a whole number was meant or not."""
MAX_SHOWN_CHARACTERS = 80
LONGEST_WHOLE = 10**40
LARGE_FLOAT = 1e20
"""From here on a float is shown as 1e+20. Every whole number of a datatype is below it."""


class CannotHold(ValueError):
    """A number would become another one. The message has it, and the nearest value or the range."""


def held(value: Number | SupportsIndex | SupportsFloat, datatype: str) -> float | int:
    """The value as a tensor of this datatype holds it. Infinity and NaN are values of the floating datatypes.

    Raises CannotHold for a number that would become another one.
    """
    number = _exact(value)
    if datatype in WHOLE:
        return _as_whole(number, datatype)
    floating = FLOATING[datatype]
    found = _nearest(number, floating)
    if found == number or number != number:
        return found
    lowest, highest = floating.smallest_normal, 2**floating.precision_bits
    # Not abs(number), because the absolute value of a Decimal is rounded.
    if not lowest <= number < highest and not -highest < number <= -lowest:
        raise _changed(number, datatype, found)
    return found


def nearest(value: Number | SupportsIndex | SupportsFloat, datatype: str) -> float | int:
    """As `held`, but a fraction of any size becomes the nearest value.

    Raises CannotHold for a whole number that would become another one, and for a number out of range.
    """
    number = _exact(value)
    if datatype in WHOLE:
        return _as_whole(number, datatype)
    found = _nearest(number, FLOATING[datatype])
    if found == number or number != number:
        return found
    is_whole = isinstance(number, int) or (-EVERY_WHOLE_DOUBLE < number < EVERY_WHOLE_DOUBLE and number == int(number))
    if is_whole or math.isinf(found):
        raise _changed(number, datatype, found)
    return found


def meant(text: Decimal, datatype: str, hold: Hold = held) -> float | int:
    """The value that a written number stands for, as `held` or `nearest` holds it. Raises CannotHold.

    With a point or an exponent it may be the shortest text of a value, as programs write it: FP32 has no 1e30.
    """
    exponent, digits = text.as_tuple().exponent, text.as_tuple().digits
    is_whole = exponent == 0 and len(digits) <= MAX_INT_DIGITS
    try:
        return hold(int(text) if is_whole else _of_double(text), datatype)
    except CannotHold:
        value = None if is_whole or datatype not in FLOATING else _of_shortest(text, FLOATING[datatype])
        if value is None:
            raise
        return value


def _of_double(text: Decimal) -> float | Decimal:
    """The double whose shortest text this is, or the number itself."""
    as_float = float(text)
    return as_float if math.isfinite(as_float) and Decimal(repr(as_float)) == text else text


def _of_shortest(text: Decimal, floating: Floating) -> float | None:
    """The value whose shortest text this is; None without one."""
    value = _nearest(text, floating)
    for digits in range(MAX_DIGITS):
        shortest = Decimal(f"{value:.{digits}e}")
        if _nearest(shortest, floating) == value:
            return value if shortest == text else None
    return None


def _changed(number: Number, datatype: str, found: float) -> CannotHold:
    return CannotHold(f"{datatype} cannot hold {_digits(number)}; the nearest value it has is {_digits(found)}")


def _exact(value: Number | SupportsIndex | SupportsFloat) -> Number:
    """The value as a type that Python compares exactly with any other number."""
    if isinstance(value, int | float | Decimal):
        return value
    return operator.index(value) if isinstance(value, SupportsIndex) else float(value)


def _as_whole(number: Number, datatype: str) -> int:
    lowest, highest = WHOLE[datatype]
    # The range first: a Decimal with an enormous exponent must not become an int.
    if not lowest <= number <= highest or number != int(number):
        rule = f"it has the whole numbers from {lowest} to {highest}"
        raise CannotHold(f"{datatype} cannot hold {_digits(number)}; {rule}")
    return int(number)


def _nearest(number: Number, floating: Floating) -> float:
    try:
        as_double = float(number)
        if not floating.code:
            return _nearest_bfloat16(as_double)
        found: float = struct.unpack(floating.code, struct.pack(floating.code, as_double))[0]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
    return found


def _nearest_bfloat16(number: float) -> float:
    """The nearest bfloat16, the even one of two."""
    if not math.isfinite(number):
        return number
    lowest_bit = max(math.frexp(number)[1] - FLOATING[BF16].precision_bits, BF16_LOWEST_EXPONENT)
    found = math.ldexp(round(math.ldexp(number, -lowest_bit)), lowest_bit)
    return found if abs(found) < BF16_END else math.copysign(math.inf, found)


def shortened(text: str) -> str:
    """The text as an error shows it."""
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def _digits(number: Number) -> str:
    """The number with all its digits, unless these are too many. Those of a large float are of no use to anybody."""
    if isinstance(number, float) and abs(number) >= LARGE_FLOAT:
        return str(number)
    return shortened(
        str(int(number)) if _is_plain(number) else str(number if isinstance(number, float) else Decimal(number))
    )


def _is_plain(number: Number) -> bool:
    """Whether the number is a whole one of usual length."""
    return -LONGEST_WHOLE < number < LONGEST_WHOLE and number == int(number)
