"""`fastconv.compat.cv2` against OpenCV: random types, shapes, kernels, anchors, borders and depths.

`exact` computes in float64 to decide which differences are rounding: OpenCV sums in float32 too, and uses a DFT for
large kernels.
"""

import inspect
import pickle
import re

import numpy as np
import pytest

from fastconv.compat import cv2 as ours
from fastconv.compat._unsupported import Unsupported
from tests.oracle import picture_sums, saturated
from tests.sample_calls import succeed

cv2 = pytest.importorskip("cv2")

FUNCTIONS = [
    "GaussianBlur",
    "Laplacian",
    "Scharr",
    "Sobel",
    "blur",
    "boxFilter",
    "filter2D",
    "getDerivKernels",
    "getGaborKernel",
    "getGaussianKernel",
    "matchTemplate",
    "pyrDown",
    "pyrUp",
    "sepFilter2D",
]
DEPTHS = {"u1": cv2.CV_8U, "u2": cv2.CV_16U, "i2": cv2.CV_16S, "i4": cv2.CV_32S, "f4": cv2.CV_32F, "f8": cv2.CV_64F}
SOURCES = ["u1", "u2", "i2", "f4", "f8"]
# Supported result types by source type: of filter2D, and of sepFilter2D and Sobel.
FILTERED = {"u1": SOURCES, "u2": ["u2", "f4", "f8"], "i2": ["i2", "f4", "f8"], "f4": ["f4"], "f8": ["f8"]}
SEPARATE = {**dict.fromkeys(SOURCES, SOURCES), "f8": ["u1", "u2", "i2", "f8"]}

BORDERS = [cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT, cv2.BORDER_REFLECT_101]
BOUNDARIES = dict(zip([*BORDERS, cv2.BORDER_WRAP], ["zero", "nearest", "reflect", "mirror", "wrap"]))
DELTAS = [0, 0, 10, 0.25, -3.5]


def picture(rng, dtype, most=24):
    shape = tuple(rng.integers(1, most, 2)) + ((), (1,), (2,), (3,), (4,))[rng.integers(5)]
    if dtype[0] == "f":
        return (rng.standard_normal(shape) * 100).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def border_of(rng, isolated=True):
    return int(rng.choice(BORDERS)) + (cv2.BORDER_ISOLATED if isolated and rng.random() < 0.3 else 0)


def anchor_of(rng, shape):
    return (-1, -1) if rng.random() < 0.5 else (int(rng.integers(shape[1])), int(rng.integers(shape[0])))


def taps_of(rng, shape, kind):
    """Random taps: multiples of 1/16, integers, or floats."""
    if kind == "16ths":
        return rng.integers(-4, 5, shape) / 16
    return rng.integers(-3, 4, shape) * 1.0 if kind == "whole" else rng.standard_normal(shape)


def exact(x, taps, anchor, border, delta=0.0):
    """Return the result in float64, before it is rounded."""
    (height, width), (right, down) = taps.shape, anchor
    right, down = width // 2 if right < 0 else right, height // 2 if down < 0 else down
    x = x[..., 0] if x.shape[2:] == (1,) else x
    # Zeros around the taps put the anchor in the middle.
    margins = [(max(0, n - 1 - 2 * at), max(0, 2 * at - n + 1)) for n, at in zip(taps.shape, (down, right))]
    return picture_sums(x, np.pad(taps, margins), "same", BOUNDARIES[border & ~cv2.BORDER_ISOLATED], flip=False) + delta


def half_distance(sums):
    return np.abs(sums - np.floor(sums) - 0.5)


def scale_of(x, taps):
    """Bound on the magnitude of the sums."""
    return np.abs(taps).sum() * max(1.0, float(np.abs(x.astype(np.float64)).max()))


def check(got, wanted, sums, scale, is_exact=False):
    """Check shape, type, and values up to rounding in float32."""
    assert type(got) is np.ndarray
    assert (got.shape, got.dtype, got.flags.c_contiguous) == (wanted.shape, wanted.dtype, True)
    if got.dtype.kind == "f":
        np.testing.assert_allclose(got, sums, rtol=0, atol=8 * np.finfo(got.dtype).eps * scale)
        # OpenCV's DFT of integers is in float32.
        np.testing.assert_allclose(got, wanted, rtol=0, atol=8 * np.finfo(np.float32).eps * scale)
    elif is_exact:
        np.testing.assert_array_equal(got, saturated(sums, got.dtype))
        differ = got != wanted
        assert np.all(half_distance(sums)[differ] < 1e-9)  # rounding errors of OpenCV's DFT or quotient at a half
        assert np.count_nonzero(differ) <= 0.02 * got.size + 1
    else:
        difference = np.abs(got.astype(np.int64) - wanted)
        assert difference.max() <= 1
        assert np.all(half_distance(sums)[difference > 0] <= 2e-6 * scale)


@pytest.mark.parametrize("kind", ["16ths", "whole", "any"])
@pytest.mark.parametrize("dtype", SOURCES)
def test_filter2d_equals_opencv(dtype, kind):
    rng = np.random.default_rng([SOURCES.index(dtype), len(kind)])
    for _ in range(40):
        x, depth = picture(rng, dtype), DEPTHS[rng.choice(FILTERED[dtype])]
        taps = taps_of(rng, rng.integers(1, 10, 2), kind).astype(rng.choice(["f4", "f8"]))
        anchor, border, delta = anchor_of(rng, taps.shape), border_of(rng), float(rng.choice(DELTAS))
        options = (None, anchor, delta, border)
        got, wanted = ours.filter2D(x, depth, taps, *options), cv2.filter2D(x, depth, taps, *options)
        sums, scale = exact(x, taps.astype(np.float64), anchor, border, delta), scale_of(x, taps)
        check(got, wanted, sums, scale, kind != "any")


