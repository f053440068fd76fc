"""Named and typed kernels: values, orientation, and errors."""

import inspect
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

import fastconv
from fastconv import kernels
from fastconv._model.separability import factors
from tests.sample_calls import succeed

RNG = np.random.default_rng(5)
RIGHT = np.tile(np.arange(5.0), (5, 1))  # brightness increases by 1 per pixel to the right
DOWN = RIGHT.T


def respond(image, kernel):
    """Return the response at the centre of the image."""
    return fastconv.convolve2d(image, kernel, "valid")[1, 1]


@pytest.mark.parametrize("name", kernels.NAMES)
def test_named_kernels_are_new_float32_arrays(name):
    kernel = kernels.named(name)
    assert kernel.dtype == np.float32
    assert kernel.ndim == 2
    assert kernel.flags.writeable
    expected = kernel.copy()
    kernel[...] = 0
    np.testing.assert_array_equal(kernels.named(name), expected)


@pytest.mark.parametrize("name", kernels.NAMES)
def test_float32_kernels_are_rounded_float64_kernels(name):
    rough, fine = kernels.named(name), kernels.named(name, dtype="float64")
    assert fine.dtype == np.float64
    assert fine.flags.writeable
    np.testing.assert_array_equal(kernels.NAMES[name](dtype=np.float64), fine)
    np.testing.assert_array_equal(kernels.named(name, dtype=np.dtype("f4")), rough)
    if name == "log":  # multiples of a power of two in each type
        np.testing.assert_allclose(fine, rough, rtol=0, atol=6 * 2.0**-22 * np.abs(rough).sum(dtype=float))
    else:
        np.testing.assert_array_equal(fine.astype(np.float32), rough)


def test_named_takes_the_parameters_of_the_kernel():
    np.testing.assert_array_equal(kernels.named("gaussian", sigma=(2, 3), truncate=2), kernels.gaussian((2, 3), 2))
    with pytest.raises(TypeError, match=r"^kernel 'box' takes size; got sigma$"):
        kernels.named("box", sigma=2)
    with pytest.raises(TypeError, match=r"^kernel 'sobel-x' takes no parameters; got size$"):
        kernels.named("sobel-x", size=5)
    with pytest.raises(ValueError, match=r"^radius must be a positive number; got 0$"):
        kernels.named("disk", radius=0)


@pytest.mark.parametrize(
    "make",
    [
        *kernels.NAMES.values(),
        lambda dtype: kernels.named("box", dtype=dtype),
        lambda dtype: kernels.parse("1/3", dtype=dtype),
        lambda dtype: kernels.read("no file", dtype=dtype),
        lambda dtype: kernels.from_pillow(ImageFilter.BLUR, dtype=dtype),
    ],
)
def test_dtype_must_be_float32_or_float64(make):
    for dtype in ("float16", "uint8", ">f4", complex, object, []):
        with pytest.raises(ValueError, match="dtype must be float32 or float64; got ") as caught:
            make(dtype=dtype)
        assert repr(dtype) in str(caught.value)
    for dtype in (None, "number", 1, {1}):
        with pytest.raises(TypeError, match="dtype must be float32 or float64; got "):
            make(dtype=dtype)


EPS = np.finfo(np.float64).eps


def test_float64_blurs_sum_to_1():
    rng = np.random.default_rng(6)
    blurs = [kernels.box(size, dtype="f8") for size in (3, 7, 49, (5, 21))]
    for size in rng.uniform(0.2, 25, 200):
        blurs += [kernels.gaussian(size, dtype="f8"), kernels.gaussian((size, 3), 2.5, dtype="f8")]
        blurs += [kernels.disk(size, dtype="f8"), kernels.motion(10 * size, rng.uniform(0, 360), dtype="f8")]
    for length in range(1, 300, 7):  # lines that end near corners of pixels
        blurs += [kernels.motion(length, angle, dtype="f8") for angle in (30, 45, 135)]
    assert max(abs(math.fsum(blur.flat) - 1) for blur in blurs) <= 2 * EPS
    for sigma, amount in ((1, 1), (0.7, 0.3), ((1, 4), 5)):
        sharper = kernels.unsharp(sigma, amount, dtype="f8")
        assert abs(math.fsum(sharper.flat) - 1) <= 2 * EPS * np.abs(sharper).sum()


def exact_gaussian(sigma, radius):
    """Return a Gaussian with the sum 1, as decimals."""
    profile = [(-(Decimal(x) ** 2) / (2 * Decimal(sigma) ** 2)).exp() for x in range(-radius, radius + 1)]
    return [tap / sum(profile) for tap in profile]


def outer(column, row):
    return np.multiply.outer(np.array(column, object), np.array(row, object))


@pytest.mark.parametrize(("sigma", "truncate"), [(0.3, 4), (1.4, 4), (3.3, 2.5), (8, 4)])
def test_float64_gaussian_and_log_match_their_formulas(sigma, truncate):
    kernel = kernels.log(sigma, truncate, dtype="f8")
    radius = len(kernel) // 2
    square = [Decimal(x) ** 2 for x in range(-radius, radius + 1)]
    reach = int(truncate * sigma + 0.5)
    with localcontext() as context:
        context.prec = 40
        profile = exact_gaussian(sigma, radius)
        second = sum(x * tap for x, tap in zip(square, profile))
        fourth = sum(x * x * tap for x, tap in zip(square, profile))
        curved = [2 * (x - second) / (fourth - second**2) * tap for x, tap in zip(square, profile)]
        exact = outer(curved, profile) + outer(profile, curved)
        profile = exact_gaussian(sigma, reach)
        blur = outer(profile, profile).astype(float)
    np.testing.assert_allclose(kernels.gaussian(sigma, truncate, dtype="f8"), blur, rtol=1e-14)

    exact = exact.astype(float)
    unit = 2.0**-51 * np.abs(exact).sum()
    difference = np.abs(kernel - exact)
    assert difference[radius, radius] <= 12 * unit
    difference[radius, radius] = 0
    assert difference.max() <= 3 * unit
    assert math.fsum(kernel.flat) == 0
    for _ in range(10):
        assert np.cumsum(RNG.permutation(kernel.ravel()))[-1] == 0


