"""The oracle of all tests and benchmarks: expected results, bounds of errors, and a check of a call.

- `sums` are the sums of a convolution in a wide type: exact for integers and objects, and for floats whose sums need at
  most 53 bits. `expected` rounds them to the type of the result, `pixels` to that of a picture.
- `exact_at` is one sum of any floats as a fraction, with the sum of absolute products, in which bounds are stated.
- `bound_of_direct`, `bound_of_separable` and `bound_of_fft` are the documented bounds of the engines.

It is vectorized over outputs, shares no code with the engines, and is tested against `fastconv.reference`.
"""

import math
from fractions import Fraction

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


def outputs_of(x_shape, kernel_shape, axes, mode, stride=1, dilation=1, start=None):
    """Return the indices of the outputs in the full convolution, for each axis of the kernel."""
    options = (reference.each_axis(option, len(kernel_shape)) for option in (mode, stride, dilation, start))
    return [
        reference.output_indices(one_mode, x_shape[axis], taps, *steps)
        for axis, taps, one_mode, *steps in zip(axes, kernel_shape, *options)
    ]


def extended(x, axes, firsts, lasts, boundary="zero", fill_value=0):
    """Return `x` with the samples from `firsts` to `lasts` along `axes`, as its boundaries continue it.

    Also where samples are missing.
    """
    missing = np.zeros((1,) * x.ndim, bool)
    for axis, first, last, name in zip(axes, firsts, lasts, boundary):
        sources = [reference.source_index(i, x.shape[axis], name) for i in range(first, last)]
        x = x.take([source or 0 for source in sources], axis)
        outside = np.array([source is None for source in sources])
        np.moveaxis(x, axis, 0)[outside] = fill_value if name == "fill" else 0
        if name == "zero":
            missing = missing | np.expand_dims(outside, tuple(k for k in range(x.ndim) if k != axis))
    if "zero" in boundary and "fill" in boundary:
        x = np.where(missing, np.zeros(1, x.dtype), x)
    return x, missing


def sums(x, kernel, mode="full", boundary="zero", fill_value=0, flip=True, axes=None, **steps):
    """Return the sums of a convolution along `axes`, by default all, in int64 or object, float64 or complex128.

    `mode`, `boundary` and `steps`, those of `reference.output_indices`, may have a value for each axis. Complex numbers
    are multiplied by parts: a real factor keeps the parts separate.
    """
    x, kernel, axes = np.asarray(x), np.asarray(kernel), range(x.ndim) if axes is None else axes
    modes, boundary = (reference.each_axis(option, kernel.ndim) for option in (mode, boundary))
    boundary = ["zero" if one == "valid" else name for one, name in zip(modes, boundary)]
    outputs = outputs_of(x.shape, kernel.shape, axes, mode, **steps)
    apart = reference.each_axis(steps.get("dilation", 1), kernel.ndim)
    if not flip:
        kernel = np.conj(np.flip(kernel))
    if "c" not in (x.dtype.kind, kernel.dtype.kind):
        return _real_sums(x, kernel, outputs, apart, boundary, np.real(fill_value), axes)
    result = None
    for x_part, part, fill in _parts(x, fill_value):
        for kernel_part, tap, _ in _parts(kernel, 0):
            found = _real_sums(part, tap, outputs, apart, boundary, fill, axes)
            if result is None:
                result = np.zeros(found.shape, np.result_type(found, np.complex64))
            with np.errstate(invalid="ignore"):  # infinities of both signs
                if x_part == kernel_part:
                    result.real += -found if x_part else found
                else:
                    result.imag += found
    return result


def _parts(array, fill_value):
    """Yield 0 for the real and 1 for the imaginary part, that part of an array, and that of its fill value."""
    yield 0, array.real, np.real(fill_value)
    if array.dtype.kind == "c" or np.imag(fill_value):
        yield 1, array.imag, np.imag(fill_value)


def _real_sums(x, kernel, outputs, apart, boundary, fill_value, axes):
    """Sums of real arrays: `outputs` are ranges, and taps are `apart` along each axis."""
    dtype = _wide_type(x, kernel, fill_value)
    x, kernel = x.astype(dtype), kernel.astype(dtype)
    firsts = [indices[0] - (taps - 1) * step for indices, taps, step in zip(outputs, kernel.shape, apart)]
    samples, missing = extended(x, axes, firsts, [indices[-1] + 1 for indices in outputs], boundary, fill_value)
    shape = [*x.shape]
    for axis, indices in zip(axes, outputs):
        shape[axis] = len(indices)
    out = np.zeros(shape, dtype)
    finite = dtype.kind != "O" and np.isfinite(samples.astype(float)).all() and np.isfinite(kernel.astype(float)).all()
    with np.errstate(all="ignore"):
        for tap in np.argwhere(kernel != 0) if finite else np.ndindex(kernel.shape):
            window = [slice(None)] * x.ndim
            for axis, place, step, first, indices in zip(axes, tap, apart, firsts, outputs):
                begin, end = (int(index - place * step - first) for index in (indices[0], indices[-1]))
                window[axis] = slice(begin, end + 1, indices.step)
            product = kernel[tuple(tap)] * samples[tuple(window)]
            if not finite:  # a missing sample adds nothing; a zero would make a NaN of an infinite tap
                window = [part if extent > 1 else slice(None) for part, extent in zip(window, missing.shape)]
                product = np.where(missing[tuple(window)], np.zeros(1, dtype), product)
            out += product
    return out