def test_filter2d_of_large_kernels_and_small_pictures_equals_opencv():
    rng = np.random.default_rng(3)
    sizes = [((1, 1), (9, 4)), ((1, 30), (5, 5)), ((30, 1), (4, 7)), ((40, 50), (31, 21)), ((2, 3), (15, 16))]
    for dtype in SOURCES:
        for shape, size in sizes:
            x, taps = rng.uniform(0, 200, shape).astype(dtype), rng.standard_normal(size)
            for border in BORDERS:
                got, wanted = (module.filter2D(x, -1, taps, borderType=border) for module in (ours, cv2))
                check(got, wanted, exact(x, taps, (-1, -1), border), 4 * scale_of(x, taps))


@pytest.mark.parametrize("kind", ["16ths", "whole", "any"])
@pytest.mark.parametrize("dtype", SOURCES)
def test_sepfilter2d_equals_opencv(dtype, kind):
    rng = np.random.default_rng([SOURCES.index(dtype), len(kind), 1])
    for _ in range(30):
        x, depth = picture(rng, dtype), DEPTHS[rng.choice(SEPARATE[dtype])]
        factors = [taps_of(rng, size, kind).astype("f4") for size in rng.integers(1, 8, 2)]
        if rng.random() < 0.5:
            factors = [taps + taps[::-1] for taps in factors]
        row, column = factors
        shape = ((-1,), (1, -1), (-1, 1))[rng.integers(3)]
        anchor, border, delta = anchor_of(rng, (len(column), len(row))), border_of(rng), float(rng.choice(DELTAS))
        arguments = (x, depth, row.reshape(shape), column.reshape(shape), None, anchor, delta, border)
        taps = np.multiply.outer(column.astype(np.float64), row)
        sums, scale = exact(x, taps, anchor, border, delta), scale_of(x, taps)
        check(ours.sepFilter2D(*arguments), cv2.sepFilter2D(*arguments), sums, scale)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", [*SOURCES, "i4", "i8"])
def test_boxfilter_equals_opencv(dtype, normalize):
    rng = np.random.default_rng([*map(ord, dtype), normalize])
    for _ in range(40):
        x = picture(rng, dtype) if dtype in SOURCES else rng.integers(-(10**6), 10**6, (9, 20), dtype)
        to = str(rng.choice([name for name in DEPTHS if (dtype[0], name) != ("f", "i4")]))
        height, width = map(int, rng.integers(1, 10, 2))
        area, anchor = height * width, anchor_of(rng, (height, width))
        border = border_of(rng, isolated=not normalize)
        options = (None, anchor, normalize, border)
        got = ours.boxFilter(x, DEPTHS[to], (width, height), *options)
        wanted = cv2.boxFilter(x, DEPTHS[to], (width, height), *options)
        taps = np.full((height, width), 1 / area if normalize else 1.0)
        sums = exact(x, taps, anchor, border)
        if dtype == to == "u1" and normalize:
            np.testing.assert_array_equal(got, np.floor(sums + 0.5 + 1e-9))
            if area & (area - 1):
                np.testing.assert_array_equal(got, wanted)
            continue
        if dtype[0] == "i" and to[0] == "u":  # OpenCV's negative means and sums are wrong
            wanted = np.where(sums < 0, 0, wanted).astype(wanted.dtype)
        check(got, wanted, sums, scale_of(x, taps))
        if normalize and to == dtype:
            np.testing.assert_array_equal(ours.blur(x, (width, height), None, anchor, border), got)


@pytest.mark.parametrize("dtype", SOURCES)
def test_gaussianblur_equals_opencv(dtype):
    rng = np.random.default_rng([SOURCES.index(dtype), 2])
    differ = pixels = 0
    for _ in range(60):
        x = picture(rng, dtype)
        border = cv2.BORDER_WRAP if dtype[0] == "u" and rng.random() < 0.2 else border_of(rng)
        sizes = tuple(int(size) for size in rng.choice([0, 1, 3, 5, 7, 9, 11, 31], 2))
        across, down = float(rng.choice([0.3, 0.8, 1, 1.5, 2, 3.7])), float(rng.choice([0, 0.5, 1, 4]))
        if min(sizes) > 0 and rng.random() < 0.3:
            across = down = 0.0
        arguments = (x, sizes, across, None, down, border)
        got, wanted = ours.GaussianBlur(*arguments), cv2.GaussianBlur(*arguments)
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        if dtype == "u1":
            np.testing.assert_array_equal(got, wanted)
        elif dtype[0] == "f":
            np.testing.assert_allclose(got, wanted, rtol=0, atol=16 * np.finfo(dtype).eps * np.abs(x).max())
        else:
            difference = np.abs(got.astype(np.int64) - wanted)
            assert difference.max() <= 1
            differ, pixels = differ + np.count_nonzero(difference), pixels + got.size
    assert differ <= 0.01 * pixels


def test_gaussianblur_of_uint8_differs_from_opencv_at_few_halves():
    x = np.random.default_rng(4).integers(0, 256, (600, 800, 3), np.uint8)
    for size, sigma in ((3, 0), (5, 0), (5, 1.1), (9, 2), (15, 3), (0, 5)):
        got, wanted = ours.GaussianBlur(x, (size, size), sigma), cv2.GaussianBlur(x, (size, size), sigma)
        difference = got.astype(np.int64) - wanted
        assert np.abs(difference).max() <= 1
        assert np.count_nonzero(difference) <= x.size // 100_000
        assert np.all(wanted[difference != 0] >= 128)


