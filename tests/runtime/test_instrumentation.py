"""Instrumentation: events report the paths of engines, and overrides change these paths."""

import re
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import image
from fastconv._engines import cost_model
from fastconv._runtime import instrumentation
from fastconv._runtime.cpu_limits import VARIABLE, available_workers
from fastconv._runtime.instrumentation import forced, listeners, observed, overrides
from tests.oracle import LAYOUTS, whole_numbers

RNG = np.random.default_rng(1)
UNTOUCHED = 0xA5


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def names(events):
    return [event.name for event in events]


def fresh_plan(*arguments, **options):
    fastconv.clear_caches()
    return fastconv.plan(*arguments, **options)


CALLS = {
    "direct": lambda: fastconv.convolve1d(np.ones(50), np.ones(3), method="direct"),
    "separable": lambda: fastconv.convolve2d(np.ones((9, 9)), np.ones((3, 3)), method="separable"),
    "pixels": lambda: image.filter(np.ones((200, 300), np.uint8), np.outer([0.1, 0.3, 0.25], [0.2, 0.5, 0.15])),
    "fft": lambda: fastconv.convolve1d(np.full(500, 0.1), np.ones(30), method="fft"),
    "numpy": lambda: fastconv.convolve1d(np.ones(9, np.longdouble), np.ones(3)),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_engine_reports_its_run_once(name):
    with observed() as events:
        CALLS[name]()
    assert [event for event in names(events) if event in CALLS] == [name]
    CALLS[name]()
    assert names(events).count(name) == 1  # nothing is reported later
    assert listeners == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "u1", "c8"])
@pytest.mark.parametrize("method", ["direct", "separable"])
def test_block_engines_pack_arrays_not_reported_as_in_place(method, dtype, layout):
    buffers, found = [], {}

    def scratch(size):
        buffers.append(np.full(size, UNTOUCHED, np.uint8))
        return buffers[-1]

    def look(event):
        if event.name == method:
            found.update(vars(event))

    x, kernel = LAYOUTS[layout](whole_numbers(RNG, (20, 300), dtype)), np.ones((3, 3), "u1" if dtype == "u1" else "f4")
    for out in (np.empty((18, 298), dtype), np.empty((298, 18), dtype).T):
        with forced(scratch=scratch), observed(look):
            fastconv.convolve2d(x, kernel, "valid", method=method, out=out, workers=1)
        job, buffer = found["job"], buffers[-1]
        packed = buffer[int(job["packed_at"]) : int(job["staging_at"])]
        staging = buffer[int(job["staging_at"]) : int(job["lines_at"])]
        assert found["x"].ctypes.data == x.ctypes.data
        assert found["out"].ctypes.data == out.ctypes.data
        assert found["x_in_place"] == (packed == UNTOUCHED).all()
        assert found["out_in_place"] == (staging == UNTOUCHED).all()
        if layout == "contiguous" and dtype != "u1":
            assert found["x_in_place"]
            assert found["out_in_place"] == out.flags.c_contiguous


def test_tiles_and_shared_planes_are_reported(monkeypatch):
    with observed() as events:
        fastconv.convolve2d(np.full((200, 210), 0.1), np.ones((20, 30)), "same", method="fft")
        fastconv.convolve1d(np.full(9000, 0.1), np.ones(1500), method="fft")
        monkeypatch.setattr(cost_model, "LARGE_PLANE", 0)
        monkeypatch.setattr(cost_model, "WORK_FOR_THREADS", 0)
        with forced(cpus=2):
            fastconv.convolve2d(np.full((200, 210), 0.1), np.ones((20, 30)), "same", method="fft")
    ran = [event for event in events if event.name == "fft"]
    assert [event.tile.four_step for event in ran] == [False, True, False]
    assert [event.shared for event in ran] == [False, False, True]
    for event in ran:
        for axis, step in event.steps.items():
            assert 0 < step <= event.tile.extents[axis] if event.x.ndim == 2 else event.tile.rows * event.tile.columns
    assert {event.threads for event in events if event.name == "share"} == {2}