def _wide_type(x, kernel, fill_value):
    """The type of exact sums: int64 if none can exceed it."""
    kind = np.result_type(x, kernel)
    if kind.kind not in "biu":
        return kind if kind.kind == "O" else np.result_type(kind, np.float64)
    largest = [max((abs(int(value)) for value in (array.max(), array.min())), default=0) for array in (x, kernel)]
    return np.dtype(np.int64 if max(largest[0], abs(fill_value)) * largest[1] * kernel.size < 1 << 63 else object)


def expected(x, kernel, *args, **options):
    """Return the result of a convolution, rounded once; the arguments are those of `sums`."""
    return rounded(sums(x, kernel, *args, **options), np.result_type(x, kernel))


def expected_of_lines(x, kernel, *args, axes, **options):
    """Return the result along `axes` of arrays that are broadcast along all others: a kernel for each line."""
    others = [axis for axis in range(x.ndim) if axis not in axes]
    shape = np.broadcast_shapes(*([array.shape[axis] for axis in others] for array in (x, kernel)))
    x, kernel = (
        np.broadcast_to(moved, (*shape, *moved.shape[len(shape) :]))
        for moved in (array.transpose(*others, *axes) for array in (x, kernel))
    )
    lines = [expected(x[place], kernel[place], *args, **options) for place in np.ndindex(*shape)]
    return np.reshape(lines, (*shape, *lines[0].shape)).transpose(np.argsort([*others, *axes]))


