"""Magnitudes of two derivatives."""

import numpy as np
import pytest

from fastconv._planning.pictures import magnitudes


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("count", [1, 15, 16, 5003])
def test_magnitudes_equal_hypot(dtype, count):
    rng = np.random.default_rng(count)
    limits = np.finfo(dtype)
    odd = np.array([0, -0.0, np.inf, -np.inf, np.nan, limits.max, limits.smallest_subnormal, 1], dtype)

    def numbers():
        spread = 10.0 ** rng.integers(np.log10(limits.tiny) - 2, np.log10(limits.max), count)
        found = (rng.standard_normal(count) * spread).astype(dtype)
        return np.where(rng.random(count) < 0.2, rng.choice(odd, count), found)

    with np.errstate(all="ignore"):
        a, b = numbers(), numbers()
        expected = np.hypot(a.astype("f8"), b.astype("f8")).astype(dtype)
    for out in (None, np.empty_like(a)):
        given = a.copy()
        magnitudes.combine(given, b, out, 2)
        np.testing.assert_array_max_ulp(given if out is None else out, expected, 1)
