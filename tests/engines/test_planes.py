"""The engine for stacks of planes: values against the definition, one tap at a time, of any axes, types and layouts."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv._engines import plane_engine
from fastconv._engines.plane_engine import PlaneEngine
from fastconv._runtime.instrumentation import forced
from tests import oracle
from tests.problems import problem_of, result_of

PAIRS = [(dtype, dtype) for dtype in oracle.DTYPES if dtype != "f2"] + [
    ("u1", "f4"), ("f4", "f8"), ("f8", "f4"), ("f4", "c8"), ("c8", "f4"), ("c16", "f8"), ("i2", "i4"), ("?", "i8"),
]  # fmt: skip


def compute(x, kernel, workers=None, **options):
    """Run the engine; check that inputs are as they were, and the outcome against the definition."""
    problem = problem_of(x, kernel, **options)
    assert plane_engine.supports(problem)
    before = x.copy(), kernel.copy()
    engine, out = PlaneEngine(problem), np.full(problem.out_shape, 77, problem.dtype)
    assert engine.run(x, engine.prepare(kernel), out, workers)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(kernel, before[1])
    np.testing.assert_array_equal(out, result_of(problem, x, kernel))
    return out


@st.composite
def cases(draw):
    ndim = draw(st.integers(1, 5))
    axes = tuple(draw(st.permutations(range(ndim)))[: draw(st.integers(1, min(4, ndim)))])
    most = {1: 300, 2: 90, 3: 40, 4: 14, 5: 7}[ndim]
    shape = tuple(draw(st.integers(1, most)) for _ in range(ndim))
    taps = tuple(draw(st.integers(1, {1: 20, 2: 7, 3: 4, 4: 3}[len(axes)])) for _ in axes)
    has_kernels = draw(st.booleans()) and len(axes) < ndim
    kernels = tuple(shape[axis] for axis in range(ndim) if axis not in axes) if has_kernels else ()
    one_of = lambda low, high: tuple(draw(st.integers(low, high)) for _ in axes)  # noqa: E731
    x_dtype, kernel_dtype = draw(st.sampled_from(PAIRS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = oracle.LAYOUTS[draw(st.sampled_from(sorted(oracle.LAYOUTS)))](oracle.whole_numbers(rng, shape, x_dtype))
    kernel = oracle.LAYOUTS[draw(st.sampled_from(sorted(oracle.LAYOUTS)))](
        oracle.whole_numbers(rng, kernels + taps, kernel_dtype)
    )
    options = {
        "axes": axes,
        "mode": draw(st.sampled_from(["full", "same"])),
        "boundary": one_of(0, 5),
        "stride": one_of(1, draw(st.sampled_from([1, 1, 4]))),
        "dilation": one_of(1, draw(st.sampled_from([1, 1, 5]))),
        "fill_value": draw(st.sampled_from([0, 1])),
        "flip": draw(st.booleans()),
        "kernels": kernels,
    }
    reach = [(m - 1) * d + 1 for m, d in zip(taps, options["dilation"])]
    if all(n <= shape[axis] for n, axis in zip(reach, axes)) and draw(st.booleans()):
        options["mode"] = "valid"
    return x, kernel, options, draw(st.sampled_from([None, None, (3, 5), (8, 64)]))


@given(cases())
@settings(max_examples=300, deadline=None)
def test_any_axes(case):
    x, kernel, options, block = case
    with forced(block=block):
        compute(x, kernel, **options)