def rounded(exact, dtype):
    """Return sums in the type of a result: integers modulo 2**n, bools as the truth."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return exact != 0
    if dtype.kind in "iu" and exact.dtype == object:
        exact = (exact % (1 << 64)).astype(np.uint64)
    with np.errstate(over="ignore", invalid="ignore"):
        return exact.astype(dtype)


def normalized(
    x,
    kernel,
    mode="full",
    boundary="zero",
    fill_value=0,
    flip=True,
    axes=None,
    weights=None,
    nan="propagate",
    min_weight=0,
    normalize=True,
    missing_value=math.nan,
):
    """Return the results of samples of which some are missing, and the known shares, in float64 or complex128."""
    x, kernel = np.asarray(x), np.asarray(kernel)
    options = mode, boundary
    more = flip, axes
    known = np.broadcast_to(np.asarray(1.0 if weights is None else weights, float), x.shape).copy()
    ignores, fill_weight = nan == "ignore", 1.0
    x = x.astype(np.result_type(x, np.float64))
    if ignores:
        known[np.isnan(x)] = 0
        if np.isnan(fill_value):
            fill_value, fill_weight = 0, 0.0
    with np.errstate(all="ignore"):
        x = np.where(known == 0, 0, x * known)
        found = sums(x, kernel, *options, fill_value, *more)
        divisors = sums(known, kernel, *options, fill_weight, *more)
        sizes = np.abs(np.asarray(kernel, np.result_type(kernel, np.float64)))
        share = sums(known, sizes, *options, fill_weight, *more) / sizes.sum()
        total = np.conj(kernel.sum()) if kernel.dtype.kind == "c" and not flip else kernel.sum()
        result = found / divisors * total if normalize else found / share
    return np.where(share > min_weight, result, missing_value), share


def saturated(numbers, dtype):
    """Round half to even, and clip to the limits of an integer type."""
    limits = np.iinfo(dtype)
    return np.clip(np.rint(numbers), limits.min, limits.max).astype(dtype)


def pixels(sums, dtype, scale=1, offset=0):
    """Return ``sums / scale + offset`` as pixels: floats, or integers rounded half to even and saturated.

    Integers are exact for sums that are multiples of 1/256, of a scale and an offset with few bits.
    """
    if np.dtype(dtype).kind == "f":
        return (np.asarray(sums, float) / float(scale) + float(offset)).astype(dtype)
    scale, offset = Fraction(scale), Fraction(offset)
    unit = next(unit for unit in (1, 256) if (np.rint(unit * np.asarray(sums, float)) == unit * np.asarray(sums)).all())
    divisor = abs(scale.numerator) * offset.denominator * unit
    factor = (1 if scale > 0 else -1) * scale.denominator * offset.denominator
    number = (unit * np.asarray(sums)).astype(np.int64) * factor + offset.numerator * abs(scale.numerator) * unit
    assert np.abs(number.astype(float)).max() < 2.0**61  # no overflow
    below = number // divisor
    twice = 2 * (number - below * divisor)
    nearest = below + ((twice > divisor) | ((twice == divisor) & (below % 2 == 1)))
    return saturated(nearest, dtype)


def picture_sums(x, taps, mode="same", boundary="reflect", fill_value=0, flip=True):
    """Return the sums of a picture (H, W, ...) in float64."""
    return sums(np.asarray(x, float), np.asarray(taps, float), mode, boundary, fill_value, flip, axes=(0, 1))


def filtered(x, taps, mode="same", boundary="reflect", fill_value=0, scale=None, offset=0, correlate=False):
    """Return what `fastconv.image.filter` returns for an array (H, W, ...)."""
    found = picture_sums(x, taps, mode, boundary, fill_value, not correlate)
    return pixels(found, x.dtype, 1 if scale is None else scale, offset)


def blurred(x, sigma, radius, boundary="reflect"):
    """Convolve the rows and the columns of a picture with a Gaussian, in float64."""
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    line /= line.sum()
    for axis in (0, 1):
        x = sums(np.asarray(x, float), line, "same", boundary, axes=(axis,))
    return x


def filtered_with_alpha(x, taps, offset=0.0, scale=1.0, fill_value=0, **options):
    """Return colours and alpha, filtered with premultiplied colours, in float64, before they are rounded.

    The fill value is a pixel whose alpha is the same number.
    """
    x, fill = np.asarray(x, float), float(fill_value)
    colours = picture_sums(x[..., :-1] * x[..., -1:], taps, fill_value=fill * fill, **options)
    alpha = picture_sums(x[..., -1:], taps, fill_value=fill, **options)
    with np.errstate(divide="ignore", invalid="ignore"):
        colours = np.where(alpha != 0, colours / alpha + offset, 0)
    return np.concatenate([colours, alpha / scale], axis=-1)


def check_rounded(result, exact, distance):
    """Check that numbers at least `distance` from a half are rounded to their side, and saturated."""
    lowest, highest = (saturated(exact + side, result.dtype) for side in (-distance, distance))
    assert np.all(lowest <= result)
    assert np.all(result <= highest)


def exact_at(place, x, kernel, mode="same", boundary="zero", axes=None):
    """Return the output at an index of a convolution of real arrays as a fraction, and the sum of absolute products."""
    axes = [*range(x.ndim)] if axes is None else axes
    sources = [
        [reference.source_index(indices[place[axis]] - tap, x.shape[axis], boundary) for tap in range(taps)]
        for axis, indices, taps in zip(axes, outputs_of(x.shape, kernel.shape, axes, mode), kernel.shape)
    ]
    there = [[tap for tap, source in enumerate(line) if source is not None] for line in sources]
    index = [[at] for at in place]
    for axis, line, taps in zip(axes, sources, there):
        index[axis] = [line[tap] for tap in taps]
    samples, unit = _integers(np.moveaxis(x[np.ix_(*index)], axes, range(len(sources))))
    taps, kernel_unit = _integers(kernel[np.ix_(*there)])
    products = [sample * tap for sample, tap in zip(samples, taps)]
    return tuple(Fraction(sum(numbers), unit * kernel_unit) for numbers in (products, map(abs, products)))


def _integers(array):
    """Return the elements of an array as integers, times a power of two."""
    ratios = [value.as_integer_ratio() for value in array.ravel().tolist()]
    unit = max((denominator for _, denominator in ratios), default=1)
    return [numerator * (unit // denominator) for numerator, denominator in ratios], unit


def bound_of_direct(x, kernel):
    """Return the largest relative error of the direct engine, in units of the sum of absolute products."""
    return kernel.size * float(np.finfo(np.result_type(x, kernel)).eps)


def bound_of_separable(x, kernel):
    """Return the same for two passes: a sum along each axis, and 4 eps of each tap for the factors."""
    return (sum(kernel.shape) + 4) * float(np.finfo(np.result_type(x, kernel)).eps)


def bound_of_fft(x, kernel, points=None):
    """Return the largest error of overlap-save, to first order, with tiles of at most so many points.

    Samples that are not finite do not count: results that depend on them are computed directly.
    """
    points = 2 * x.size * kernel.size if points is None else points
    norms = [float(np.linalg.norm(array[np.isfinite(array)].astype(np.complex128))) for array in (x, kernel)]
    return 12 * float(np.finfo(np.result_type(x, kernel)).eps) * (math.log2(points) + 1) * norms[0] * norms[1]


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