def test_gaussianblur_of_uint8_rounds_no_sum_below_a_half_up():
    x = np.random.default_rng(0).integers(0, 256, (600, 800), np.uint8)
    taps = np.array([4, 13, 30, 51, 60, 51, 30, 13, 4])
    sums = picture_sums(x, np.outer(taps, taps), boundary="mirror")
    got = ours.GaussianBlur(x, (9, 9), 0)
    halves = sums % 65536 == 32768
    np.testing.assert_array_equal(got[~halves], np.floor(sums / 65536 + 0.5)[~halves])
    assert np.count_nonzero(halves) > 5


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
def test_gaussianblur_supports_kernels_too_large_for_an_outer_product(dtype):
    flat = np.full((300, 300), 7, dtype)
    np.testing.assert_allclose(ours.GaussianBlur(flat, (0, 0), 300), flat, rtol=1e-5)
    x = np.random.default_rng(8).integers(0, 200, (90, 70, 3)).astype(dtype)
    got, wanted = ours.GaussianBlur(x, (0, 0), 300, sigmaY=40), cv2.GaussianBlur(x, (0, 0), 300, sigmaY=40)
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1 if dtype == "u2" else 0)


@pytest.mark.parametrize("dtype", SOURCES)
def test_sobel_and_scharr_equal_opencv(dtype):
    rng = np.random.default_rng([SOURCES.index(dtype), 5])
    for _ in range(60):
        x, depth = picture(rng, dtype), DEPTHS[rng.choice(SEPARATE[dtype])]
        size = int(rng.choice([-1, 1, 3, 5, 7]))
        dx, dy = ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2))[rng.integers(2 if size < 0 else 5)]
        factor, delta, border = float(rng.choice([1, 1, 0.25, 0.3])), float(rng.choice(DELTAS)), border_of(rng)
        got = ours.Sobel(x, depth, dx, dy, None, size, factor, delta, border)
        wanted = cv2.Sobel(x, depth, dx, dy, None, size, factor, delta, border)
        row, column = (taps.ravel() for taps in cv2.getDerivKernels(dx, dy, size, ktype=cv2.CV_64F))
        taps = factor * np.multiply.outer(column, row)
        sums, scale = exact(x, taps, (-1, -1), border, delta), scale_of(x, taps)
        if dtype == "u1" and got.dtype == np.int16 and factor == 1:
            np.testing.assert_array_equal(got, wanted)  # OpenCV rounds delta
        else:
            check(got, wanted, sums, scale, dtype == "u1" and factor in (1, 0.25))
        if size < 0:
            np.testing.assert_array_equal(ours.Scharr(x, depth, dx, dy, None, factor, delta, border), got)


@pytest.mark.parametrize("dtype", SOURCES)
def test_laplacian_equals_opencv(dtype):
    rng = np.random.default_rng([SOURCES.index(dtype), 6])
    for _ in range(60):
        x, size = picture(rng, dtype), int(rng.choice([1, 3, 5, 7]))
        depth = DEPTHS[rng.choice(FILTERED[dtype] if size < 5 else list(DEPTHS))]
        factor, delta, border = float(rng.choice([1, 1, 0.25, 0.3])), float(rng.choice(DELTAS)), border_of(rng)
        arguments = (x, depth, None, size, factor, delta, border)
        impulse = np.zeros((2 * size + 1, 2 * size + 1))
        impulse[size, size] = factor
        taps = cv2.Laplacian(impulse, -1, ksize=size)[size - 3 : size + 4, size - 3 : size + 4] if size > 3 else None
        if taps is None:
            taps = cv2.Laplacian(np.pad([[factor]], 3), -1, ksize=size)[2:-2, 2:-2]
        sums, scale = exact(x, taps, (-1, -1), border, delta), scale_of(x, taps)
        is_exact = dtype == "u1" and factor in (1, 0.25)
        check(ours.Laplacian(*arguments), cv2.Laplacian(*arguments), sums, scale, is_exact)


def half(x, size, boundary):
    """Return the picture of half the size by its definition, in float64, before it is rounded."""
    taps = np.multiply.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    sums = picture_sums(x, taps, "full", boundary, flip=False)
    return sums[2::2, 2::2][: size[1], : size[0]]


