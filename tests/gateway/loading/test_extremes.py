import numpy as np

from services.gateway.loading.extremes import MAX_UNIFORM, MIXED, ROWS, extreme_inputs
from services.gateway.tensors import NUMPY_TYPES, TensorSpec

LOWEST = np.iinfo(np.int64).min


def specs(count=1, datatype="INT64", shape=("n", 2)):
    return {f"x{n}": TensorSpec(f"x{n}", datatype, shape) for n in range(count)}


def test_every_pair_of_values_of_two_inputs_comes_at_the_same_place():
    pairs = {(int(a.flat[0]), int(b.flat[0])) for a, b in (each.values() for each in extreme_inputs(specs(2)))}
    assert (LOWEST, -1) in pairs
    assert len(pairs) >= 16


def test_the_inputs_have_the_type_and_the_shape_that_the_model_declares():
    for datatype, dtype in NUMPY_TYPES.items():
        for arrays in extreme_inputs(specs(datatype=datatype)):
            assert (arrays["x0"].dtype, arrays["x0"].shape) == (np.dtype(dtype), (ROWS, 2))


def test_a_model_with_many_inputs_gets_a_bounded_number_of_forwards():
    assert len(list(extreme_inputs(specs(20)))) == MAX_UNIFORM + MIXED


def test_the_values_are_the_same_each_time():
    first, second = (list(extreme_inputs(specs())) for _ in range(2))
    assert all((a["x0"] == b["x0"]).all() for a, b in zip(first, second, strict=True))


def test_no_whole_number_is_large_enough_to_allocate_much_memory():
    assert max(int(arrays["x0"].max()) for arrays in extreme_inputs(specs())) == 1
