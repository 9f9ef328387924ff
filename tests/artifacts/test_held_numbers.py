"""A tensor gets the number that was given, or the caller hears which one it cannot hold."""

import math
import re
from decimal import Decimal

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headgate.artifacts.held_numbers import FLOATING, WHOLE, held, meant, nearest

NUMPY = {"BF16": ml_dtypes.bfloat16, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64}


@pytest.mark.parametrize(
    ("value", "datatype", "nearest"),
    [
        (16777217, "FP32", "16777216"),
        (-16777217, "FP32", "-16777216"),
        (16777217.0, "FP32", "16777216"),
        (Decimal("16777217.5"), "FP32", "16777218"),
        (Decimal("9007199254740993"), "FP32", "9007199254740992"),
        (2**53 + 1, "FP64", "9007199254740992"),
        (2049, "FP16", "2048"),
        (65536, "FP16", "inf"),
        (10**400, "FP64", "inf"),
        pytest.param(-(10**5000), "FP64", "-inf", id="5000 digits"),
        (Decimal("1e-50"), "FP32", "0"),
        (Decimal("1e-999999999"), "FP64", "0"),
        (np.int64(2**53 + 1), "FP64", "9007199254740992"),
    ],
)
def test_a_number_that_would_become_another_one_is_refused_with_the_nearest(value, datatype, nearest):
    with pytest.raises(ValueError, match=f"^{datatype} cannot hold .*; the nearest value it has is {nearest}$"):
        held(value, datatype)


@pytest.mark.parametrize(
    ("value", "datatype"),
    [(256, "UINT8"), (-1, "UINT64"), (128, "INT8"), (2**63, "INT64"), (1.5, "INT32"), (Decimal("1e999999999"), "INT64"),
     (math.nan, "INT8"), (math.inf, "INT16"), (Decimal("0.5"), "UINT16")],
)  # fmt: skip
def test_a_whole_datatype_refuses_fractions_and_numbers_outside_its_range(value, datatype):
    with pytest.raises(
        ValueError, match=f"^{datatype} cannot hold {re.escape(str(value))}; it has the whole numbers from"
    ):
        held(value, datatype)


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [
        (16777216, "FP32", 16777216.0),
        (16777218, "FP32", 16777218.0),
        (Decimal("0.1"), "FP32", float(np.float32(0.1))),
        (0.1, "FP64", 0.1),
        (Decimal("1234567.89"), "FP32", 1234567.875),
        (2**63, "FP32", 2.0**63),
        (2.0**-149, "FP32", 2.0**-149),
        (True, "INT8", 1),
        (3.0, "INT64", 3),
        (Decimal("9223372036854775807"), "INT64", 2**63 - 1),
    ],
)
def test_a_number_that_stays_the_same_or_a_fraction_within_the_precision_is_held(value, datatype, expected):
    assert held(value, datatype) == expected


def test_missing_and_infinite_values_are_values_of_the_floating_datatypes():
    for datatype in FLOATING:
        assert math.isnan(held(math.nan, datatype))
        assert held(-math.inf, datatype) == -math.inf


@given(st.integers(-(2**70), 2**70), st.sampled_from([*FLOATING, *WHOLE]))
def test_a_whole_number_stays_the_same_or_is_refused(number, datatype):
    try:
        assert held(number, datatype) == number
    except ValueError:
        if datatype in WHOLE:
            lowest, highest = WHOLE[datatype]
            assert not lowest <= number <= highest
        else:
            with np.errstate(over="ignore"):
                # ml_dtypes takes no int of more than 64 bits. A double keeps whether the number can be held.
                assert int(min(abs(float(NUMPY[datatype](float(number)))), 2.0**80)) != abs(number)


@given(st.floats(allow_nan=False, width=64), st.sampled_from([*FLOATING]))
def test_a_held_fraction_is_what_the_datatype_rounds_it_to(number, datatype):
    with np.errstate(over="ignore"):
        assume(datatype != "BF16" or float(np.float32(number)) == number)  # ml_dtypes rounds a double twice
    try:
        found = held(number, datatype)
    except ValueError:
        with np.errstate(over="ignore"):
            assert float(NUMPY[datatype](number)) != number
    else:
        assert float(NUMPY[datatype](number)) == found


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [
        (123456789.37, "FP32", 123456792.0),
        (Decimal("0.1"), "FP64", 0.1),
        (1e30, "FP32", float(np.float32(1e30))),
        (1e-50, "FP32", 0.0),
    ],
)
def test_a_fraction_of_any_size_has_a_nearest_value(value, datatype, expected):
    assert nearest(value, datatype) == expected


@pytest.mark.parametrize(
    ("value", "datatype"), [(16777217, "FP32"), (16777217.0, "FP32"), (257, "BF16"), (1e39, "FP32")]
)
def test_the_nearest_value_is_none_for_a_whole_number_that_changes_and_beyond_the_range(value, datatype):
    with pytest.raises(ValueError, match="the nearest value it has is"):
        nearest(value, datatype)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_the_shortest_text_of_a_value_stands_for_it(value):
    text = str(np.float32(value))
    assert meant(Decimal(text), "FP32", nearest) == value
