"""What results are held against: the definition, vectorised over outputs, and a check that looks at everything.

`expected` is `fastconv.reference` for sizes that its loops would take too long for. It shares nothing with the
engines but that definition, and `test_reference` holds it to it.
"""

import itertools

import numpy as np

from fastconv import reference

MODES = ("full", "same", "valid")
BOUNDARIES = ("zero", "fill", "nearest", "reflect", "mirror", "wrap")
DTYPES = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16")


class OddText(str):
    """A string whose own methods are of no use; a member of an enumeration has such a `__str__`."""

    def __str__(self):
        return "OddText"

    def __eq__(self, other):
        raise KeyError("no comparison")

    def __hash__(self):
        raise KeyError("no hash")


def expected(x, kernel, mode="full", boundary="zero", fill_value=0, flip=True):
    """Convolve 1-D or 2-D arrays, in Python integers or in float64 and complex128: exactly, for small whole numbers."""
    dtype = np.result_type(x, kernel)
    exact = object if dtype.kind in "iubO" else (np.complex128 if dtype.kind == "c" else np.float64)
    if dtype.kind == "b":
        x, kernel = x.astype(np.int64), kernel.astype(np.int64)
    x, kernel = x.astype(exact), kernel.astype(exact)
    if not flip:
        kernel = np.conj(kernel[(slice(None, None, -1),) * kernel.ndim])
    if mode == "valid":
        boundary = "zero"
    ranges = [reference.output_range(mode, n, m) for n, m in zip(x.shape, kernel.shape)]
    out = np.zeros([last - first for first, last in ranges], exact)
    for taps in itertools.product(*map(range, kernel.shape)):
        taken, outside = x, np.zeros((1,) * x.ndim, bool)
        for axis, ((first, last), tap) in enumerate(zip(ranges, taps)):
            sources = [reference.source_index(o - tap, x.shape[axis], boundary) for o in range(first, last)]
            taken = taken.take([source or 0 for source in sources], axis)
            shape = [-1 if k == axis else 1 for k in range(x.ndim)]
            outside = outside | np.array([source is None for source in sources]).reshape(shape)
        product = kernel[taps] * np.where(outside, np.array(fill_value, exact), taken)
        out += np.where(outside & (boundary == "zero"), np.array(0, exact), product)
    return wrapped(out, dtype)


def wrapped(exact, dtype):
    """Exact results in the type of the result: integers modulo 2**n, the truth of bools."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return exact != 0
    if dtype.kind in "iu":
        bits = 8 * dtype.itemsize
        unsigned = np.array([int(v) % (1 << bits) for v in np.ravel(exact)], np.dtype(f"u{dtype.itemsize}"))
        return unsigned.view(dtype).reshape(np.shape(exact))
    return exact.astype(dtype)


def whole_numbers(rng, shape, dtype):
    """Small whole numbers of any type, so that every sum of products is exact in every type."""
    dtype = np.dtype(dtype)
    low = 0 if dtype.kind in "ub" else -4
    values = rng.integers(low, 2 if dtype.kind == "b" else 5, shape)
    if dtype.kind == "c":
        values = values + 1j * rng.integers(-4, 5, shape)
    return values.astype(dtype)


def check(function, x, kernel, *args, expect, tolerance=0, **options):
    """Call `function`, and check shape, type, values, layout, aliasing, and that the inputs are as they were."""
    before = np.array(x, copy=True), np.array(kernel, copy=True)
    result = function(x, kernel, *args, **options)
    assert type(result) is np.ndarray
    assert result.shape == expect.shape
    assert result.dtype == expect.dtype
    assert result.dtype.isnative
    assert result.flags.c_contiguous
    assert result.flags.writeable
    assert not np.shares_memory(result, x)
    assert not np.shares_memory(result, kernel)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(kernel, before[1])
    if np.any(tolerance):
        assert np.all(np.abs(result - expect) <= tolerance)
    else:
        np.testing.assert_array_equal(result, expect)
    return result


# ------------------------------------------------------------------------------------------- arrays as they come


def _strided(a):
    spread = np.zeros(tuple(2 * n + 1 for n in a.shape), a.dtype)
    view = spread[tuple(slice(1, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def _reversed(a):
    whole = (slice(None, None, -1),) * a.ndim
    return a[whole].copy()[whole]


def _crop(a):
    larger = np.full(tuple(n + 7 for n in a.shape), 1, a.dtype)
    view = larger[tuple(slice(3, 3 + n) for n in a.shape)]
    view[...] = a
    return view


def _unaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS = {
    "contiguous": lambda a: a.copy(),
    "fortran": lambda a: np.array(a, order="F"),
    "strided": _strided,
    "reversed": _reversed,
    "rows reversed": lambda a: a[::-1].copy()[::-1],
    "crop": _crop,
    "unaligned": _unaligned,
    "read-only": _read_only,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "little-endian": lambda a: a.astype(a.dtype.newbyteorder("<")),
    "big-endian fortran": lambda a: np.array(a.astype(a.dtype.newbyteorder(">")), order="F"),
}