def test_parse_read_and_from_pillow_support_float64(tmp_path):
    path = tmp_path / "kernel.txt"
    path.write_text("1/3 1e300\n")
    for kernel in (kernels.parse("1/3 1e300", dtype="float64"), kernels.read(path, dtype="float64")):
        assert kernel.dtype == np.float64
        assert kernel.tolist() == [[1 / 3, 1e300]]
    with pytest.raises(ValueError, match="kernel must be made of numbers finite in float64; got '1e309'"):
        kernels.parse("1e309", dtype="float64")
    with pytest.raises(ValueError, match="kernel must be made of numbers finite in float32; got '1e300'"):
        kernels.read(path)

    found = kernels.from_pillow(ImageFilter.Kernel((3, 3), [0.1] * 9, scale=1), dtype="float64")
    assert found["kernel"].dtype == np.float64
    assert (found["kernel"] == 0.1).all()
    with pytest.raises(ValueError, match="kernel must hold numbers finite in float64; got "):
        kernels.from_pillow(ImageFilter.Kernel((3, 3), [np.inf] * 9, scale=1), dtype="float64")
    kernels.from_pillow(ImageFilter.Kernel((3, 3), [1e300] * 9, scale=1), dtype="float64")


def test_names_have_a_fixed_order():
    assert list(kernels.NAMES) == [
        "identity",
        "edge",
        "ridge",
        "sharpen",
        "unsharp",
        "unsharp-5x5",
        "emboss",
        "box",
        "binomial",
        "disk",
        "gaussian",
        "motion",
        "sobel-x",
        "sobel-y",
        "prewitt-x",
        "prewitt-y",
        "scharr-x",
        "scharr-y",
        "laplacian",
        "log",
        "gabor",
    ]


def test_the_well_known_kernels_have_exactly_their_taps():
    well_known = {
        "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        "ridge:neighbours=4": [[0, -1, 0], [-1, 4, -1], [0, -1, 0]],
        "ridge:neighbours=8": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
        "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
        "box": np.ones((3, 3)) / 9,
        "binomial": np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16,
        "binomial:size=5": np.array(
            [[1, 4, 6, 4, 1], [4, 16, 24, 16, 4], [6, 24, 36, 24, 6], [4, 16, 24, 16, 4], [1, 4, 6, 4, 1]]
        )
        / 256,
        "unsharp-5x5": np.array(
            [
                [1, 4, 6, 4, 1],
                [4, 16, 24, 16, 4],
                [6, 24, -476, 24, 6],
                [4, 16, 24, 16, 4],
                [1, 4, 6, 4, 1],
            ]
        )
        / -256,
    }
    for text, taps in well_known.items():
        name, _, parameter = text.partition(":")
        parameters = {parameter.partition("=")[0]: int(parameter.partition("=")[2])} if parameter else {}
        for dtype in (np.float32, np.float64):
            np.testing.assert_array_equal(kernels.named(name, dtype=dtype, **parameters), np.asarray(taps, dtype))


def test_binomial_is_the_repeated_convolution_of_two_ones():
    line = [[1.0]]
    for size in range(1, 20):
        np.testing.assert_array_equal(kernels.binomial((1, size), dtype="f8"), line)
        np.testing.assert_array_equal(kernels.binomial((size, 1), dtype="f8"), np.transpose(line))
        line = fastconv.convolve2d(line, [[0.5, 0.5]])
    assert np.isfinite(kernels.binomial(1024)).all()
    with pytest.raises(ValueError, match=r"^size must be at most 1024; got \(1, 1025\)$"):
        kernels.binomial((1, 1025))


@pytest.mark.parametrize(
    ("neighbours", "error"), [(5, ValueError), (0, ValueError), (4.5, TypeError), ("8", TypeError)]
)
def test_ridge_has_four_or_eight_neighbours(neighbours, error):
    with pytest.raises(error, match=r"neighbours must be .*; got "):
        kernels.ridge(neighbours)


def test_docstrings_begin_with_a_line_for_show_kernels():
    lines = [inspect.getdoc(kernels.NAMES[name]).splitlines()[:2] for name in kernels.NAMES]
    for first, second in lines:
        assert second == ""
        assert first.endswith(".")
        assert "`" not in first
    assert len({first for first, _ in lines}) == len(kernels.NAMES)


def test_import_does_not_import_pillow():
    assert succeed("import sys, fastconv.kernels; print('PIL' in sys.modules)") == ["False"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pictures_are_convolved_in_float32(dtype):
    assert fastconv.convolve2d(np.ones((4, 4), dtype), kernels.box()).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("identity", 1),
        ("edge", 0),
        ("ridge", 0),
        ("unsharp-5x5", 1),
        ("binomial", 1),
        ("sharpen", 1),
        ("unsharp", 1),
        ("emboss", 1),
        ("box", 1),
        ("disk", 1),
        ("gaussian", 1),
        ("motion", 1),
        ("sobel-x", 0),
        ("sobel-y", 0),
        ("prewitt-x", 0),
        ("prewitt-y", 0),
        ("scharr-x", 0),
        ("scharr-y", 0),
        ("laplacian", 0),
        ("log", 0),
    ],
)
def test_response_to_a_flat_picture(name, total):
    kernel = kernels.named(name)
    # Each tap was rounded once, so the sum is off by at most half an eps of the sum of magnitudes.
    slack = np.finfo(np.float32).eps / 2 * np.abs(kernel).sum(dtype=float)
    assert abs(kernel.sum(dtype=float) - total) <= slack


