"""The table of names of other libraries in docs/boundaries.md, against those libraries."""

import re
import sys

import numpy as np
import pytest
from scipy import ndimage, signal

import fastconv
from tests.test_documentation import ROOT, text_of

sys.path.insert(0, str(ROOT / "docs/figures"))

import boundaries

X = np.array([5, 1, 7, 2, 9])
KERNEL = np.array([1, 10, 100, 1000, 10000, 100000, 1000000])


def rows(first, last):
    """The cells of the rows of the table from one heading to the next: the first name of each library."""
    table = text_of("docs/boundaries.md")
    part = table[table.index(f"| **{first}**") : table.index(f"| **{last}**")]
    for line in part.splitlines()[1:]:
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[2:6]]
        yield tuple((cell or [None])[0] for cell in cells)


BOUNDARIES = [*rows("boundary", "mode")]
MODES = [*rows("mode", "origin")]


def test_the_table_has_all_boundaries_and_modes():
    assert {row[0] for row in BOUNDARIES} == {"zero", "fill", "nearest", "reflect", "mirror", "wrap"}
    assert {row[0] for row in MODES} == {"full", "same", "valid"}


@pytest.mark.parametrize(("boundary", "numpy", "scipy_signal", "scipy_ndimage"), BOUNDARIES)
def test_a_boundary(boundary, numpy, scipy_signal, scipy_ndimage):
    fill = {"fill_value": 4} if boundary == "fill" else {}
    expected = fastconv.convolve1d(X, KERNEL, "same", boundary=boundary, **fill)
    reach = len(KERNEL) // 2
    constant = {"constant_values": 4} if boundary == "fill" else {}
    np.testing.assert_array_equal(np.convolve(np.pad(X, reach, numpy, **constant), KERNEL, "valid"), expected)
    found = ndimage.convolve1d(X, KERNEL, mode=scipy_ndimage, cval=4 if boundary == "fill" else 0)
    np.testing.assert_array_equal(found, expected)
    if scipy_signal is not None:
        outside = 4 if boundary == "fill" else 0
        found = signal.convolve2d(X[np.newaxis], KERNEL[np.newaxis], "same", scipy_signal, outside)
        np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize(("mode", "numpy", "scipy_signal", "_"), MODES)
def test_a_mode(mode, numpy, scipy_signal, _):
    expected = fastconv.convolve1d(X, KERNEL[:4], mode)
    np.testing.assert_array_equal(np.convolve(X, KERNEL[:4], numpy), expected)
    np.testing.assert_array_equal(signal.convolve(X, KERNEL[:4], scipy_signal), expected)


ORIGINS = {
    "`first`": lambda x, k: signal.lfilter(k, 1.0, x.astype(float)),
    "`center`": lambda x, k: np.convolve(x, k, "same"),
    "`M // 2`": lambda x, k: ndimage.convolve1d(x, k, mode="constant"),
}


@pytest.mark.parametrize("start", ORIGINS)
def test_an_origin(start):
    assert f"| {start} |" in text_of("docs/boundaries.md")
    kernel = KERNEL[:4]
    name = start.strip("`")
    found = fastconv.convolve1d(X, kernel, "same", start=len(kernel) // 2 if name == "M // 2" else name)
    np.testing.assert_array_equal(found, ORIGINS[start](X, kernel))


@pytest.mark.parametrize("name", boundaries.PICTURES)
def test_a_picture_is_what_fastconv_does(name):
    assert f"(images/{name})" in text_of("docs/boundaries.md")
    function, argument = boundaries.PICTURES[name]
    assert text_of(f"docs/images/{name}") == function(argument)