@pytest.mark.parametrize("dtype", SOURCES)
def test_pyrdown_equals_opencv(dtype):
    rng = np.random.default_rng(60)
    larger = 0
    for _ in range(60):
        x, border = picture(rng, dtype), int(rng.choice([*BORDERS[1:], cv2.BORDER_WRAP]))
        height, width = x.shape[:2]
        size = tuple(int(max(1, (extent + rng.integers(-1, 3)) // 2)) for extent in (width, height))
        arguments = (x,) if rng.random() < 0.3 else (x, None, size, border)
        size, border = (
            (size, border) if len(arguments) > 1 else (((width + 1) // 2, (height + 1) // 2), ours.BORDER_DEFAULT)
        )
        got, wanted = ours.pyrDown(*arguments), cv2.pyrDown(*arguments)
        sums = half(x[..., 0] if x.shape[2:] == (1,) else x, size, BOUNDARIES[border])
        if 2 * size[0] > width + 1 or 2 * size[1] > height + 1:
            larger += 1  # the bug of OpenCV
        elif dtype[0] != "f":
            np.testing.assert_array_equal(got, wanted)
        assert (got.shape, got.dtype, got.flags.c_contiguous) == (wanted.shape, wanted.dtype, True)
        if dtype[0] == "f":
            np.testing.assert_allclose(got, sums, rtol=0, atol=8 * np.finfo(dtype).eps * scale_of(x, np.ones(1)))
        else:
            np.testing.assert_array_equal(got, np.floor(sums + 0.5))
    assert larger > 5


@pytest.mark.parametrize("dtype", SOURCES)
def test_pyrup_equals_opencv(dtype):
    rng = np.random.default_rng(61)
    for _ in range(60):
        x = picture(rng, dtype)
        size = tuple(2 * extent + int(rng.integers(-1, 2)) for extent in x.shape[1::-1])
        arguments = (x,) if rng.random() < 0.3 or size[0] == 3 else (x, None, size)
        got, wanted = ours.pyrUp(*arguments), cv2.pyrUp(*arguments)
        assert (got.shape, got.dtype, got.flags.c_contiguous) == (wanted.shape, wanted.dtype, True)
        if dtype[0] == "f":
            np.testing.assert_allclose(got, wanted, rtol=0, atol=8 * np.finfo(dtype).eps * scale_of(x, np.ones(1)))
        else:
            np.testing.assert_array_equal(got, wanted)


def test_pyrup_of_one_column_to_three_repeats_the_second():
    assert ours.pyrUp(np.array([[7], [7]], np.uint8), None, (3, 4)).tolist() == [[7, 7, 7]] * 4


def test_pyramids_fill_a_dst_that_fits():
    x = picture(np.random.default_rng(62), "u1")
    for name in ("pyrDown", "pyrUp"):
        wanted = getattr(cv2, name)(x)
        dst = np.zeros_like(wanted)
        assert getattr(ours, name)(x, dst) is dst
        np.testing.assert_array_equal(dst, wanted)
        swapped = getattr(ours, name)(x.astype(">u2"))
        np.testing.assert_array_equal(swapped, getattr(cv2, name)(x.astype("u2")))
        other = np.zeros((1, 1), np.uint8)
        assert getattr(ours, name)(x, other) is not other


METHODS = ["TM_SQDIFF", "TM_SQDIFF_NORMED", "TM_CCORR", "TM_CCORR_NORMED", "TM_CCOEFF", "TM_CCOEFF_NORMED"]


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("method", METHODS)
def test_template_matching_equals_opencv(method, dtype):
    rng = np.random.default_rng(63)
    number = getattr(ours, method)
    assert number == getattr(cv2, method)
    for _ in range(40):
        x = picture(rng, dtype, 40)
        rows, columns = (int(rng.integers(1, extent + 1)) for extent in x.shape[:2])
        templ = x[-rows:, :columns].copy() if rng.random() < 0.5 else rng.permuted(x[:rows, :columns], axis=1)
        arguments = (templ, x) if rng.random() < 0.2 else (x, templ)
        got, wanted = ours.matchTemplate(*arguments, number), cv2.matchTemplate(*arguments, number)
        assert (got.shape, got.dtype, got.flags.c_contiguous) == (wanted.shape, wanted.dtype, True)
        size = 1.0 if "NORMED" in method else float((x.astype("f8") ** 2).sum())
        close = np.isclose(got, wanted, rtol=1e-5, atol=2e-4 if "NORMED" in method else 1e-5 * size)
        # A norm that is all rounding errors in float32 is sharp in float64.
        assert close.mean() > 0.99, (got, wanted)


def test_templates_that_are_flat_and_results_that_are_given():
    x = picture(np.random.default_rng(64), "u1", 30)
    x = np.ascontiguousarray(np.atleast_3d(x)[..., 0])
    flat, dark = np.full((1, 1), 7, np.uint8), np.zeros_like(x)
    for arguments in ((x, flat, 5), (x, flat * 0, 3), (dark, x[:1, :1], 3), (dark, x[:1], 5), (dark, x[:1], 1)):
        np.testing.assert_array_equal(ours.matchTemplate(*arguments), cv2.matchTemplate(*arguments))
    wanted = cv2.matchTemplate(x, x[:1].copy(), 2)
    result = np.zeros_like(wanted)
    assert ours.matchTemplate(x, x[:1].copy(), 2, result) is result
    np.testing.assert_allclose(result, wanted, rtol=1e-5)
    with pytest.raises(Unsupported):
        ours.matchTemplate(x, x[:1], 2, None, x[:1])


def test_gabor_kernels_equal_opencv():
    for arguments in (
        ((5, 7), 1.5, 0.3, 4, 0.5),
        ((4, 6), 1.5, 0.3, 4, 0.5, 1.0),
        ((0, 0), 2, 1.0, 5, 0.7, 0),
        ((-1, 3), 2, 1.0, 5, 0.7, 0),
        ((0, 0), -2, 1.0, -5, -0.7, 0),
        ((0, 0), 1.5, 0, 5, 1.3),
        ((5, 5), 1, 1.0, 3, 0.0, 0),
    ):
        got, wanted = ours.getGaborKernel(*arguments), cv2.getGaborKernel(*arguments)
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-15)
    assert ours.getGaborKernel((3, 3), 1, 0, 4, 1, 0, cv2.CV_32F).dtype == np.float32


def test_kernel_functions_equal_opencv():
    for size in (1, 2, 3, 5, 7, 9, 11, 31):
        for sigma in (-1, 0, 0.3, 1, 5):
            got, wanted = ours.getGaussianKernel(size, sigma), cv2.getGaussianKernel(size, sigma)
            assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-100)
            single = ours.getGaussianKernel(size, sigma, ours.CV_32F)
            np.testing.assert_allclose(single, cv2.getGaussianKernel(size, sigma, cv2.CV_32F), rtol=1.2e-7, atol=1e-37)
    for size in (-1, 0, 1, 3, 5, 7, 15, 31):
        for dx, dy in ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 2)):
            if size <= 0 and dx + dy != 1:
                continue
            for normalize in (False, True):
                for depth in (cv2.CV_32F, cv2.CV_64F):
                    got = ours.getDerivKernels(dx, dy, size, None, None, normalize, depth)
                    wanted = cv2.getDerivKernels(dx, dy, size, None, None, normalize, depth)
                    for ours_, theirs in zip(got, wanted):
                        assert (ours_.shape, ours_.dtype) == (theirs.shape, theirs.dtype)
                        np.testing.assert_allclose(ours_, theirs, rtol=1e-6 if depth == cv2.CV_32F else 1e-14)
    given = np.zeros((3, 1), np.float32)
    assert ours.getDerivKernels(1, 0, 3, given)[0] is given
    assert given.ravel().tolist() == [-1, 0, 1]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_equal_opencv(name):
    written = getattr(cv2, name).__doc__.splitlines()[0]
    required, optional = re.fullmatch(rf"{name}\(([^\[\]]*)([^)]*)\) -> .*", written).groups()
    parameters = inspect.signature(getattr(ours, name)).parameters.values()
    assert [p.name for p in parameters if p.default is p.empty] == required.split(", ")
    assert [p.name for p in parameters if p.default is not p.empty] == re.findall(r"\w+", optional)
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)


