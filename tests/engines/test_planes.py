"""The engine for stacks of planes: values against the definition, one tap at a time, of any axes, types and layouts."""

import math
import os
import pickle
import signal
import threading
import time
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv._engines import cost_model
from fastconv._engines.planes import plane_engine
from fastconv._engines.planes.plane_engine import PlaneEngine
from fastconv._engines.planes.plane_layout import PlaneLayout
from fastconv._model.geometry import BOUNDARIES, FILL, NEAREST, ZERO
from fastconv._model.problem import Finish
from fastconv._runtime.instrumentation import forced, observed
from tests import oracle, sizes
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


# ------------------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i8", "c8"])
@pytest.mark.parametrize("taps", [(1, 1, 3), (2, 2, 2), (3, 3, 3), (2, 4, 5), (5, 1, 1), (1, 7, 2)])
def test_extents_around_those_of_tiles(dtype, taps):
    rng = np.random.default_rng(7)
    widths = sizes.widths(dtype)
    for k, columns in enumerate(widths):
        x = oracle.whole_numbers(rng, (3 + k % 3, 1 + (k + len(widths)) % 10, columns), dtype)
        compute(x, oracle.whole_numbers(rng, taps, dtype), boundary=k % len(BOUNDARIES), fill_value=1)


@pytest.mark.parametrize("step", range(1, 8))
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "c16"])
def test_columns_that_a_stride_skips(step, dtype):
    rng = np.random.default_rng(step)
    for columns in sizes.about(*(step * width for width in sizes.about(sizes.lanes(dtype), 2 * sizes.lanes(dtype)))):
        x = oracle.whole_numbers(rng, (5, columns), dtype)
        kernel = oracle.whole_numbers(rng, (2, 3), dtype)
        for boundary in (ZERO, BOUNDARIES.index("mirror")):
            compute(x, kernel, boundary=boundary, stride=(1, step))


@pytest.mark.parametrize("taps", [(2,), (3,), (8,), (9,), (3, 2), (5, 5)])
@pytest.mark.parametrize("dtype", ["u4", "f4", "f8"])
def test_every_second_column_is_read_in_place_where_its_samples_lie_inside(dtype, taps):
    rng, events = np.random.default_rng(9), []
    for more in range(2):
        x = oracle.whole_numbers(rng, (70, 2 * 100 * sizes.lanes(dtype) + more)[-len(taps) :], dtype)
        with observed(events.append):
            compute(x, oracle.whole_numbers(rng, taps, dtype), boundary=BOUNDARIES.index("mirror"), stride=2)
        event = next(event for event in reversed(events) if event.name == "planes")
        assert event.job["column_phases"] == 1
        assert event.job["x_in_place"]
        for blocks in (event.tables["column_blocks"], event.tables["row_blocks"]):
            assert blocks["length"][blocks["inside"]].sum() >= 0.75 * blocks["length"].sum()


def test_samples_that_a_stride_skips_are_work_too():
    x, kernel = np.ones((1024, 1024), "f4"), np.ones((3, 3), "f4")
    for part, threads in ((x, 2), (x[:256], None)):
        with forced(cpus=2), observed() as events:
            compute(part, kernel, stride=2)
        assert [event.threads for event in events if event.name == "share"] == ([threads] if threads else [])


@pytest.mark.parametrize(
    ("shape", "axes", "taps"),
    [
        ((9, 2, 300), (0,), (3,)),  # the last axis is a line of samples for all taps
        ((30, 40, 3), (0, 1), (3, 4)),  # channels
        ((4, 30, 40, 3), (0, 1, 2), (2, 3, 4)),
        ((300, 40, 3), (0, 1, 2), (2, 3, 3)),  # the last axis is too short for a line
        ((70, 3, 2), (0, 2), (5, 2)),
        ((2, 3, 4, 5, 70), (0, 1, 2, 3, 4), (2, 2, 2, 2, 3)),
        ((1, 1, 1), (0, 1, 2), (3, 3, 3)),
        ((5, 3000), (1,), (9,)),
    ],
)
@pytest.mark.parametrize("boundary", range(len(BOUNDARIES)))
def test_roles_of_axes(shape, axes, taps, boundary):
    rng = np.random.default_rng(3)
    x, kernel = oracle.whole_numbers(rng, shape, "f4"), oracle.whole_numbers(rng, taps, "f4")
    for stride, dilation in ((1, 1), (2, 1), (1, 3), (3, 2), (2, 4)):
        compute(x, kernel, axes=axes, boundary=boundary, fill_value=1, stride=stride, dilation=dilation)