@pytest.mark.parametrize(
    ("name", "image", "response"),
    [
        ("sobel-x", RIGHT, 8),
        ("sobel-x", DOWN, 0),
        ("sobel-y", DOWN, 8),
        ("sobel-y", RIGHT, 0),
        ("prewitt-x", RIGHT, 6),
        ("prewitt-x", DOWN, 0),
        ("prewitt-y", DOWN, 6),
        ("prewitt-y", RIGHT, 0),
        ("scharr-x", RIGHT, 32),
        ("scharr-x", DOWN, 0),
        ("scharr-y", DOWN, 32),
        ("scharr-y", RIGHT, 0),
        ("emboss", RIGHT, 2 + 6),  # the picture plus six times the slope: lit from the left,
        ("emboss", DOWN, 2 + 6),  # and from above
        ("edge", RIGHT, 0),
        ("laplacian", RIGHT**2, 2),
        ("laplacian", RIGHT**2 + DOWN**2, 4),
        ("sharpen", RIGHT**2, 4 - 2),
        ("box", RIGHT, 2),
    ],
)
def test_orientation_and_scale(name, image, response):
    assert respond(image, kernels.named(name)) == pytest.approx(response, abs=1e-5)


def test_edge_is_positive_and_laplacian_negative_on_a_spot():
    spot = np.zeros((5, 5))
    spot[2, 2] = 1
    assert respond(spot, kernels.edge()) == 8
    assert respond(spot, kernels.laplacian()) == -4


def method_for(kernel):
    """Return the method chosen for a picture of usual size."""
    return fastconv.plan(kernel, shape=(512, 512), dtype=np.float32, mode="same", boundary="reflect").method


@pytest.mark.parametrize(
    "kernel",
    [
        kernels.gaussian(),
        kernels.gaussian(3),
        kernels.gaussian((2, 5)),
        kernels.box(9),
        kernels.box((5, 21)),
        kernels.gabor(),
        kernels.gabor(8, 90, phase=30),
    ],
)
def test_large_outer_products_use_the_separable_method(kernel):
    assert method_for(kernel) == "separable"


@pytest.mark.parametrize(
    "kernel",
    [
        kernels.box(),
        kernels.prewitt_x(),
        kernels.prewitt_y(),
        kernels.scharr_x(),
        kernels.scharr_y(),
        kernels.sobel_x(),
        kernels.sobel_y(),
        *(kernels.gabor(5, angle, 2.7, aspect=1, phase=12) for angle in (0, 90, 180, -90, 3690)),
        *(kernels.gabor(4, angle) for angle in (0, 90, 180, -90, 3690)),  # with zeros between crests and troughs
    ],
)
def test_outer_products_have_factors(kernel):
    column, row = factors(kernel, kernel.dtype)
    np.testing.assert_allclose(np.multiply.outer(column.astype(float), row), kernel, rtol=5e-7)


@pytest.mark.parametrize(
    "kernel",
    [
        kernels.disk(),
        kernels.gabor(8, 45),
        kernels.gabor(8, 1),
        kernels.log(),
        kernels.motion(9, 30),
        kernels.unsharp(),
    ],
)
def test_other_kernels_have_no_factors(kernel):
    assert factors(kernel, kernel.dtype) is None


NUMBER, FINITE, INTEGER = "a positive number", "a finite number", "a positive integer"
NOT_NEGATIVE = "0 or a positive number"
MISTAKES = [
    *((kernels.box, "size", value, ValueError, INTEGER) for value in (0, -3)),
    *((kernels.box, "size", value, TypeError, INTEGER) for value in (2.0, "3", None)),
    *(
        (function, name, value, ValueError, NUMBER)
        for value in (0, -1, np.inf, np.nan)
        for function, names in (
            (kernels.gaussian, ("truncate",)),
            (kernels.unsharp, ("truncate",)),
            (kernels.log, ("sigma", "truncate")),
            (kernels.disk, ("radius",)),
            (kernels.motion, ("length",)),
            (kernels.gabor, ("wavelength", "sigma", "aspect", "truncate")),
        )
        for name in names
    ),
    *(
        (function, name, value, error, FINITE)
        for value, error in ((np.inf, ValueError), (np.nan, ValueError), ("1", TypeError), (1j, TypeError))
        for function, name in (
            (kernels.unsharp, "amount"),
            (kernels.motion, "angle"),
            (kernels.gabor, "angle"),
            (kernels.gabor, "phase"),
        )
    ),
    *(
        (function, "sigma", value, error, NOT_NEGATIVE)
        for value, error in ((-1, ValueError), (np.inf, ValueError), (np.nan, ValueError), ("2", TypeError))
        for function in (kernels.gaussian, kernels.unsharp)
    ),
    (kernels.gaussian, "sigma", None, TypeError, NOT_NEGATIVE),
    (kernels.disk, "radius", "2", TypeError, NUMBER),
]


@pytest.mark.parametrize(("function", "name", "value", "error", "allowed"), MISTAKES)
def test_invalid_arguments_raise(function, name, value, error, allowed):
    with pytest.raises(error) as caught:
        function(**{name: value})
    assert str(caught.value) == f"{name} must be {allowed}; got {value!r}"


