"""Views of memory that others own."""

import numpy as np
import pytest

from fastconv._runtime.borrowed_arrays import array_at, non_owning_view


@pytest.mark.parametrize(
    "cut",
    [
        lambda x: x,
        lambda x: x[::-1, :, ::2],
        lambda x: x[1:, ::-1, ::-1],
        lambda x: x[:0],
        lambda x: x[1, 2, 3],
        lambda x: np.broadcast_to(x[:1], (5, 3, 4)),
    ],
)
def test_views_own_nothing_and_are_at_the_same_place(cut):
    whole = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    x = np.asarray(cut(whole))
    view = non_owning_view(x)
    assert (view.ctypes.data, view.shape, view.strides) == (x.ctypes.data, x.shape, x.strides)
    np.testing.assert_array_equal(array_at(x.ctypes.data, x.dtype, x.shape, x.strides), x)
    assert not isinstance(view.base, np.ndarray)


def test_arrays_at_any_address_and_of_any_alignment():
    for address in (1, 64, 65, 1 << 50):
        array = array_at(address, np.dtype(np.float64), (2, 3), (24, 8))
        assert array.ctypes.data == address
        assert array.flags.aligned == (address % 8 == 0)
        assert array.flags.writeable
