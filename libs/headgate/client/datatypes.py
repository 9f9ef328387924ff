"""Decides which numbers a tensor can hold.

A whole number must stay the same. A fraction is rounded to the nearest value, as every decimal fraction is, while the
datatype still keeps its full precision there.
"""

import operator
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import SupportsFloat, SupportsIndex

Number = int | float | Decimal


@dataclass(frozen=True, slots=True)
class Floating:
    """A datatype of fractions: its code in `struct`, the bits of its precision, and its smallest normal value."""

    code: str
    precision_bits: int
    smallest_normal: float


FLOATING: Mapping[str, Floating] = {
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
MAX_SHOWN_CHARACTERS = 80
LONGEST_WHOLE = 10**40
LARGE_FLOAT = 1e20
"""From here on a float is shown as 1e+20. Every whole number of a datatype is below it."""


def held(value: Number | SupportsIndex | SupportsFloat, datatype: str) -> float | int:
    """The value as a tensor of this datatype holds it. Infinity and NaN are values of the floating datatypes.

    Raises ValueError, with the value, for a number that would become another one.
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
        raise ValueError(f"{datatype} cannot hold {_digits(number)}; the nearest value it has is {_digits(found)}")
    return found


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
        raise ValueError(f"{datatype} cannot hold {_digits(number)}; {rule}")
    return int(number)


def _nearest(number: Number, floating: Floating) -> float:
    try:
        found: float = struct.unpack(floating.code, struct.pack(floating.code, float(number)))[0]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
    return found


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