@pytest.mark.parametrize(
    ("function", "name", "value", "error", "message"),
    [
        (kernels.box, "size", (3, 0), ValueError, "size[1] must be a positive integer; got 0"),
        (kernels.box, "size", (3.0, 3), TypeError, "size[0] must be a positive integer; got 3.0"),
        (kernels.box, "size", (3,), ValueError, "size must be one number, or two for (rows, columns); got (3,)"),
        (kernels.gaussian, "sigma", (-1, 2), ValueError, "sigma[0] must be 0 or a positive number; got -1"),
        (kernels.gaussian, "sigma", (1, "2"), TypeError, "sigma[1] must be 0 or a positive number; got '2'"),
        (kernels.unsharp, "sigma", [1, -0.5], ValueError, "sigma[1] must be 0 or a positive number; got -0.5"),
        (
            kernels.gaussian,
            "sigma",
            (1, 2, 3),
            ValueError,
            "sigma must be one number, or two for (rows, columns); got (1, 2, 3)",
        ),
        (kernels.log, "sigma", (1, 2), TypeError, "sigma must be a positive number; got (1, 2)"),
    ],
)
def test_invalid_pairs_raise(function, name, value, error, message):
    with pytest.raises(error) as caught:
        function(**{name: value})
    assert str(caught.value) == message


@pytest.mark.parametrize("size", [1, 2, 5, (1, 4), (3, 5), [5, 2], np.array([2, 3])])
def test_box_is_a_mean(size):
    kernel = kernels.box(size)
    rows, columns = np.broadcast_to(size, 2)
    assert kernel.shape == (rows, columns)
    assert (kernel == np.float32(1 / (rows * columns))).all()


def test_gaussian_equals_values_computed_by_hand():
    # exp(-1/2) and exp(-1) relative to 1, divided by the sum.
    near, far = np.exp(-0.5), np.exp(-1)
    expected = np.array([[far, near, far], [near, 1, near], [far, near, far]])
    np.testing.assert_allclose(kernels.gaussian(1, truncate=1), expected / expected.sum(), rtol=6e-8)


@pytest.mark.parametrize(
    ("sigma", "truncate", "size"), [(1, 4, 9), (2.5, 4, 21), (1, 2.4, 5), (1, 2.5, 7), (0.1, 4, 1), (1e-200, 4, 1)]
)
def test_gaussian_radius(sigma, truncate, size):
    kernel = kernels.gaussian(sigma, truncate)
    assert kernel.shape == (size, size)
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1])
    assert kernel.argmax() == kernel.size // 2