def test_constants_equal_opencv():
    names = [name for name in ours.__all__ if name.isupper() or re.match(r"CV_|BORDER_", name)]
    assert len(names) >= 18
    for name in names:
        assert getattr(ours, name) == getattr(cv2, name), name


def test_accepts_keywords_and_none_for_defaults():
    x, taps = picture(np.random.default_rng(7), "u1"), np.ones((3, 3)) / 9
    by_name = dict(src=x, ddepth=-1, kernel=taps, dst=None, anchor=(-1, -1), delta=0, borderType=cv2.BORDER_DEFAULT)
    np.testing.assert_array_equal(ours.filter2D(**by_name), cv2.filter2D(x, -1, taps))
    none = dict(anchor=None, delta=None, borderType=None)
    np.testing.assert_array_equal(ours.filter2D(x, -1, taps, **none), cv2.filter2D(x, -1, taps, **none))
    mixed = dict(anchor=np.array([-1, 1]), delta=np.float32(2.25), borderType=np.int64(1))
    np.testing.assert_array_equal(ours.filter2D(x, -1, taps, **mixed), cv2.filter2D(x, -1, taps, **mixed))


def test_accepts_a_type_as_ddepth():
    x, taps = np.arange(20, dtype=np.uint8).reshape(4, 5), np.ones((2, 2))
    for given in (cv2.CV_32FC3, cv2.CV_16SC1, -7):
        got, wanted = ours.filter2D(x, given, taps), cv2.filter2D(x, given, taps)
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("shape", [(5,), (5, 6), (5, 6, 1), (1, 6, 1), (5, 6, 3), (5, 6, 5), (5, 6, 128)])
def test_shapes_equal_opencv(shape):
    x, taps = np.random.default_rng(8).integers(0, 256, shape, np.uint8), np.ones(3)
    for name, arguments in (("filter2D", (-1, taps)), ("blur", ((3, 2),)), ("Sobel", (5, 1, 0)), ("Laplacian", (3,))):
        got, wanted = getattr(ours, name)(x, *arguments), getattr(cv2, name)(x, *arguments)
        assert got.shape == wanted.shape
        np.testing.assert_array_equal(got, wanted)


def test_accepts_kernels_of_every_type_and_shape_of_opencv():
    x = np.random.default_rng(9).integers(0, 40, (7, 8), np.uint8)
    for dtype in ("u1", "i1", "i2", "u2", "i4", "f4", "f8"):
        for shape in ((4,), (1, 4), (4, 1), (2, 2), (2, 2, 1)):
            taps = np.arange(4).astype(dtype).reshape(shape)
            np.testing.assert_array_equal(ours.filter2D(x, -1, taps), cv2.filter2D(x, -1, taps))


def test_accepts_every_layout():
    rng = np.random.default_rng(10)
    whole = rng.integers(0, 256, (20, 24, 3), np.uint8)
    taps = rng.standard_normal((3, 4)).astype("f4")
    for x in (whole[::-1, ::-1], whole[::2, 1::3], whole[..., 1], whole.transpose(1, 0, 2), np.asfortranarray(whole)):
        got = ours.filter2D(x, -1, taps)
        np.testing.assert_array_equal(got, ours.filter2D(x.copy(), -1, taps))
        assert np.abs(got.astype(int) - cv2.filter2D(x, -1, taps)).max() <= 1
        locked = x.copy()
        locked.flags.writeable = False
        np.testing.assert_array_equal(ours.filter2D(locked, -1, taps), got)
    turned = taps[::-1, ::-1]
    np.testing.assert_array_equal(ours.filter2D(whole, -1, turned), ours.filter2D(whole, -1, turned.copy()))

    class Subclass(np.ndarray):
        pass

    assert type(ours.filter2D(whole.view(Subclass), -1, taps)) is np.ndarray


def test_cache_distinguishes_similar_arguments():
    x = np.arange(30, dtype=np.uint8).reshape(5, 6)
    kernels = [np.ones((2, 3)), np.ones((3, 2)), np.ones((2, 3), "f4"), np.arange(6.0).reshape(2, 3)]
    for _ in range(2):
        for taps in kernels:
            for depth in (-1, 5):
                for border in BORDERS:
                    got, wanted = (m.filter2D(x, depth, taps, borderType=border) for m in (ours, cv2))
                    np.testing.assert_array_equal(got, wanted)
    for wrong in (True, -1.0):
        with pytest.raises(ours.error, match="ddepth"):
            ours.filter2D(x, wrong, kernels[0])
    with pytest.raises(ours.error, match="delta"):
        ours.filter2D(x, -1, kernels[0], delta=False)
    with pytest.raises(ours.error, match="anchor"):
        ours.filter2D(x, -1, kernels[0], anchor=(-1.0, -1))