def test_boundaries_of_all_axes_mix():
    rng = np.random.default_rng(5)
    x, kernel = oracle.whole_numbers(rng, (3, 4, 5), "i4"), oracle.whole_numbers(rng, (5, 3, 5), "i4")
    for first in range(len(BOUNDARIES)):
        for second in range(len(BOUNDARIES)):
            for boundary in ((first, second, ZERO), (first, ZERO, second), (FILL, first, second)):
                compute(x, kernel, mode="full", boundary=boundary, fill_value=3)


def test_more_planes_than_fit_into_memory_are_summed_in_parts():
    rng = np.random.default_rng(8)
    for dtype in ("f4", "c8", "i8"):
        x, kernel = oracle.whole_numbers(rng, (9, 21, 70), dtype), oracle.whole_numbers(rng, (5, 2, 3), dtype)
        found = set()
        for room in (1, 20_000, 30_000):
            with mock.patch.multiple(plane_engine, SLOT_BYTES=0, MOST_SLOT_BYTES=room), observed() as events:
                compute(x, kernel, boundary=NEAREST)
                compute(x, kernel, mode="valid", dilation=(2, 1, 1))
            found |= {int(event.job["slots"]) for event in events if event.name == "planes"}
        assert 1 in found
        assert found & {2, 3, 4}


def test_a_kernel_for_each_line():
    rng = np.random.default_rng(2)
    for dtype in ("f4", "u1", "c16"):
        x, kernels = oracle.whole_numbers(rng, (4, 90, 3), dtype), oracle.whole_numbers(rng, (4, 3, 5), dtype)
        compute(x, kernels, axes=(1,), kernels=(4, 3), boundary=NEAREST)
        # Broadcast: the same samples for all kernels, and the same kernel for some lines.
        compute(np.broadcast_to(x[:1], x.shape), kernels, axes=(1,), kernels=(4, 3), mode="full")
        compute(x, np.broadcast_to(kernels[:, :1], kernels.shape), axes=(1,), kernels=(4, 3), stride=2)