@pytest.mark.parametrize("sigma", [3, (1, 3), (2.5, 0.5)])
def test_gaussian_equals_scipy(sigma):
    spot = np.zeros((25, 25))
    spot[12, 12] = 1
    expected = ndimage.gaussian_filter(spot, sigma)
    kernel = kernels.gaussian(sigma)
    assert kernel.shape == tuple(2 * int(4 * one + 0.5) + 1 for one in np.broadcast_to(sigma, 2))
    margins = [(25 - size) // 2 for size in kernel.shape]
    np.testing.assert_allclose(np.pad(kernel, [(margin, margin) for margin in margins]), expected, rtol=1e-6)


@pytest.mark.parametrize(("sigma", "amount"), [(1, 1), (2.5, 0.3), ((1, 2), 5), (1.5, -1), (1, 0)])
def test_unsharp_adds_the_difference_from_a_gaussian(sigma, amount):
    picture = RNG.uniform(0, 255, (40, 50))
    expected = picture + amount * (picture - ndimage.gaussian_filter(picture, sigma))
    result = fastconv.convolve2d(picture, kernels.unsharp(sigma, amount), "same", boundary="reflect")
    np.testing.assert_allclose(result, expected, atol=255 * 2e-7 * (1 + 2 * abs(amount)))


def test_unsharp_with_negative_amount_blurs():
    np.testing.assert_array_equal(kernels.unsharp(2, amount=-1), kernels.gaussian(2))
    assert (np.argwhere(kernels.unsharp(2, amount=0)) == 8).all()


@pytest.mark.parametrize("name", ["sobel", "prewitt"])
@pytest.mark.parametrize("axis", [0, 1])
def test_sobel_and_prewitt_equal_scipy(name, axis):
    picture = RNG.integers(0, 256, (20, 30)).astype(float)
    expected = getattr(ndimage, name)(picture, axis)
    kernel = kernels.named(f"{name}-{'yx'[axis]}")
    np.testing.assert_array_equal(fastconv.convolve2d(picture, kernel, "same", boundary="reflect"), expected)


@pytest.mark.parametrize("axis", [0, 1])
def test_scharr_equals_opencv(axis):
    cv2 = pytest.importorskip("cv2")
    picture = RNG.integers(0, 256, (20, 30)).astype(np.float32)
    expected = cv2.Scharr(picture, cv2.CV_32F, axis, 1 - axis, borderType=cv2.BORDER_REFLECT)
    kernel = kernels.named(f"scharr-{'yx'[axis]}")
    np.testing.assert_array_equal(fastconv.convolve2d(picture, kernel, "same", boundary="reflect"), expected)


@pytest.mark.parametrize("name", ["sobel", "prewitt", "scharr"])
def test_vertical_derivatives_are_horizontal_ones_transposed(name):
    np.testing.assert_array_equal(kernels.named(f"{name}-y"), kernels.named(f"{name}-x").T)


# ---------------------------------------------------------------------------------------------------------------- log


def monomial(size, rows, columns):
    """Return ``y**rows * x**columns``, with coordinates from the centre."""
    place = np.arange(size) - size // 2.0
    return np.outer(place**rows, place**columns)


@pytest.mark.parametrize(("sigma", "truncate"), [(0.3, 4), (0.5, 2), (1, 1.5), (1.4, 4), (2, 2), (3, 4)])
@pytest.mark.parametrize("degrees", [(i, j) for i in range(4) for j in range(4 - i)])
def test_log_is_exact_for_cubic_polynomials(sigma, truncate, degrees):
    kernel = kernels.log(sigma, truncate).astype(float)
    image = monomial(len(kernel), *degrees)
    response = float((kernel[::-1, ::-1] * image).sum())
    slack = 2**-23 * np.abs(kernel).sum() * np.abs(image).sum()
    assert response == pytest.approx(2 if degrees in ((0, 2), (2, 0)) else 0, abs=slack)


@pytest.mark.parametrize(("sigma", "truncate"), [(0.3, 4), (0.5, 2), (1.4, 4), (3.3, 2.5), (5, 4)])
def test_log_sums_to_zero_in_any_order(sigma, truncate):
    kernel = kernels.log(sigma, truncate)
    assert math.fsum(kernel.flat) == 0
    for _ in range(10):
        assert np.cumsum(RNG.permutation(kernel.ravel()), dtype=np.float32)[-1] == 0
    flat = np.full((60, 60), 64, np.float32)
    assert not fastconv.convolve2d(flat, kernel, "valid", method="direct").any()


@pytest.mark.parametrize("sigma", [1.4, 2, 3])
def test_log_equals_scipy_with_a_wide_cut_off(sigma):
    spot = np.zeros((61, 61))
    spot[30, 30] = 1
    expected = ndimage.gaussian_laplace(spot, sigma, truncate=6)
    kernel = kernels.log(sigma, truncate=6)
    margin = (61 - len(kernel)) // 2
    unit = 2**-22 * np.abs(expected).sum()
    difference = np.abs(np.pad(kernel, margin) - expected)
    assert difference[30, 30] <= 6 * unit
    difference[30, 30] = 0
    assert difference.max() <= unit


def test_log_of_a_small_sigma_is_the_laplacian():
    for sigma in (1e-200, 0.05, 0.1):
        np.testing.assert_array_equal(kernels.log(sigma), kernels.laplacian())
    for sigma in (0.3, 1, 5):
        kernel = kernels.log(sigma)
        assert kernel.shape == (2 * max(1, int(4 * sigma + 0.5)) + 1,) * 2
        assert kernel.argmin() == kernel.size // 2  # a bright spot is negative
        for same in (kernel.T, kernel[::-1], kernel[:, ::-1]):
            np.testing.assert_array_equal(same, kernel)


# --------------------------------------------------------------------------------------------------- lines and disks


@pytest.mark.parametrize("length", [0.5, 1, 2, 4.7, 9, 9 * math.sqrt(2), 30.3])
@pytest.mark.parametrize("angle", [0, 30, 45, math.degrees(math.atan(0.5)), 90, 135, 161, -20, 180, 450, 1e9])
def test_motion_taps_are_shares_of_a_line(length, angle):
    kernel = kernels.motion(length, angle)
    points, turn = 1_000_000, math.radians(math.fmod(angle, 360))
    station = (np.arange(points) + 0.5) / points * length - length / 2
    rows, columns = (np.floor(way * station + 0.5).astype(int) for way in (-math.sin(turn), math.cos(turn)))
    down, right = (size // 2 for size in kernel.shape)
    expected = np.zeros((2 * down + 3, 2 * right + 3))
    np.add.at(expected, (rows + down + 1, columns + right + 1), 1 / points)
    np.testing.assert_allclose(np.pad(kernel, 1), expected, atol=4 / points)
    # The bounding box is the smallest.
    assert kernel[0].any()
    assert kernel[:, 0].any()


@pytest.mark.parametrize("angle", [0, 10, 45, 60, 90, 135, 200])
@pytest.mark.parametrize("length", [0.3, 1, 3, 7.5, 40])
def test_motion_is_a_point_symmetric_mean_of_odd_size(length, angle):
    kernel = kernels.motion(length, angle)
    assert all(size % 2 for size in kernel.shape)
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1])
    np.testing.assert_array_equal(kernel, kernels.motion(length, angle + 180))
    assert kernel.min() >= 0
    assert kernel.sum(dtype=float) == pytest.approx(1, abs=1e-7)
    if length <= 1:
        assert kernel.tolist() == [[1]]


def test_motion_along_rows_columns_and_diagonals_equals_known_taps():
    np.testing.assert_array_equal(kernels.motion(9), np.full((1, 9), np.float32(1 / 9)))
    np.testing.assert_array_equal(kernels.motion(9, 90), np.full((9, 1), np.float32(1 / 9)))
    np.testing.assert_array_equal(kernels.motion(1001, -90), np.full((1001, 1), np.float32(1 / 1001)))
    # Up to the right, and from corner to corner of three pixels; the other diagonal goes down to the right.
    rising = kernels.motion(3 * math.sqrt(2), 45)
    np.testing.assert_allclose(rising, np.eye(3)[::-1] / 3, rtol=1e-6)
    np.testing.assert_array_equal(kernels.motion(3 * math.sqrt(2), 135), rising[::-1])


def test_motion_turns_counterclockwise():
    kernel = kernels.motion(11, 30)
    rows, columns = kernel.shape
    assert columns > rows
    assert kernel[0, -1] > 0  # in the upper right
    assert kernel[0, 0] == 0