def test_dst_is_used_if_shape_and_type_fit():
    rng = np.random.default_rng(11)
    x, taps = rng.integers(0, 256, (6, 7), np.uint8), np.ones((3, 3), "f4")
    wanted = cv2.filter2D(x, -1, taps)
    whole = np.zeros((12, 14), np.uint8)
    for dst in (np.zeros((6, 7), np.uint8), np.zeros((6, 7, 1), np.uint8), whole[:6, :7], whole[::2, 7:]):
        for source in (x, x[..., np.newaxis]):
            dst[...] = 0
            assert ours.filter2D(source, -1, taps, dst) is dst
            np.testing.assert_array_equal(dst.reshape(6, 7), wanted)
    for shape, dtype in (((3, 3), np.uint8), ((6, 7), np.float32), ((7, 6), np.uint8), ((6, 7), bool)):
        dst = np.zeros(shape, dtype)
        for module in (ours, cv2):
            got = module.filter2D(x, -1, taps, dst)
            assert got is not dst
            assert not dst.any()
            np.testing.assert_array_equal(got, wanted)
    row, given = x[0], np.zeros(7, np.uint8)
    assert ours.blur(row, (3, 1), given) is given
    np.testing.assert_array_equal(given, cv2.blur(row, (3, 1))[0])
    for name, arguments in (
        ("sepFilter2D", (-1, taps[0], taps[0])),
        ("blur", ((3, 3),)),
        ("boxFilter", (-1, (3, 3))),
        ("GaussianBlur", ((3, 3), 1.0)),
        ("Sobel", (-1, 1, 0)),
        ("Scharr", (-1, 1, 0)),
        ("Laplacian", (-1,)),
    ):
        dst = np.zeros_like(x)
        assert getattr(ours, name)(x, *arguments, dst) is dst
        np.testing.assert_array_equal(dst, getattr(cv2, name)(x, *arguments))


def test_dst_may_be_the_source_or_overlap_it():
    rng = np.random.default_rng(12)
    taps = rng.standard_normal((3, 3))
    for dtype in ("u1", "f4"):
        whole = rng.integers(0, 256, (9, 8)).astype(dtype)
        for source, target in ((slice(0, 9), slice(0, 9)), (slice(0, 6), slice(2, 8)), (slice(3, 9), slice(0, 6))):
            array = whole.copy()
            wanted = ours.filter2D(whole[source], -1, taps)
            got = ours.filter2D(array[source], -1, taps, array[target])
            np.testing.assert_array_equal(got, wanted)
            np.testing.assert_array_equal(array[target], wanted)