@pytest.mark.parametrize("method", ["separable", "fft"])
def test_repairs_are_reported(method):
    x = np.ones((60, 70))
    for value, repairs in ((1.0, []), (np.inf, [method])):
        x[20, 30] = value
        with observed() as events:
            fastconv.convolve2d(x, np.outer([1.0, -2], [1, 3]), "same", method=method)
        assert [event.method for event in events if event.name == "repair"] == repairs


def test_trimmed_zeros_are_reported_if_the_input_is_finite():
    kernel = np.zeros((25, 25))
    kernel[11:14, 10:14] = RNG.random((3, 4))
    x = np.ones((300, 310))
    with observed() as events:
        plan = fresh_plan(kernel, x.shape)
        assert [event.spans for event in events if event.name == "trim"] == [((11, 14), (10, 14))]
        assert names(events)[0] == "choose"
        assert "trimmed" not in names(events)
        plan(x)
        assert [event.problem.kernel_shape for event in events if event.name == "trimmed"] == [(3, 4)]
        events.clear()
        x[5, 5] = np.nan
        plan(x)
    assert "trimmed" not in names(events)


def test_forced_method_is_used_if_methods_are_compared():
    kernel = np.outer(RNG.random(9), RNG.random(9))
    usual = fresh_plan(kernel, (300, 310)).method
    assert usual == "separable"
    for method in ("direct", "fft"):
        with forced(method=method):
            assert fastconv.plan(kernel, (300, 310)).method == method
            assert fastconv.plan(kernel, (3, 3)).method == "direct"  # too small for a comparison
    assert fastconv.plan(kernel, (300, 310)).method == usual


def test_blocks_tiles_and_processors_can_be_forced():
    def blocks_and_tiles():
        with observed() as events:
            fastconv.convolve2d(np.ones((200, 300)), np.ones((3, 3)), "same", method="direct")
            fastconv.convolve2d(np.full((200, 300), 0.1), np.ones((30, 30)), "same", method="fft")
        (job,) = (event.job for event in events if event.name == "direct")
        (tile,) = (event.tile for event in events if event.name == "fft")
        return int(job["blocks"]), tile.rows

    usual, usual_workers = blocks_and_tiles(), available_workers()
    with forced(block=(20, 100), tiles=3, cpus=17):
        blocks, rows = blocks_and_tiles()
        assert blocks == 10 * 3
        assert rows < usual[1]
        assert available_workers(by_default=False) == 17
    assert blocks_and_tiles() == usual
    assert available_workers() == usual_workers


def test_unknown_override_raises_and_changes_nothing():
    before = dict(vars(overrides))
    with pytest.raises(AttributeError), forced(cpus=3, blocks=(1, 2)):
        pass
    assert vars(overrides) == before


def test_tables_can_be_moved_to_memory_of_the_test():
    for method, kernel in (("separable", np.ones((3, 3))), ("fft", RNG.random((3, 3)))):
        copies = []

        def copied(table, copies=copies):
            copies.append(table.copy())
            return copies[-1]

        x = RNG.random((40, 50))
        expect = fastconv.convolve2d(x, kernel, method=method)
        with forced(tables=copied):
            plan = fastconv.plan(kernel, x.shape, method=method)
            np.testing.assert_array_equal(plan(x), expect)
            copies[-1][...] = 0
            np.testing.assert_array_equal(plan(x), np.zeros_like(expect))


def test_every_event_is_documented():
    notified = set()
    for path in Path(fastconv.__file__).parent.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        notified |= {*re.findall(r'\bnotify\(\s*"(\w+)"', source), *re.findall(r'^    name = "(\w+)"$', source, re.M)}
    documented = re.findall(r"^- ([\w, ]+) \(", instrumentation.__doc__, re.M)
    assert {name for names in documented for name in names.split(", ")} == notified