# ------------------------------------------------------------------------------------------ equal bits, special values


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
def test_bits_do_not_depend_on_blocks_threads_and_layouts(dtype, monkeypatch):
    rng = np.random.default_rng(4)
    x, kernel = (
        (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
        if dtype[0] == "c"
        else rng.standard_normal(shape).astype(dtype)
        for shape in ((11, 30, 150), (4, 3, 5))
    )
    for options in (
        {"mode": "valid"},
        {"boundary": NEAREST},
        {"stride": (1, 2, 3)},
        {"stride": 2},
        {"dilation": (3, 2, 2)},
    ):
        problem = problem_of(x, kernel, **options)
        wanted = np.empty(problem.out_shape, problem.dtype)
        PlaneEngine(problem).run(x, kernel, wanted, 1)
        monkeypatch.setattr(cost_model, "PRODUCTS_FOR_THREADS", 0)
        for block in (None, (1, 1), (5, 100), (64, 7)):
            for slots in (600_000, 1):
                with forced(block=block, cpus=8), mock.patch.multiple(plane_engine, SLOT_BYTES=slots):
                    for name, layout in oracle.LAYOUTS.items():
                        given = layout(x)
                        engine = PlaneEngine(problem._replace(x_dtype=given.dtype))
                        found = np.empty(problem.out_shape, problem.dtype)
                        assert engine.run(given, kernel, found, None), name
                        assert found.tobytes() == wanted.tobytes(), (options, block, slots, name)


def test_values_that_are_not_finite_reach_only_the_outputs_above_them():
    rng = np.random.default_rng(6)
    x, kernel = oracle.whole_numbers(rng, (7, 9, 80), "f4"), oracle.whole_numbers(rng, (3, 3, 3), "f4")
    for value in (np.nan, np.inf, -np.inf):
        for _ in range(5):
            x[tuple(rng.integers(0, x.shape))] = value
    for options in ({}, {"mode": "full"}, {"boundary": FILL, "fill_value": np.inf}, {"stride": 2}, {"dilation": 3}):
        compute(x, kernel, **options)


def test_kernels_that_are_not_finite():
    rng = np.random.default_rng(9)
    x, kernel = oracle.whole_numbers(rng, (6, 9, 80), "f4"), oracle.whole_numbers(rng, (3, 3, 3), "f4")
    kernel[0, 1, 1], kernel[2, 0, 0] = np.inf, np.nan
    # Planes outside are left out, and nothing is outside along rows and columns.
    for mode in ("same", "full"):
        compute(x, kernel, mode=mode, boundary=(ZERO, NEAREST, NEAREST))
    compute(x, kernel, mode="valid")
    compute(x, kernel, boundary=FILL, fill_value=2, stride=2, dilation=2)
    # A zero outside would be multiplied.
    problem = problem_of(x, kernel, mode="same")
    out = np.full(problem.out_shape, 77, "f4")
    assert not PlaneEngine(problem).run(x, kernel, out, None)
    assert (out == 77).all()


def test_one_kernel_of_many_that_is_not_finite():
    x, kernels = np.ones((5, 80), "f4"), np.ones((5, 3), "f4")
    kernels[3, 1] = np.inf
    problem = problem_of(x, kernels, axes=(1,), kernels=(5,))
    assert not PlaneEngine(problem).run(x, kernels, np.empty_like(x), None)
    compute(x, kernels, axes=(1,), kernels=(5,), mode="valid")


# ----------------------------------------------------------------------------------------------------------- the engine


def test_problems_that_are_not_supported():
    x, kernel = np.ones((5, 6, 7), "f4"), np.ones((2, 2, 2), "f4")
    problem = problem_of(x, kernel)
    assert plane_engine.supports(problem)
    assert not plane_engine.supports(problem._replace(sums=np.dtype("g"), dtype=np.dtype("g")))
    assert not plane_engine.supports(problem._replace(finish=Finish(0.0, 1.0, 1.0, 0.0)))
    # A line of input so long that packed rows would take hundreds of megabytes.
    assert not plane_engine.supports(problem_of(x, kernel, dilation=(1, 1, 10**9)))
    assert plane_engine.supports(problem_of(x, kernel, dilation=(10**9, 10**9, 1)))


def test_distances_far_beyond_the_array():
    x, kernel = np.arange(210, dtype="f4").reshape(5, 6, 7), np.arange(1.0, 13, dtype="f4").reshape(3, 2, 2)
    for boundary in range(len(BOUNDARIES)):
        compute(x, kernel, dilation=(10**9, 10**30, 1), boundary=boundary, fill_value=1)
        compute(x, kernel, stride=(10**30, 10**12, 10**9), boundary=boundary)


def test_scratch_memory_is_bounded():
    x, kernel = np.zeros((7, 540, 960), "u1"), np.ones((3, 5, 5), "u1")
    for options in ({}, {"stride": 2}, {"dilation": 3}):
        problem = problem_of(x, kernel, boundary=NEAREST, **options)
        out = np.empty(problem.out_shape, "u1")
        with forced(), observed() as events:
            assert PlaneEngine(problem).run(x, kernel, out, 1)
        sizes_of_buffers = [event.buffer.nbytes for event in events if event.name == "scratch"]
        assert sizes_of_buffers
        assert sum(sizes_of_buffers) < 4 << 20


def test_engines_cannot_be_pickled():
    x, kernel = np.ones((2, 3, 4), "f4"), np.ones((1, 2, 3), "f4")
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        pickle.dumps(PlaneEngine(problem_of(x, kernel)))


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_an_interrupt_ends_a_call_between_units():
    x, kernel = np.broadcast_to(np.ones(200, "f4"), (300, 300, 200)), np.ones((9, 9, 9), "f4")
    problem = problem_of(x, kernel, boundary=NEAREST)
    engine, out = PlaneEngine(problem), np.zeros(problem.out_shape, "f4")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = threading.Event()
    sent = []

    def interrupt():
        begun.wait(60)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    try:
        with observed(lambda event: begun.set() if event.name == "work" else None):
            for _ in range(1000):
                engine.run(x, kernel, out, 1)
        raise AssertionError("no interrupt")
    except KeyboardInterrupt:
        pass
    finally:
        sender.join()
        signal.signal(signal.SIGINT, before)
    assert sent
    assert engine.run(x, kernel, out, None)
    assert out.min() == out.max() == math.prod(kernel.shape)


def test_one_tap_is_never_read_in_pairs():
    problem = problem_of(np.zeros((9, 40), "f4"), np.ones((3, 5), "f4"), stride=(1, 2))
    layout = PlaneLayout.of(problem)
    assert layout.axes[layout.roles.column].undealt
    # The kernel of a part, with the roles of the whole, may have lost all taps but one.
    part = problem_of(np.zeros((9, 40), "f4"), np.ones((3, 1), "f4"), stride=(1, 2))
    trimmed = PlaneLayout.of(part._replace(roles=tuple(layout.roles)))
    assert not trimmed.axes[trimmed.roles.column].undealt