@pytest.mark.parametrize("radius", [0.1, 0.5, 0.51, 0.8, 1, 1.5, 2.5, 3, 4.25, 7.3])
def test_disk_taps_are_areas_of_pixels_in_the_disk(radius):
    kernel = kernels.disk(radius)
    reach = max(0, math.ceil(radius - 0.5))
    assert kernel.shape == (2 * reach + 1,) * 2
    # Integrate the disk by thin vertical slices (midpoint rule).
    fine = 20_000
    x = ((np.arange(fine) + 0.5) / fine - 0.5)[np.newaxis] + np.arange(-reach, reach + 1)[:, np.newaxis]
    height = np.sqrt(np.maximum(radius**2 - x**2, 0))
    area = [
        np.maximum(np.minimum(y + 0.5, height) - np.maximum(y - 0.5, -height), 0).mean(axis=1)
        for y in range(-reach, reach + 1)
    ]
    np.testing.assert_allclose(kernel, np.array(area) / (math.pi * radius**2), atol=3e-6 / radius**2)


@pytest.mark.parametrize("radius", [1e-300, 0.3, 1, 2, 10.5, 33.3])
def test_disk_is_a_symmetric_mean(radius):
    kernel = kernels.disk(radius)
    for same in (kernel.T, kernel[::-1], kernel[:, ::-1]):
        np.testing.assert_array_equal(same, kernel)
    assert kernel.min() >= 0
    assert kernel[0].any()
    assert kernel.sum(dtype=float) == pytest.approx(1, abs=1e-7)
    # Pixels wholly inside have equal taps.
    assert kernel.max() == pytest.approx(1 / max(1, math.pi * radius**2), rel=1e-6 if radius > 0.8 else 1)


def test_small_disk_is_the_identity():
    assert kernels.disk(0.5).tolist() == [[1]]
    assert kernels.disk(1e-300).tolist() == [[1]]


# --------------------------------------------------------------------------------------------------------------- gabor


GABORS = [
    dict(wavelength=4, angle=0, sigma=2, aspect=0.5, phase=0),
    dict(wavelength=6, angle=30, sigma=3, aspect=0.5, phase=77),
    dict(wavelength=8, angle=90, sigma=4, aspect=1, phase=90),
    dict(wavelength=5.5, angle=-200, sigma=2.5, aspect=1.5, phase=-400),
]


