"""Named and typed kernels: their numbers, which way they point, and what is said about mistakes."""

import numpy as np
import pytest

import fastconv
from fastconv import kernels

RIGHT = np.tile(np.arange(5.0), (5, 1))  # brightness that grows by 1 a pixel to the right
DOWN = RIGHT.T


def respond(image, kernel):
    """The response in the middle of the image, far from its edges."""
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


def test_names_are_those_of_the_command():
    assert list(kernels.NAMES) == [
        "edge",
        "sharpen",
        "emboss",
        "box",
        "gaussian",
        "sobel-x",
        "sobel-y",
        "laplacian",
    ]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pictures_stay_float32(dtype):
    assert fastconv.convolve2d(np.ones((4, 4), dtype), kernels.box()).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("edge", 0),
        ("sharpen", 1),
        ("emboss", 1),
        ("box", 1),
        ("gaussian", 1),
        ("sobel-x", 0),
        ("sobel-y", 0),
        ("laplacian", 0),
    ],
)
def test_what_happens_to_a_flat_picture(name, total):
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
        ("emboss", RIGHT, 2 + 6),  # itself, and six times the slope: lit from the left,
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


def test_a_spot_is_positive_for_edge_and_negative_for_laplacian():
    spot = np.zeros((5, 5))
    spot[2, 2] = 1
    assert respond(spot, kernels.edge()) == 8
    assert respond(spot, kernels.laplacian()) == -4


@pytest.mark.parametrize("size", [1, 2, 5])
def test_box(size):
    kernel = kernels.box(size)
    assert kernel.shape == (size, size)
    assert (kernel == np.float32(1 / size**2)).all()


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-3, ValueError), (2.0, TypeError), ("3", TypeError)])
def test_box_size_must_be_a_positive_integer(size, error):
    with pytest.raises(error, match=f"size must be a positive integer; got {size!r}"):
        kernels.box(size)


def test_gaussian_by_hand():
    # exp(-1/2) and exp(-1) beside 1, over the sum.
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


def test_gaussian_is_that_of_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    spot = np.zeros((25, 25))
    spot[12, 12] = 1
    expected = ndimage.gaussian_filter(spot, 3)
    np.testing.assert_allclose(kernels.gaussian(3), expected, rtol=1e-6)


@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan])
@pytest.mark.parametrize("name", ["sigma", "truncate"])
def test_gaussian_needs_positive_numbers(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive number; got {value!r}"):
        kernels.gaussian(**{name: value})


def test_an_unknown_name_is_answered_with_the_known():
    with pytest.raises(ValueError, match=r"no kernel is called 'sobel'; there are edge, .*sobel-x, sobel-y"):
        kernels.named("sobel")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", [[5]]),
        ("1 2 1; 2 4 2; 1 2 1", [[1, 2, 1], [2, 4, 2], [1, 2, 1]]),
        ("1,2\n3,4", [[1, 2], [3, 4]]),
        ("1 , 2\r\n\r\n3\t4\r\n", [[1, 2], [3, 4]]),
        ("; -1 0.5 ;; +2e1 .25;", [[-1, 0.5], [20, 0.25]]),
        ("1/4 -3/4, 1.5/-3", [[0.25, -0.75, -0.5]]),
        ("1/3", [[np.float32(1 / 3)]]),
        ("3.4028235e38", [[np.finfo(np.float32).max]]),
    ],
)
def test_parse(text, expected):
    kernel = kernels.parse(text)
    assert kernel.dtype == np.float32
    assert kernel.shape == np.shape(expected)
    np.testing.assert_array_equal(kernel, expected)


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
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_parse_names_the_problem(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        kernels.parse(text)
    assert str(caught.value) == message


def test_read(tmp_path):
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
def test_read_says_in_which_file(tmp_path, content, message):
    path = tmp_path / "kernel.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        kernels.read(path)
    assert str(caught.value) == f"{path}: {message}"


def test_read_leaves_a_missing_file_to_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        kernels.read(tmp_path / "none.txt")
