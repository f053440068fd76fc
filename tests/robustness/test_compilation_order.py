"""Compiled kernels do not depend on the layout of arrays or on the order of calls."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import fastconv
from fastconv import image
from fastconv._runtime.instrumentation import observed
from fastconv._simd import compilation
from tests.oracle import LAYOUTS, expected, whole_numbers

# Layouts that differ in flags, byte order, alignment and strides, but need the same kernels.
ORDERED = {
    "read-only": LAYOUTS["read-only"],
    "read-only, big-endian": lambda a: LAYOUTS["read-only"](LAYOUTS["big-endian"](a)),
    "unaligned": LAYOUTS["unaligned"],
    "reversed": LAYOUTS["reversed"],
    "crop": LAYOUTS["crop"],
}
RNG = np.random.default_rng(1)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def compiled():
    """Names and signatures of routines that are compiled, or loaded from the disk cache, as in a new process."""
    found = []
    with observed(lambda event: event.name == "compile" and found.append((event.routine, event.signature))):
        clear_compiled()
        yield found
    clear_compiled()


def clear_compiled():
    """Forget all engines and compiled routines."""
    fastconv.clear_caches()
    compilation.forget()


def names(compiled):
    return sorted(name for name, _ in compiled)


def without_swaps(compiled):
    """The routines for native arrays, without the additional transfers of byte-swapped ones."""
    return sorted(one for one in compiled if not one[0].endswith("_swapped"))


@pytest.mark.parametrize("dtype", ["f4", "c8", "u1"])
def test_any_order_of_layouts_compiles_each_kernel_once(dtype, compiled):
    x, kernel = whole_numbers(RNG, (9, 60), dtype), whole_numbers(RNG, (3, 4), dtype)
    expect = expected(x, kernel, "same", "reflect")
    # Complex numbers need the same for their parts; bytes are summed in 16 bits.
    needed = {
        "f4": ["convolve_tiles", "run", "transfer"],
        "c8": ["add_rotated", "convolve_tiles", "run", "transfer"],
        "u1": ["convolve_tiles", "run", "transfer", "transfer"],
    }[dtype]
    arrays = {name: (layout(x), layout(kernel)) for name, layout in ORDERED.items()}
    orders = list(itertools.permutations(arrays))
    if dtype != "f4":  # fewer orders: each layout is the first one once
        orders = orders[:: len(orders) // len(arrays)]
        assert {order[0] for order in orders} == {*arrays}
    for order in orders:
        clear_compiled()
        compiled.clear()
        for number, name in enumerate(order):
            given, taps = arrays[name]
            np.testing.assert_array_equal(fastconv.convolve2d(given, taps, "same", boundary="reflect"), expect)
            if number == 0:
                assert names(without_swaps(compiled)) == needed, order
        assert names(compiled) == needed + ["transfer_swapped"] * (dtype != "u1"), order
        assert len({*compiled}) == len(compiled), order


def test_layouts_of_kernel_and_output_compile_nothing(compiled):
    x, kernel = whole_numbers(RNG, (9, 60), "f4"), whole_numbers(RNG, (3, 4), "f4")
    expect = expected(x, kernel, "same")
    for x_layout, kernel_layout in itertools.product(LAYOUTS.values(), repeat=2):
        np.testing.assert_array_equal(fastconv.convolve2d(x_layout(x), kernel_layout(kernel), "same"), expect)
    for name in ("fortran", "strided", "reversed", "crop", "unaligned"):
        out = LAYOUTS[name](np.zeros_like(expect))
        np.testing.assert_array_equal(fastconv.convolve2d(x, kernel, "same", out=out), expect)
    assert names(compiled) == ["convolve_tiles", "run", "transfer", "transfer_swapped"]


WAYS = {
    "one row": (lambda x, k: fastconv.convolve1d(x, k[0], method="direct"), "f4"),
    "any axes": (lambda x, k: fastconv.convolve2d(np.broadcast_to(x, (2, *x.shape)).T, k, axes=(1, 0)), "f8"),
    "separable": (lambda x, k: fastconv.convolve2d(x, k, method="separable"), "f4"),
    "fft": (lambda x, k: fastconv.convolve2d(x, k, method="fft"), "f4"),
    "a complex fft": (lambda x, k: fastconv.convolve2d(x, k, method="fft"), "c8"),
    "pixels": (lambda x, k: image.filter(x, k.astype("f4")), "u1"),
    "scaled pixels": (lambda x, k: image.filter(x, k.astype("f4") / 7, scale=3), "i2"),
}


@pytest.mark.parametrize("name", WAYS)
def test_every_engine_is_compiled_once_for_all_layouts_of_a_type(name, compiled):
    function, dtype = WAYS[name]
    x = whole_numbers(RNG, (40, 50), dtype)
    kernel = np.multiply.outer(np.arange(1, 4), np.arange(2, 6)).astype(dtype)
    plain = function(x, kernel)
    once = without_swaps(compiled)
    assert once == sorted(compiled)
    assert len({*once}) == len(once)  # no routine twice
    for layout in (*LAYOUTS.values(), *ORDERED.values()):
        result = function(layout(x), layout(kernel))
        np.testing.assert_array_equal(result, plain)
    # Other sizes, modes and boundaries compile nothing, except passes of further radices.
    function(x[:37, :41], kernel[:, :3])
    assert len({*compiled}) == len(compiled)
    if "fft" not in name:
        assert without_swaps(compiled) == once
    else:
        new = {kind for kind, _ in without_swaps(compiled)} - {kind for kind, _ in once}
        assert all(kind.startswith(("forward", "backward")) for kind in new)


def test_types_of_one_compute_type_share_kernels(compiled):
    for dtype in ("i4", "u4", "i2", "u2"):
        fastconv.convolve1d(np.ones(50, dtype), np.ones(3, dtype))
    # A microkernel and a transfer for 32 bits, the same for 16, and one block loop.
    assert names(compiled) == ["convolve_rows"] * 2 + ["run"] + ["transfer"] * 2


FRESH = """
import numpy as np
import fastconv
from fastconv._runtime.instrumentation import listeners
from tests.oracle import expected
from tests.robustness.test_compilation_order import ORDERED
compiled = []
listeners.append(lambda event: event.name == "compile" and compiled.append(event.routine))
x, kernel = np.arange(300, dtype="i2") % 97, np.arange(12, dtype="i2") - 5
expect = expected(x, kernel, "same", "reflect")
for name in sorted(ORDERED, key=lambda name: name != "read-only, big-endian"):
    result = fastconv.convolve1d(ORDERED[name](x), ORDERED[name](kernel), "same", boundary="reflect")
    assert np.array_equal(result, expect), name