X, ONES = np.zeros((5, 6), np.uint8), np.ones((3, 3))
LOCKED = np.zeros((5, 6), np.uint8)
LOCKED.flags.writeable = False
WRONG = {
    "filter2D": [
        (X.astype("i4"), -1, ONES),
        (X.astype("i1"), -1, ONES),
        (X.astype("f2"), -1, ONES),
        (X.astype("?"), -1, ONES),
        (X.astype("u8"), -1, ONES),
        (X.astype("c8"), -1, ONES),
        (X.astype("f4"), cv2.CV_8U, ONES),
        (X.astype("f4"), cv2.CV_64F, ONES),
        (X.astype("u2"), cv2.CV_16S, ONES),
        (X, cv2.CV_32S, ONES),
        (X, cv2.CV_8S, ONES),
        (X, -1.0, ONES),
        (X, True, ONES),
        (X, "u1", ONES),
        (X[:0], -1, ONES),
        (None, -1, ONES),
        (X.tolist(), -1, ONES),
        (np.zeros((2, 2, 2, 2), np.uint8), -1, ONES),
        (np.zeros((3, 3, 129), np.uint8), -1, ONES),
        (np.zeros((3, 3, 0), np.uint8), -1, ONES),
        (X, -1, ONES.tolist()),
        (X, -1, ONES[:0]),
        (X, -1, np.ones((3, 3, 2))),
        (X, -1, ONES.astype(complex)),
        (X, -1, ONES, [0]),
        (X, -1, ONES, LOCKED),
        (X, -1, ONES, np.zeros((10, 12), np.uint8)[::2, ::2]),
        (X, -1, ONES, np.zeros((6, 5), np.uint8).T),
        (X, -1, ONES, np.zeros((5, 6), np.uint8)[::-1]),
        (X, -1, ONES, np.zeros((5, 6), complex)),
        (X, -1, ONES, None, (3, 0)),
        (X, -1, ONES, None, (0, -2)),
        (X, -1, ONES, None, (0.0, 0)),
        (X, -1, ONES, None, 1),
        (X, -1, ONES, None, (1, 1, 1)),
        (X, -1, ONES, None, (-1, -1), "0"),
        (X, -1, ONES, None, (-1, -1), True),
        (X, -1, ONES, None, (-1, -1), 0, cv2.BORDER_WRAP),
        (X, -1, ONES, None, (-1, -1), 0, cv2.BORDER_TRANSPARENT),
        (X, -1, ONES, None, (-1, -1), 0, -1),
        (X, -1, ONES, None, (-1, -1), 0, 4.0),
    ],
    "sepFilter2D": [
        (X, -1, ONES, ONES[0]),
        (X, -1, ONES[0], ONES[0].astype("f4")),
        (X, -1, ONES[:0], ONES[0]),
        (X, -1, ONES[0], ONES[0], None, (0, 3)),
        (X.astype("f8"), cv2.CV_32F, ONES[0], ONES[0]),
        (X, -1, ONES[0], ONES[0], None, (-1, -1), 0, cv2.BORDER_WRAP),
    ],
    "blur": [
        (X, 3),
        (X, None),
        (X, (0, 3)),
        (X, (3, -1)),
        (X, (3.0, 3)),
        (X, (3, 3), None, (3, 0)),
        (X.astype("f2"), (3, 3)),
        (X, (3, 3), None, (-1, -1), cv2.BORDER_WRAP),
    ],
    "boxFilter": [(X, -1, (3, 3), None, (-1, -1), "x"), (X.astype("f4"), cv2.CV_32S, (3, 3)), (X, -1, (0, 0))],
    "GaussianBlur": [
        (X, (4, 3), 1),
        (X, (3, 4), 1),
        (X, (0, 0), 0),
        (X, (-3, 3), 0),
        (X, 3, 1),
        (X, (3, 3), "1"),
        (X.astype("i2"), (3, 3), 1, None, 0, cv2.BORDER_WRAP),
        (X, (3, 3), 1, None, 0, cv2.BORDER_TRANSPARENT),
    ],
    "Sobel": [
        (X, -1, 0, 0),
        (X, -1, -1, 1),
        (X, -1, 3, 0),
        (X, -1, 1, 1, None, -1),
        (X, -1, 1, 0, None, 2),
        (X, -1, 1, 0, None, 33),
        (X, cv2.CV_32S, 1, 0),
        (X, -1, 1.0, 0),
        (X, -1, 1, 0, None, 3, "1"),
    ],
    "Scharr": [(X, -1, 1, 1), (X, -1, 2, 0), (X, -1, 0, 0)],
    "Laplacian": [(X, -1, None, 2), (X, -1, None, 0), (X, -1, None, 33), (X.astype("f4"), cv2.CV_64F), (X, cv2.CV_32S)],
    "getGaussianKernel": [(0, 1), (3, 1, cv2.CV_8U)],
    "getGaborKernel": [((5, 5), 1, 0, 3, 1, 0, cv2.CV_8U)],
    "matchTemplate": [
        (X, X[:2, :2].astype("f4"), 2),
        (X.astype("u2"), X[:2, :2].astype("u2"), 2),
        (X.astype("f8"), X[:2, :2].astype("f8"), 2),
        (X, X[:2, :2].copy(), 6),
        (X, X[:2, :2].copy(), -1),
        (X, X[:2, :2].copy(), "2"),
        (X[:2], np.ascontiguousarray(X.repeat(2, 0)[:, :1]), 2),
        (X, np.dstack([X, X]), 2),
    ],
    "pyrDown": [
        (X.astype("i4"),),
        (X.astype("f2"),),
        (X[:0],),
        (X, None, (9, 9)),
        (X, None, 3),
        (X, None, (3.0, 3)),
        (X, None, (3, 3), cv2.BORDER_CONSTANT),
        (X, None, None, cv2.BORDER_CONSTANT | cv2.BORDER_ISOLATED),
        (X, LOCKED),
    ],
    "pyrUp": [
        (X.astype("i4"),),
        (X.astype("f2"),),
        (X, None, (14, 10)),
        (X, None, 3),
        (X, None, (12, 10), cv2.BORDER_REPLICATE),
    ],
    "getDerivKernels": [(0, 0, 3), (1, 0, 4), (1, 1, 0), (1, 0, 3, None, None, False, cv2.CV_8U)],
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_arguments_raise_errors_with_a_code(name):
    for arguments in WRONG[name]:
        with pytest.raises(cv2.error):
            getattr(cv2, name)(*arguments)
        with pytest.raises(ours.error) as raised:
            getattr(ours, name)(*arguments)
        assert raised.value.code < 0
        assert raised.value.msg == raised.value.err == str(raised.value)


def test_errors_are_of_both_classes():
    for kind in (cv2.error, ours.error):
        with pytest.raises(kind) as caught:
            ours.blur(X, (0, 3))
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), again.code, again.msg) == (type(caught.value), -215, str(caught.value))
    with pytest.raises(ours.error):
        ours.cvtColor(X, 999)  # the original's


def test_errors_before_opencv_is_imported():
    code = """
import sys
import numpy as np
from fastconv.compat import cv2
try:
    cv2.blur(np.ones((3, 3), np.uint8), (0, 3))
except cv2.error as error:
    print(type(error) is cv2.error, error.code, "cv2" in sys.modules)
"""
    assert succeed(code) == ["True", "-215", "False"]


def test_errors_name_the_argument():
    for word, arguments in {
        "src": (X.astype("i1"), -1, ONES),
        "kernel": (X, -1, ONES.astype(complex)),
        "ddepth": (X, 4, ONES),
        "dst": (X, -1, ONES, LOCKED),
        "anchor": (X, -1, ONES, None, (3, 3)),
        "delta": (X, -1, ONES, None, (-1, -1), "x"),
        "borderType": (X, -1, ONES, None, (-1, -1), 0, 3),
    }.items():
        with pytest.raises(ours.error, match=word):
            ours.filter2D(*arguments)