@pytest.mark.parametrize("options", GABORS)
def test_gabor_matches_its_formula(options):
    kernel = kernels.gabor(**options, truncate=3)
    wavelength, sigma, aspect = options["wavelength"], options["sigma"], options["aspect"]
    angle, phase = math.radians(options["angle"]), math.radians(options["phase"])
    rows, columns = (size // 2 for size in kernel.shape)
    expected, total = np.zeros(kernel.shape), 0.0
    for y in range(-rows, rows + 1):
        for x in range(-columns, columns + 1):
            u, v = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
            profile = math.exp(-(u**2 + aspect**2 * v**2) / (2 * sigma**2))
            expected[y + rows, x + columns] = profile * math.cos(2 * math.pi * u / wavelength + phase)
            total += profile
    np.testing.assert_allclose(kernel, expected / total, atol=1e-7 * np.abs(expected).max() / total)


@pytest.mark.parametrize("options", GABORS)
def test_gabor_equals_opencv_rotated_by_180_degrees(options):
    cv2 = pytest.importorskip("cv2")
    kernel = kernels.gabor(**options)
    pillow_result = cv2.getGaborKernel(
        kernel.shape[::-1],
        options["sigma"],
        -math.radians(options["angle"]),
        options["wavelength"],
        options["aspect"],
        math.radians(options["phase"]),
    )[::-1, ::-1]
    scale = np.vdot(kernel, pillow_result) / np.vdot(pillow_result, pillow_result)
    np.testing.assert_allclose(kernel, pillow_result * scale, atol=1e-6 * kernel.max())


@pytest.mark.parametrize("angle", [0, 20, 45, 90, 170, -60])
def test_gabor_response_to_a_matching_wave_is_one_half(angle):
    turn = math.radians(angle)
    y, x = np.mgrid[:90, :90]
    along, across = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    kernel = kernels.gabor(6, angle)
    fitting, crossing = (fastconv.convolve2d(np.cos(2 * np.pi / 6 * wave), kernel, "valid") for wave in (along, across))
    assert np.abs(fitting).max() == pytest.approx(0.5, abs=0.005)
    assert np.abs(crossing).max() < 0.005


@pytest.mark.parametrize("angle", [0, 45, 90, 200])
def test_gabor_of_phase_90_is_positive_where_brightness_increases_along_the_angle(angle):
    kernel = kernels.gabor(8, angle, phase=90)
    turn = math.radians(angle)
    y, x = (np.arange(size)[::-1] - size // 2 for size in kernel.shape)  # flipped by the convolution
    wave = np.sin(2 * np.pi / 8 * (x * math.cos(turn) - y[:, np.newaxis] * math.sin(turn)))
    assert (kernel * wave).sum() == pytest.approx(0.5, abs=0.005)
    np.testing.assert_allclose(kernel, -kernel[::-1, ::-1], atol=1e-9)


def test_gabor_response_to_a_flat_picture_is_the_documented_one():
    flat = kernels.gabor(8).sum(dtype=float)
    assert flat == pytest.approx(math.exp(-2 * (math.pi * 0.56) ** 2), rel=0.2)
    assert kernels.gabor(8, phase=60).sum(dtype=float) == pytest.approx(flat / 2, rel=1e-3)


def test_angles_are_reduced_exactly():
    angle = 1.1e300
    rest = math.fmod(angle, 360)
    assert rest not in (0, 90, 180, 270)
    np.testing.assert_array_equal(kernels.gabor(8, angle, phase=angle), kernels.gabor(8, rest, phase=rest))
    np.testing.assert_array_equal(kernels.motion(9, angle), kernels.motion(9, rest))


def test_gabor_size_fits_its_ellipse():
    assert kernels.gabor(8, 0, sigma=4, aspect=0.5, truncate=3).shape == (2 * 24 + 1, 2 * 12 + 1)
    assert kernels.gabor(8, 90, sigma=4, aspect=0.5, truncate=3).shape == (2 * 12 + 1, 2 * 24 + 1)
    assert kernels.gabor(8, 45, sigma=4, aspect=1, truncate=3).shape == (25, 25)
    assert kernels.gabor(8).shape == kernels.gabor(8, sigma=0.56 * 8).shape


# -------------------------------------------------------------------------------------------------------- from Pillow


BUILT_IN = [
    ImageFilter.BLUR,
    ImageFilter.CONTOUR,
    ImageFilter.DETAIL,
    ImageFilter.EDGE_ENHANCE,
    ImageFilter.EDGE_ENHANCE_MORE,
    ImageFilter.EMBOSS,
    ImageFilter.FIND_EDGES,
    ImageFilter.SHARPEN,
    ImageFilter.SMOOTH,
    ImageFilter.SMOOTH_MORE,
]
PIXELS = RNG.integers(0, 256, (90, 110), np.uint8)


def pillow_result(kernel):
    """Return Pillow's result for `PIXELS` without the edge pixels, which it copies."""
    margin = kernel.filterargs[0][0] // 2
    return np.asarray(Image.fromarray(PIXELS).filter(kernel))[margin:-margin, margin:-margin]


def our_result(found):
    """Return the same by the converted kernel, in exact sums rounded half to even."""
    sums = fastconv.convolve2d(PIXELS.astype(float), found["kernel"].astype(float), "valid")
    return np.clip(np.rint(sums / found["scale"] + found["offset"]), 0, 255), sums


@pytest.mark.parametrize("kernel", BUILT_IN)
def test_from_pillow_reproduces_built_in_filters(kernel):
    found = kernels.from_pillow(kernel)
    assert found["kernel"].dtype == np.float32
    result, sums = our_result(found)
    different = result != pillow_result(kernel)
    if kernel in (ImageFilter.DETAIL, ImageFilter.SMOOTH_MORE):
        # Scales of 6 and 100: Pillow's float32 sums of exact halves have rounding errors of either sign.
        half = (2 * sums) % (2 * found["scale"]) == found["scale"]
        assert half.any()
        assert not (different & ~half).any()
        assert np.abs(result - pillow_result(kernel)).max() <= 1
    else:
        assert not different.any()


@pytest.mark.parametrize(
    "options",
    [
        dict(kernel=range(1, 10)),  # scale 45: no result is a half
        dict(kernel=range(1, 10), scale=64),
        dict(kernel=range(1, 10), scale=64, offset=0.5),
        dict(kernel=range(1, 10), scale=64, offset=-3.25),
        dict(kernel=range(1, 10), scale=64, offset=1 / 128),  # between the halves
        dict(kernel=range(1, 10), scale=-32, offset=255),
        dict(kernel=[0.5, -1.25, 0, 0.75, 1, 0, 0.25, 0, 0.125], scale=1),
        dict(kernel=[0.5, -1.25, 0, 0.75, 1, 0, 0.25, 0, 0.125], scale=0.5, offset=100.5),
        dict(kernel=[2, -4, 0, 6, 8, 0, 0, 0, 4], scale=16),
        dict(size=(5, 5), kernel=range(-10, 15), scale=128, offset=20),
    ],
)
def test_from_pillow_reproduces_custom_kernels(options):
    kernel = ImageFilter.Kernel(**{"size": (3, 3), **options})
    result, _ = our_result(kernels.from_pillow(kernel))
    np.testing.assert_array_equal(result, pillow_result(kernel))
    assert len(np.unique(result)) > 2


def test_from_pillow_mirrors_an_asymmetric_kernel():
    found = kernels.from_pillow(ImageFilter.Kernel((3, 3), range(1, 10), scale=1))
    np.testing.assert_array_equal(found["kernel"], [[3, 2, 1], [6, 5, 4], [9, 8, 7]])
    spot = np.zeros((5, 5), np.uint8)
    spot[2, 2] = 1
    seen = np.asarray(Image.fromarray(spot).filter(ImageFilter.Kernel((3, 3), range(1, 10), scale=1)))
    np.testing.assert_array_equal(seen[1:-1, 1:-1], found["kernel"])


def test_from_pillow_default_scale_is_the_sum_or_1():
    assert kernels.from_pillow(ImageFilter.Kernel((3, 3), range(1, 10)))["scale"] == 45
    ramp = [-1, 0, 1, -2, 0, 2, -1, 0, 1]
    found = kernels.from_pillow(ImageFilter.Kernel((3, 3), ramp, offset=128))
    assert (found["scale"], found["offset"]) == (1, 128)


@pytest.mark.parametrize(
    ("kernel", "nudge"),
    [
        (ImageFilter.BLUR, 1 / 64),
        (ImageFilter.SHARPEN, 1 / 32),  # taps over 16 are multiples of 1/8
        (ImageFilter.SMOOTH, 0),  # multiples of 1/13 are never halves
        (ImageFilter.EMBOSS, 0),
        (ImageFilter.EMBOSS(), 0),
        (ImageFilter.Kernel((3, 3), [1] * 9, scale=1, offset=0.5), 1 / 4),
        (ImageFilter.Kernel((3, 3), [1] * 9, scale=9, offset=0.5), 1 / 36),
        (ImageFilter.Kernel((3, 3), [1] * 9, scale=4, offset=1 / 8), 0),
    ],
)
def test_from_pillow_raises_the_offset_if_a_result_can_be_a_half(kernel, nudge):
    assert kernels.from_pillow(kernel)["offset"] == kernel.filterargs[2] + nudge


def test_from_pillow_refuses_filters_without_taps():
    for other in (ImageFilter.GaussianBlur(2), ImageFilter.MedianFilter, "BLUR", [[1]], None):
        with pytest.raises(TypeError, match=r"kernel must be a PIL.ImageFilter.Kernel, or a class such as .*; got "):
            kernels.from_pillow(other)
    with pytest.raises(TypeError, match="kernel must have taps; got the class"):
        kernels.from_pillow(ImageFilter.Kernel)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size=(3, 1), kernel=[1] * 3), "kernel must have 3 x 3 or 5 x 5 taps; got 3 x 1"),
        (dict(size=(7, 7), kernel=[1] * 49), "kernel must have 3 x 3 or 5 x 5 taps; got 7 x 7"),
        (dict(size=(3, 3), kernel=[np.nan] * 9), "kernel must hold numbers finite in float32; got "),
        (dict(size=(3, 3), kernel=[1e39] * 9, scale=1), "kernel must hold numbers finite in float32; got "),
        (dict(size=(3, 3), kernel=[1] * 9, scale=np.inf), "kernel must hold numbers finite in float32; got "),
        (dict(size=(3, 3), kernel=[1] * 9, offset=np.nan), "kernel must hold numbers finite in float32; got "),
    ],
)
def test_from_pillow_checks_size_and_values(options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        kernels.from_pillow(ImageFilter.Kernel(**options))
    assert str(caught.value).startswith(message)


# --------------------------------------------------------------------------------------------------- by name, and typed


def test_unknown_name_raises_and_lists_the_names():
    with pytest.raises(
        ValueError, match=r"no kernel is called 'sobel'; the names are identity, edge, .*sobel-x, sobel-y"
    ):
        kernels.named("sobel")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", [[5]]),
        ("1; 2\n", [[1], [2]]),
        ("1 2;\n3 4;\n", [[1, 2], [3, 4]]),
        ("1 2 1; 2 4 2; 1 2 1", [[1, 2, 1], [2, 4, 2], [1, 2, 1]]),
        ("1,2\n3,4", [[1, 2], [3, 4]]),
        ("1 , 2\r\n\r\n3\t4\r\n", [[1, 2], [3, 4]]),
        ("; -1 0.5 ;; +2e1 .25;", [[-1, 0.5], [20, 0.25]]),
        ("1/4 -3/4, 1.5/-3", [[0.25, -0.75, -0.5]]),
        ("1/3", [[np.float32(1 / 3)]]),
        ("3.4028235e38", [[np.finfo(np.float32).max]]),
    ],
)
def test_parse_reads_rows_of_numbers(text, expected):
    kernel = kernels.parse(text)
    assert kernel.dtype == np.float32
    assert kernel.shape == np.shape(expected)
    np.testing.assert_array_equal(kernel, expected)


