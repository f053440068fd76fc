"""Test helpers: `check` detects wrong results, layouts are correct, a run lists missing libraries, a trace files."""

import numpy as np
import pytest

import fastconv
from fastconv._simd import compilation
from tests.oracle import LAYOUTS, check, whole_numbers
from tests.sample_calls import run
from tests.trace import files_of


def convolve(x, kernel):
    return np.convolve(x, kernel)


X, KERNEL = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0])
EXPECT = np.array([1.0, 3.0, 5.0, 3.0])


def test_check_accepts_a_correct_result():
    check(convolve, X, KERNEL, expect=EXPECT)


def modify_input(x, kernel):
    x[0] = 9
    return EXPECT.copy()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, kernel: np.convolve(x, kernel)[:-1],
        lambda x, kernel: np.convolve(x, kernel).astype("f4"),
        lambda x, kernel: np.convolve(x, kernel).astype(">f8"),
        lambda x, kernel: np.convolve(x, kernel) + 1e-12,
        lambda x, kernel: np.repeat(np.convolve(x, kernel), 2)[::2],
        lambda x, kernel: list(np.convolve(x, kernel)),
        modify_input,
    ],
)
def test_check_rejects_a_wrong_result(wrong):
    with pytest.raises(AssertionError):
        check(wrong, X.copy(), KERNEL.copy(), expect=EXPECT)


def test_check_rejects_a_result_that_is_the_input():
    with pytest.raises(AssertionError):
        check(lambda x, kernel: x, EXPECT, KERNEL, expect=EXPECT)


def test_check_applies_the_tolerance():
    check(lambda x, kernel: EXPECT + 1e-9, X, KERNEL, expect=EXPECT, tolerance=1e-8)
    with pytest.raises(AssertionError):
        check(lambda x, kernel: EXPECT + 1e-9, X, KERNEL, expect=EXPECT, tolerance=1e-10)
    with pytest.raises(AssertionError):
        check(lambda x, kernel: EXPECT * np.nan, X, KERNEL, expect=EXPECT, tolerance=1e-10)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_preserve_the_values(layout):
    a = whole_numbers(np.random.default_rng(1), (4, 5), "f4")
    other = LAYOUTS[layout](a)
    np.testing.assert_array_equal(other, a)
    assert not np.shares_memory(other, a)


def test_layouts_have_the_named_property():
    a = np.arange(20, dtype="f4").reshape(4, 5)
    assert not LAYOUTS["unaligned"](a).flags.aligned
    assert not LAYOUTS["read-only"](a).flags.writeable
    assert LAYOUTS["reversed"](a).strides == (-20, -4)
    assert LAYOUTS["fortran"](a).flags.f_contiguous
    assert LAYOUTS["big-endian"](a).dtype.byteorder == ">"
    assert LAYOUTS["strided"](a).strides == (88, 8)


def test_a_run_lists_the_libraries_that_skipped_tests_need():
    code = """
import sys
import pytest
sys.modules["cv2"] = sys.modules["torch"] = None  # as if not installed
pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]])
"""
    files = (
        "tests/engines/test_overlapping_out.py",
        "tests/compat/test_cv2.py",
        "tests/robustness/test_embedding.py",
        "-k",
        "opencv or torch",
    )
    lines = run(code, *files).stdout.splitlines()
    assert "pip install opencv-python-headless: 1 test, all of tests/compat/test_cv2.py" in lines
    assert "pip install torch: 1 test" in lines
    # No list if no test is skipped.
    assert "pip install" not in run(code, "tests/model/test_geometry.py").stdout


def test_the_files_of_a_call_are_traced():
    fastconv.clear_caches()
    compilation.forget()
    found = files_of("fastconv.convolve2d(np.ones((9, 9), 'f4'), np.ones((3, 3), 'f4'), method='direct')")
    assert found["fastconv.convolution"] == ["convolve2d"]
    assert "_estimate" in found["fastconv._planning.method_choice"]
    assert "engine" in found["fastconv._engines.blocks.direct"]
    assert found["fastconv._microkernels.blocks.direct_tile"] == ["convolve_tiles"]
    assert found["fastconv._microkernels.blocks.block_loop"] == ["run"]