def test_arguments_that_only_opencv_supports():
    holes = [np.full((3, 3), value) for value in (np.nan, np.inf, 1e300)]
    for taps in holes:
        with pytest.raises(Unsupported):
            ours.filter2D(X.astype("f4"), -1, taps)
    for delta in (np.nan, np.inf):
        with pytest.raises(Unsupported):
            ours.filter2D(X, -1, ONES, delta=delta)
        with pytest.raises(Unsupported):
            ours.Sobel(X, cv2.CV_16S, 1, 0, delta=delta)
    for source in (5, (1, 2, 3), cv2.UMat(X)):
        with pytest.raises(Unsupported):
            ours.filter2D(source, -1, ONES)
    with pytest.raises(Unsupported):
        ours.GaussianBlur(X, (0, 0), 1e6)
    with pytest.raises(Unsupported):
        ours.blur(X, (10_000, 10_000))
    for arguments in (
        ((5, 5), 0, 0, 3, 1),
        ((5, 5), 1, 0, 0, 1),
        ((5, 5), 1, np.nan, 3, 1),
        ((5, 5), 1, 0, 3, np.inf),
        ((0, 5), 1, 0.5, 3, 0),
        ((0, 0), 1e6, 0, 3, 1),
    ):
        with pytest.raises(Unsupported):
            ours.getGaborKernel(*arguments)


def test_invalid_kernel_sizes_raise_type_errors_as_in_opencv():
    for arguments in ((3.0, 1), (3, "1"), (3, 1, "f4"), (None, True)):
        for module in (ours, cv2):
            with pytest.raises(TypeError):
                module.getGaussianKernel(*arguments)
    for arguments in (((5.0, 5), 1, 1, 3, 1), (5, 1, 1, 3, 1), ((5, 5), "1", 1, 3, 1), ((5, 5), 1, 1, 3, 1, 0, "f4")):
        for module in (ours, cv2):
            with pytest.raises(TypeError):
                module.getGaborKernel(*arguments)
    with pytest.raises(ours.error, match="ksize"):
        ours.getGaussianKernel(-3, 1)  # the original ends the process


def test_opencv_is_not_imported():
    assert succeed("import sys, fastconv.compat.cv2; print('cv2' in sys.modules)") == ["False"]


def test_nan_affects_only_pixels_whose_kernel_covers_it():
    for dtype, size in (("f4", 13), ("f8", 9), ("f4", 31)):
        x = np.random.default_rng(13).standard_normal((80, 90)).astype(dtype)
        x[40, 50] = np.nan
        taps = np.random.default_rng(14).standard_normal((size, size))
        assert np.isnan(cv2.filter2D(x, -1, taps)).all()  # the bug of OpenCV
        found = ours.filter2D(x, -1, taps)
        half = size // 2
        reached = np.zeros(x.shape, bool)
        reached[40 - half : 41 + half, 50 - half : 51 + half] = True
        np.testing.assert_array_equal(np.isnan(found), reached)
        clean = np.where(np.isnan(x), 0, x).astype(dtype)
        np.testing.assert_allclose(found[~reached], ours.filter2D(clean, -1, taps)[~reached], rtol=1e-4, atol=1e-4)


def test_byte_swapped_arrays_are_read_and_written():
    x, taps = np.random.default_rng(15).integers(0, 200, (9, 8)), np.ones((3, 2)) / 4
    for dtype in ("u2", "i2", "f4", "f8"):
        wanted = ours.filter2D(x.astype(dtype), -1, taps)
        swapped = x.astype(np.dtype(dtype).newbyteorder())
        assert not np.array_equal(cv2.filter2D(swapped, -1, taps), wanted)  # the bug of OpenCV
        found = ours.filter2D(swapped, -1, taps)
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(ours.filter2D(x.astype(dtype), -1, taps.astype(">f8")), wanted)
        dst = np.zeros_like(swapped)
        assert ours.filter2D(x.astype(dtype), -1, taps, dst) is dst
        np.testing.assert_array_equal(dst, wanted)


def test_blur_keeps_a_constant_image():
    x = np.full((20, 20), 10, np.uint8)
    assert cv2.blur(x, (2, 1))[9, 9] == 11  # the bug of OpenCV
    for size in ((2, 1), (1, 2), (2, 2), (4, 2), (4, 4), (16, 16), (8, 32)):
        assert (ours.blur(x, size) == 10).all()


def test_isolated_borders_and_negative_means_are_correct():
    line, border = np.full((1, 22), 8, np.float32), cv2.BORDER_CONSTANT + cv2.BORDER_ISOLATED
    assert cv2.blur(line, (3, 4), borderType=border)[0, 9] == 8  # the bug of OpenCV
    assert ours.blur(line, (3, 4), borderType=border)[0, 9] == pytest.approx(2)
    assert cv2.blur(line, (3, 4), borderType=cv2.BORDER_CONSTANT)[0, 9] == pytest.approx(2)
    below = np.full((8, 64), -20_000, np.int16)
    assert (cv2.boxFilter(below, cv2.CV_8U, (3, 3)) != 0).any()  # the bug of OpenCV
    assert (ours.boxFilter(below, cv2.CV_8U, (3, 3)) == 0).all()


def test_floats_beyond_the_range_of_an_integer_saturate():
    x, one = np.array([[3e9, -3e9, 1e20, -1e20]], np.float32).repeat(9, 1), np.ones(1, np.float32)
    for depth, dtype in ((cv2.CV_8U, np.uint8), (cv2.CV_16U, np.uint16), (cv2.CV_16S, np.int16)):
        limits = np.iinfo(dtype)
        assert cv2.sepFilter2D(x, depth, one, one)[0, 0] == limits.min  # the bug of OpenCV
        found = ours.sepFilter2D(x, depth, one, one)
        np.testing.assert_array_equal(found, np.where(x > 0, limits.max, limits.min))


def test_gaussian_kernels_of_even_size_match_the_formula():
    for size, sigma in ((2, 1.0), (4, 1.0), (10, 2.0)):
        taps = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)
        taps /= taps.sum()
        np.testing.assert_allclose(ours.getGaussianKernel(size, sigma).ravel(), taps, rtol=1e-14)
        if size > 2:
            assert np.abs(cv2.getGaussianKernel(size, sigma).ravel() - taps).max() > 1e-3  # the bug of OpenCV