print(*sorted(compiled))
"""


def test_kernels_compiled_for_a_read_only_byte_swapped_array_serve_all(tmp_path):
    # In a process with an empty cache. Numba's dispatcher would mistake such an array for a native one.
    env = dict(os.environ, FASTCONV_CACHE_DIR=str(tmp_path / "cache"))
    command = [sys.executable, "-c", FRESH]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "convolve_rows run transfer transfer_swapped\n", "")


AFTER = """
import numpy as np
from fastconv._planning.ndimage import scipy_order
from fastconv._planning.ndimage.nd_correlation import Filter
x, weights = np.random.default_rng(1).random((9, 8, 70)), np.array([0.1, 0.2, 0.3, 0.4])
out, expect = np.empty_like(x), np.empty_like(x)
scipy_order.correlate(x, Filter(weights, (2,), (-2,), 2, 0.0), out)
scipy_order.correlate(x, Filter(np.ones((2, 2, 2)), (0, 1, 2), (0, 0, 0), 2, 0.0), out)
scipy_order.correlate_lines(x, [Filter(weights, (2,), (-2,), 2, 0.0)], out)
scipy_order.lines_in_numpy(x, Filter(weights, (2,), (-2,), 2, 0.0), expect, "store")
print((out == expect).all())
"""


def test_a_loop_over_taps_may_be_compiled_before_and_after_a_single_tap(tmp_path):
    # Numba took the code of the one for the other: their signatures were equal.
    env = dict(os.environ, FASTCONV_CACHE_DIR=str(tmp_path / "cache"))
    done = subprocess.run([sys.executable, "-c", AFTER], capture_output=True, text=True, env=env, cwd=ROOT, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_helpers_are_made_machine_code_with_their_callers_only():
    @compilation.inline
    def helper(number):
        return 3 * number

    @numba.njit
    def caller(number):
        return helper(number) + 1

    assert caller(2) == 7
    (result,) = helper.overloads.values()
    engine = numba.core.registry.cpu_target.target_context.codegen()._engine
    assert not engine.is_symbol_defined(result.fndesc.llvm_func_name)