SEPARATORS = "kernel must have blanks or commas between the numbers"
BROKEN = [
    ("", "kernel must not be empty; got no number"),
    (" ;\n; ", "kernel must not be empty; got no number"),
    ("1 2; 3", "kernel must have rows of equal length; row 1 has 2, row 2 has 1"),
    ("1; 2; 3 4", "kernel must have rows of equal length; row 1 has 1, row 3 has 2"),
    ("1 two 3", "kernel must be made of numbers; got 'two'"),
    ("1 2 x; 3", "kernel must be made of numbers; got 'x'"),
    ("1/0", "kernel must be made of numbers; got '1/0'"),
    ("1/2/3", "kernel must be made of numbers; got '1/2/3'"),
    ("1 /2", "kernel must be made of numbers; got '/2'"),
    ("1,,2", "kernel has a comma with no number beside it"),
    ("1,2,", "kernel has a comma with no number beside it"),
    ("1 nan", "kernel must be made of numbers finite in float32; got 'nan'"),
    ("-inf", "kernel must be made of numbers finite in float32; got '-inf'"),
    ("3.4028236e38", "kernel must be made of numbers finite in float32; got '3.4028236e38'"),
    ("1e999", "kernel must be made of numbers finite in float32; got '1e999'"),
    ("1;2;3\n4;5;6", f"{SEPARATORS} of a row; semicolons end rows, as lines do"),
    ("1;2;3;\n4;5;6;\n", f"{SEPARATORS} of a row; semicolons end rows, as lines do"),
    ("1,5 2,5 1", "kernel must have either blanks or commas between numbers, and decimal points; got '1,5 2,5 1'"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_parse_reports_invalid_text(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        kernels.parse(text)
    assert str(caught.value) == message


def test_read_ignores_comments(tmp_path):
    path = tmp_path / "kernel.txt"
    path.write_text("\ufeff# Scharr\n3 0 -3   # above\n10 0 -10\n\n3 0 -3; # below\n", encoding="utf-8")
    np.testing.assert_array_equal(kernels.read(path), [[3, 0, -3], [10, 0, -10], [3, 0, -3]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing\n", "kernel must not be empty; got no number"),
        (b"1 2\n3 # 4\n", "kernel must have rows of equal length; row 1 has 2, row 2 has 1"),
        (b"1 \xff 2", "not a text file in UTF-8"),
    ],
)
def test_read_names_the_file_in_errors(tmp_path, content, message):
    path = tmp_path / "kernel.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        kernels.read(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("path", [None, 1.5, ["kernel.txt"]])
def test_read_takes_paths_only(path):
    with pytest.raises(TypeError, match="path must be a path; got"):
        kernels.read(path)


def test_read_takes_no_number_of_an_open_file(tmp_path):
    with open(tmp_path / "open", "w+") as file:
        for number in (file.fileno(), np.int64(file.fileno())):
            with pytest.raises(TypeError, match="path must be a path; got"):
                kernels.read(number)
        file.write("still open")


def test_read_of_a_missing_file_raises_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        kernels.read(tmp_path / "none.txt")
