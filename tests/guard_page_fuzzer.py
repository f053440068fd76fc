"""Random convolutions of arrays that lie between inaccessible pages, compared with the oracle.

    python -m tests.guard_page_fuzzer SEED COUNT [--first N] [--tell]

An access outside of the input, the kernel, the output, scratch buffers and prepared kernels ends the process with a
fault. A wrong result, a byte written beside the output and a changed input raise an AssertionError with the case.
`--tell` prints each case before it runs, `--first` begins with a later one. The number of cases of each path is printed
as JSON at the end.
"""

import argparse
import collections
import contextlib
import json
import math
import os
import random
import sys
import threading
import warnings
from pathlib import Path
from unittest import mock

import numpy as np

import fastconv
from fastconv import image, kernels
from fastconv._engines import cost_model
from fastconv._engines.pictures import small_window_engine, window_engine
from fastconv._engines.planes import plane_engine
from fastconv._microkernels.blocks import direct_tile
from fastconv._model import geometry
from fastconv._planning.pictures import picture_plans
from fastconv._runtime.instrumentation import forced, observed
from fastconv._simd import target
from tests import oracle, problems, sizes
from tests.guarded_arrays import ASTRAY, Region, strides_of

MODES, BOUNDARIES = oracle.MODES, oracle.BOUNDARIES

ROOT = Path(__file__).parents[1]
# One thread of BLAS, since two such processes share two processors, and two of fastconv.
_BLAS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
ENVIRONMENT = {**os.environ, **_BLAS, "FASTCONV_NUM_THREADS": "2"}

# --------------------------------------------------------------------------------------------------- counted paths

counts: collections.Counter = collections.Counter()
taken: set[str] = set()  # paths of one case


def note_path(event):
    """Add the path that an event reports to `taken`."""
    if event.name in ("direct", "separable", "pixels"):
        taken.update(_block_paths(event))
    elif event.name == "planes":
        taken.update(_plane_paths(event))
    elif event.name == "fft":
        tile = event.tile
        kinds = {(True, True): "both", (True, False): "down", (False, True): "across"}
        taken.add(f"fft, {'four-step' if tile.four_step else kinds[tile.down, tile.across]}")
        if event.shared:
            taken.add("fft, shared plane")
    elif event.name == "transform":
        taken.add("fft, a volume")
    elif event.name == "digits":
        taken.add("whole numbers in one transform" if event.planes == 1 else "digits")
    elif event.name == "left":
        taken.add("tiles left by a pass over whole numbers")
    elif event.name == "repair":
        taken.add(f"{event.method}, repaired")
    elif event.name in ("trimmed", "trim_input", "numpy", "share"):
        taken.add(event.name)


def _block_paths(event):
    job, name, finish = event.job, event.name, event.problem.finish
    if finish is not None and finish.premultiplied:
        name = "premultiplied"
    elif name == "direct" and job["kernel_rows"] == 1:
        name = "direct, one row"
        registers = target.processor().vector_bytes // int(job["compute_bytes"])
        apart, rest = divmod(registers, int(job["channels"] * job["x_parts"]))
        if not rest and job["taps"] >= direct_tile.GROUP * apart:
            yield "direct, one row, a group of taps"
    yield name
    for path, present in {
        "read in place": event.x_in_place,
        "written in place": event.out_in_place,
        "complex kernel": job["kernel_parts"] == 2,
        "channels": job["channel_axis"] >= 0,
    }.items():
        if present:
            yield f"{name}, {path}"


def _plane_paths(event):
    job = event.job
    yield "planes"
    for path, present in {
        "several axes of planes": job["plane_rank"] > 1,
        "phases of rows": job["row_phases"] > 1,
        "phases of columns": job["column_phases"] > 1,
        "columns taken in vectors": job["pack_apart"] != job["pack"],
        "every second column": job["column_phases"] == 1 and job["bytes_apart"] == 2 * job["x_bytes"],
        "kernels": job["has_kernels"],
        "partial sums": job["slots"] < job["planes"],
        "read in place": job["x_in_place"],
        "written in place": job["out_in_place"],
        "complex kernel": job["kernel_parts"] == 2,
        "channels": job["channel_axis"] >= 0,
        "lines": job["kernel_rows"] == 1,
    }.items():
        if present:
            yield f"planes, {path}"


# ---------------------------------------------------------------------------------------------------- guarded memory

_ROOM = 64 << 20  # address space; only touched pages take memory
_own = threading.local()


def guarded_scratch(size):
    """Allocate a scratch buffer of this thread, full of NaNs, that ends or begins at a guard."""
    if not hasattr(_own, "regions"):
        _own.regions, _own.turn = {}, 0
    _own.turn += 1
    room = max(_ROOM, 1 << (size + 64).bit_length())
    region = _own.regions[room] = _own.regions.get(room) or Region(room)
    buffer = region.place((-(-size // 64) * 64,), np.uint8, upper=_own.turn % 2 == 0)
    buffer[:] = ASTRAY
    return buffer


class GuardedTables:
    """Copy factors and spectra to guarded memory; the latest 128 stay valid, since prepared kernels are cached."""

    def __init__(self):
        self._regions = [Region(_ROOM >> 3) for _ in range(128)]
        self._turn = 0

    def __call__(self, array):
        self._turn += 1
        if array.nbytes > _ROOM >> 3:
            return array
        every, turn = divmod(self._turn, len(self._regions))
        return self._regions[turn].filled(np.ascontiguousarray(array), None, (every + turn) % 2 == 0)[0]


@contextlib.contextmanager
def guarded():
    """Guard scratch buffers and prepared kernels, and note paths, as if on two processors."""
    with observed(note_path), forced(scratch=guarded_scratch, tables=GuardedTables(), cpus=2):
        yield


@contextlib.contextmanager
def forced_paths(block, shared, eager, whole=""):
    """Small blocks, small jobs or tiles shared by threads, and a close look at every array; with empty caches.

    Whole numbers are transformed as other floats are, or are too large for one transform, or as they are if "".
    """
    thresholds = {}
    if shared:
        thresholds = {"PRODUCTS_FOR_THREADS": 0, "WORK_FOR_THREADS": 0}
    if shared == "planes":
        thresholds["LARGE_PLANE"] = 1 << 11
    if eager:
        looks = "WORTH_A_LOOK", "WORTH_TRIMMING", "WORK_WORTH_TRIMMING", "CALL_OF_PASSES"
        thresholds |= dict.fromkeys(looks, 0.0)
    with mock.patch.multiple(cost_model, **thresholds) if thresholds else contextlib.nullcontext():
        with forced(block=block, **_WHOLE[whole]):
            yield


_WHOLE: dict[str, dict] = {
    "": {},
    "floats": {"rounding": False},
    "digits": {"error": 1e-8, "digits": True},
    "direct": {"error": 1e-8, "digits": False},
}


# -------------------------------------------------------------------------------------------------------------- cases

# Extents around those of registers, tiles and blocks.
_EXTENTS = (1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 96, 97)
_LONG = (127, 128, 129, 143, 144, 145, 191, 192, 193, 255, 256, 257, 300, 383, 384, 385, 511, 512, 513)
_TAPS = (1, 1, 2, 2, 3, 3, 3, 4, 5, 5, 6, 7, 8, 9, 11, 13, 16, 17, 24, 25, 33)
_LAYOUTS = ("contiguous", "contiguous", "contiguous", "permuted", "stepped", "reversed", "padded", "odd", "any")
# Types of input and kernel: equal ones, and pairs of which one is converted.
_ALIKE = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16")
_PAIRS = (
    *((dtype, dtype) for dtype in (*_ALIKE, "f4", "f4", "f8", "u1")),
    ("u1", "i1"), ("u1", "f4"), ("i2", "f4"), ("?", "f4"), ("u1", "i4"), ("i4", "u2"), ("f4", "u1"), ("i4", "f8"),
    ("f4", "f8"), ("f8", "f4"), ("f4", "c8"), ("c8", "f4"), ("f8", "c16"), ("c16", "f8"), ("u1", "c8"), ("f2", "f4"),
)  # fmt: skip
# Layouts in which each problem is computed; each is a case.
LAYOUTS = 4
_MOST = 3000  # elements of an input, in most cases


def _extents(random, count, most=_MOST):
    """Draw extents of `count` axes."""
    found, left = [], most
    for _ in range(count):
        choices = _EXTENTS if count > 1 and random.random() < 0.8 else _EXTENTS + _LONG
        extent = random.choice([n for n in choices if n <= left])
        found.append(extent)
        left = max(1, left // extent)
    random.shuffle(found)
    return found


def _layout(random):
    """Draw the layout of an array: kind, whether at the upper guard, and its distance from the guard."""
    return random.choice(_LAYOUTS), random.random() < 0.5, random.choice((1, 2, 3, 5)) if random.random() < 0.06 else 0


def _settings(random, eager=0.3):
    return {
        "block": random.choice([None, None, (random.randint(1, 40), random.randint(1, 130))]),
        "shared": random.choice(["", "", "", "jobs", "jobs", "planes"]),
        "eager": random.random() < eager,
        "whole": random.choice(("", "floats", "floats", "digits", "direct")),
        "dark": random.random() < 0.15,
        "workers": random.choice([1, 2, 2]),
        "layouts": [[_layout(random) for _ in range(3)] for _ in range(LAYOUTS)],
    }


def _random_case(random, family):
    """Draw a case of `convolve1d` or `convolve2d`."""
    dimensions = 1 if family == "line" else 2
    if family in ("zeros around", "large"):
        dtypes = random.choice([("f4", "f4"), ("f8", "f8"), ("c8", "c8"), ("u1", "u1"), ("f4", "f8")])
    elif family == "not finite":
        dtypes = random.choice([("f4", "f4"), ("f8", "f8"), ("f4", "f8")])
    else:
        dtypes = random.choice(_PAIRS)
    dtype = np.result_type(*dtypes)
    ndim = random.choice([dimensions, dimensions, *range(dimensions, 5)])
    axes = random.sample(range(ndim), dimensions)
    if dimensions == 2 and random.random() < 0.7:
        axes.sort()
    shape = _extents(random, ndim)
    kernel_shape = [random.choice(_TAPS) for _ in axes]
    if family == "line" and random.random() < 0.1:
        kernel_shape = [random.choice(sizes.taps(dtype))]
    if math.prod(kernel_shape) > 300:
        kernel_shape[random.randrange(dimensions)] = random.choice((1, 2, 3))
    if random.random() < 0.1:
        k = random.randrange(dimensions)
        kernel_shape[k] = shape[axes[k]] + random.choice((0, 1, 1, 2, 7, 30))
    kind = random.choice(("plain", "outer product")) if dimensions == 2 else "plain"
    method = random.choice(("auto", "auto", "direct"))
    if random.random() < 0.45:
        if dtype.kind in "iufc" and dtype.char != "e" and (dimensions == 1 or random.random() < 0.5):
            method = "fft"
        elif dimensions == 2 and dtypes[1] not in ("c8", "c16") and dtype.char != "e":
            method, kind = "separable", "outer product"
    mode, boundary = random.choice(MODES), random.choice(BOUNDARIES)
    if family == "long":
        ndim, axes, dimensions, kind, method = 1, [0], 1, "plain", "fft"
        dtypes = random.choice([("f4", "f4"), ("f8", "f8"), ("c8", "c8"), ("u1", "f4")])
        shape, kernel_shape = [random.randint(2000, 9000)], [random.randint(200, 1500)]
    elif family == "zeros around":
        ndim, axes, kind, method = 2, [0, 1], random.choice(("zeros around", "outer product")), "auto"
        shape, kernel_shape = [random.randint(60, 120) for _ in axes], [random.randint(8, 15) for _ in axes]
    elif family == "large":
        ndim, axes, method = 2, [0, 1], random.choice(("auto", "fft", "separable"))
        if dtypes[0] == "u1" or dtypes[1] == "c8":
            method = "auto"
        kind = "outer product" if method == "separable" else kind
        shape, kernel_shape = [random.randint(250, 520) for _ in axes], [random.choice((5, 9, 16, 31)) for _ in axes]
    elif family == "not finite":
        ndim, axes, kind = dimensions, list(range(dimensions)), random.choice(("outer product", "not finite"))
        shape = _extents(random, ndim, 700)
        kernel_shape = [min(n, 7) for n in kernel_shape]
        method = random.choice(("auto", "direct", "fft", "separable"))
        if kind == "not finite" and method == "separable":
            method = "auto"
    if mode == "valid" and dimensions == 2:
        larger = [shape[axis] - taps for axis, taps in zip(axes, kernel_shape)]
        if min(larger) < 0 < max(larger):
            mode = "same"
    return {
        "family": family,
        "shape": tuple(shape),
        "axes": tuple(axes),
        "kernel": tuple(kernel_shape),
        "kind": kind,
        "dtypes": dtypes,
        "swapped": (random.random() < 0.12, random.random() < 0.12),
        "mode": mode,
        "boundary": boundary,
        "fill_value": random.choice((0, 1)) if boundary == "fill" else 0,
        "method": method,
        "correlate": random.random() < 0.3,
        "plan": random.random() < 0.15,
        "broadcast": random.randrange(ndim) if random.random() < 0.06 and family != "not finite" else None,
        **_settings(random),
    }


def _random_picture(random, family):
    """Draw a case of `image.filter`."""
    ndim = random.choice((2, 3, 3, 3, 4))
    axes = (0, 1)
    if family == "premultiplied":
        shape, dtype, result = [*_extents(random, 2, 2000), random.choice((2, 4))], "u1", "u1"
    else:
        shape = [*_extents(random, 2, 3000), random.choice((3, 4))] if ndim == 3 else _extents(random, ndim, 4000)
        if ndim == 4 or random.random() < 0.1:
            axes = tuple(random.sample(range(ndim), 2))
        dtype = random.choice(("u1", "u1", "u1", "u2", "i2", "f4"))
        result = dtype if dtype == "f4" or random.random() < 0.8 else "f4"
    kind = random.choice(("named", "whole", "whole", "outer product", "outer product", "plain"))
    kernel = random.choice(sorted(kernels.NAMES)) if kind == "named" else [random.choice(_TAPS[:16]) for _ in axes]
    if family == "premultiplied":
        kind, kernel = "positive", [random.choice(_TAPS[:12]) for _ in axes]
    elif family == "blur":
        axes, kind, kernel = (0, 1), "gaussian", (random.choice((0.3, 0.8, 1.5, 4.0)), random.choice((0.5, 1.0, 2.0)))
        shape, result = shape[:3], dtype
    mode, boundary = random.choice(("same", "same", "full", "valid")), random.choice(BOUNDARIES)
    plain = random.random() < 0.5 or family == "blur"
    return {
        "family": family,
        "shape": tuple(shape),
        "axes": axes,
        "kernel": kernel,
        "kind": kind,
        "broadcast": random.randrange(len(shape)) if random.random() < 0.05 else None,
        "dtypes": (dtype, result),
        "swapped": (random.random() < 0.12, False),
        "mode": "same" if family == "blur" else mode,
        "boundary": boundary,
        "fill_value": random.choice((0, 7)) if boundary == "fill" and family != "blur" else 0,
        "scale": 1.0 if plain else random.choice((1.0, 2.0, 3.0, 9.0, 16.0, 0.5)),
        "offset": 0.0 if plain else random.choice((0.0, 10.0, 128.0)),
        "correlate": random.random() < 0.3 and family != "blur",
        **_settings(random, eager=0.7),
    }


def _random_stack(random, family):
    """Draw a case of the engine for stacks of planes."""
    ndim = random.choice((1, 2, 2, 3, 3, 3, 4))
    axes = random.sample(range(ndim), random.randint(1, ndim))
    shape = _extents(random, ndim, 4000)
    most = {1: 25, 2: 7, 3: 4, 4: 3}[len(axes)]
    kernel_shape = [random.randint(1, most) for _ in axes]
    dilations = [random.choice((1, 1, 1, 2, 3, 5, 40)) for _ in axes]
    fits = all((m - 1) * d < shape[axis] for axis, m, d in zip(axes, kernel_shape, dilations))
    has_kernels = random.random() < 0.25
    return {
        "family": family,
        "shape": tuple(shape),
        "axes": tuple(axes),
        "kernel": tuple(kernel_shape),
        "kernels": tuple(n for axis, n in enumerate(shape) if axis not in axes) if has_kernels else (),
        "dtypes": random.choice(_PAIRS[:-1]),
        "swapped": (random.random() < 0.12, random.random() < 0.12),
        "mode": random.choice(("valid", "valid", "same", "full") if fits else ("same", "full")),
        "boundary": tuple(random.randrange(len(BOUNDARIES)) for _ in axes),
        "fill_value": random.choice((0, 1)),
        "stride": tuple(random.choice((1, 1, 1, 2, 2, 3, 4, 7)) for _ in axes),
        "dilation": tuple(dilations),
        "flip": random.random() < 0.7,
        "broadcast": random.randrange(ndim) if random.random() < 0.06 else None,
        "slots": random.choice((None, None, 1, 20_000)),
        **_settings(random),
    }


def _random_window(random, family):
    """Draw a case of means and standard deviations over windows."""
    planes, (height, width) = random.choice((1, 1, 2)), _extents(random, 2, 4000)
    dtype = random.choice(("u1", "u1", "u2", "i2", "i4", "f4", "f8"))
    deviations = random.random() < 0.3
    is_float = deviations or dtype[0] == "f"
    window = [random.choice((*_TAPS, 40)) for _ in range(2)]
    if random.random() < 0.3:
        window[1] = window[0] = random.choice((3, 5))
    fits = window[0] <= height and window[1] <= width
    boundary = random.choice(BOUNDARIES)
    return {
        "family": family,
        "shape": (planes, height, width, random.choice((1, 1, 3, 4) if not is_float else (1, 1, 2, 3, 5))),
        "kernel": tuple(window),
        "dtypes": (dtype, random.choice(("f4", "f8")) if is_float or random.random() < 0.3 else dtype),
        "swapped": (False, False),
        "mode": random.choice(("same", "full", "valid") if fits else ("same", "full")),
        "boundary": boundary,
        "fill_value": random.choice((0, 7)) if boundary == "fill" else 0,
        "deviations": deviations,
        "gradient": random.random() < 0.7,
        "broadcast": None,
        **_settings(random),
        "layouts": [[("contiguous", *_layout(random)[1:]) for _ in range(3)] for _ in range(LAYOUTS)],
    }


_FAMILIES = {
    "line": 23, "image": 40, "picture": 20, "premultiplied": 3, "blur": 3, "not finite": 8, "long": 0.6,
    "zeros around": 1.6, "large": 0.1, "stack": 12, "window": 6,
}  # fmt: skip


def new_case(seed, number):
    """Return a case, and a random generator for its data."""
    chance = random.Random(f"{seed} {number}")
    (family,) = chance.choices(list(_FAMILIES), _FAMILIES.values())
    make = _random_picture if family in ("picture", "premultiplied", "blur") else _random_case
    make = {"stack": _random_stack, "window": _random_window}.get(family, make)
    case = make(chance, family)
    if case["boundary"] == "fill" and case["family"] == "blur":
        case["boundary"] = "reflect"
    return {"seed": seed, "number": number, **case}, chance


# --------------------------------------------------------------------------------------------------------------- data


def _bytes(chance, shape):
    return np.frombuffer(bytearray(chance.randbytes(math.prod(shape))), np.int8).reshape(shape)


def numbers(chance, shape, dtype):
    """Draw integers: small ones, so that sums are exact, or all of an 8-bit type."""
    found, dtype = _bytes(chance, shape), np.dtype(dtype)
    if dtype.kind == "b":
        return found > 40
    if dtype.itemsize == 1:
        return found.view(dtype)
    if dtype.kind in "iu":
        return (found.astype(np.int64) * 37).astype(dtype) if dtype.kind == "i" else found.astype(dtype) & 0xFFF
    small = (found >> (6 if dtype.char == "e" else 5)).astype(np.float64)
    if dtype.kind == "c":
        small = small + 1j * (_bytes(chance, shape) >> 5)
    return small.astype(dtype)


def samples(chance, case, dtype):
    """An input; where it is broadcast, with the same samples all along an axis, and where it is dark, zeros around."""
    x, axis = numbers(chance, case["shape"], dtype), case["broadcast"]
    if case["dark"] and axis is None:
        lit = tuple(slice(chance.randrange(n), chance.randint(1, n)) for n in x.shape)
        x, inside = np.zeros_like(x), x[lit]
        x[lit] = inside
    return x if axis is None else np.repeat(x.take([0], axis), x.shape[axis], axis)


def pixels(chance, case, dtype):
    """A picture."""
    x = samples(chance, case, dtype)
    if dtype == np.uint16:
        x *= 16
    if case["family"] == "premultiplied":
        x |= 1  # colours without alpha are undefined
    return x


def taps(chance, case, dtype):
    """Draw a kernel of the kind of the case."""
    shape, kind = case["kernel"], case["kind"]
    if kind == "outer product":
        kinds = np.dtype(dtype).kind
        factors = (numbers(chance, (n,), "f4" if kinds in "iu" else dtype) for n in shape)
        return np.multiply.outer(*(np.abs(factor) if kinds == "u" else factor for factor in factors)).astype(dtype)
    kernel = numbers(chance, shape, dtype)
    if kind == "plain" and kernel.size == max(shape) and chance.random() < 0.5:  # another order of sums
        line, half = kernel.reshape(-1), kernel.size // 2
        line[kernel.size - half :] = line[:half][::-1]
    if kind == "zeros around":
        framed = np.zeros_like(kernel)
        within = tuple(slice(chance.randint(1, 3), n - chance.randint(0, 3)) for n in shape)
        framed[within] = kernel[within]
        return framed
    if kind == "not finite":
        kernel.flat[chance.randrange(kernel.size)] = chance.choice((np.inf, np.nan))
    return kernel


def picture_taps(chance, case):
    """Draw a kernel of `image.filter`."""
    kind, kernel = case["kind"], case["kernel"]
    if kind == "named":
        return kernels.named(kernel)
    if kind == "gaussian":
        return kernels.gaussian(kernel)
    if kind == "whole":
        return (_bytes(chance, kernel) >> chance.choice((5, 6))).astype("i4")
    if kind == "positive":
        return ((_bytes(chance, kernel).astype(np.int64) + 129) / 128).astype("f4")
    if kind == "outer product":
        column, row = ((_bytes(chance, (n,)) / 64).astype("f4") for n in kernel)
        return np.multiply.outer(column, row)
    return (_bytes(chance, kernel) / 50).astype("f4")


# -------------------------------------------------------------------------------------------------------------- calls


class Memory:
    """Guarded regions of an input, a kernel and an output."""

    def __init__(self):
        self.x, self.kernel, self.out = (Region(_ROOM) for _ in range(3))

    def results(self, chance, case, x, kernel, shape, dtype, function):
        """Yield the output of `function` in each layout of the case."""
        for layouts in case["layouts"]:
            arrays = []
            for region, values, (kind, upper, shift) in zip((self.x, self.kernel), (x, kernel), layouts):
                strides = strides_of(chance, values.shape, values.itemsize, kind)
                if region is self.x and case.get("broadcast") is not None:
                    strides[case["broadcast"]] = 0
                array, around = region.filled(values, strides, upper, shift)
                arrays.append((array, around, around.copy()))
            kind, upper, shift = layouts[2]
            out = self.out.empty(shape, dtype, strides_of(chance, shape, np.dtype(dtype).itemsize, kind), upper, shift)
            taken.clear()
            returned = function(arrays[0][0], arrays[1][0], out)
            assert returned is None or returned is out
            result = out.copy()
            for _, around, before in arrays:
                assert np.array_equal(around, before), "an input has changed"
            assert self.out.untouched(out), "bytes beside the output were written"
            yield result
            counts.update(taken)
            counts["cases"] += 1
            counts[case["family"]] += 1
            for name, (kind, upper, _) in zip(("x", "kernel", "out"), layouts):
                counts[f"{name} {kind}"] += 1
                counts[f"{name} at the {'upper' if upper else 'lower'} guard"] += 1
            for name, swapped in zip(("x", "kernel"), case["swapped"]):
                counts[f"{name} swapped"] += swapped


def _ordered(values, swapped):
    return values.astype(values.dtype.newbyteorder()) if swapped else values


def run_convolution(memory, chance, case):
    x_dtype, kernel_dtype = map(np.dtype, case["dtypes"])
    dtype = np.result_type(x_dtype, kernel_dtype)
    x, kernel = samples(chance, case, x_dtype), taps(chance, case, kernel_dtype)
    if case["family"] == "not finite":
        x.flat[chance.randrange(x.size)] = chance.choice((np.inf, -np.inf, np.nan, 2))
    mode, boundary, fill_value, flip = case["mode"], case["boundary"], case["fill_value"], not case["correlate"]
    finite = np.isfinite(x).all() and np.isfinite(kernel).all()
    expect = oracle.expected(x, kernel, mode, boundary, fill_value, flip, case["axes"])
    given, weights = _ordered(x, case["swapped"][0]), _ordered(kernel, case["swapped"][1])

    def function(x, kernel, out):
        options = {"boundary": boundary, "method": case["method"], "workers": case["workers"]}
        if boundary == "fill":
            options["fill_value"] = fill_value
        if case["plan"]:
            plan = fastconv.plan(
                kernel, x.shape, x.dtype, mode, axes=case["axes"], correlate=case["correlate"], **options
            )
            taken.add("a plan")
            return plan(x, out=out)
        name = ("correlate" if case["correlate"] else "convolve") + ("1d" if kernel.ndim == 1 else "2d")
        options["axis" if kernel.ndim == 1 else "axes"] = case["axes"][0] if kernel.ndim == 1 else case["axes"]
        return getattr(fastconv, name)(x, kernel, mode, out=out, **options)

    is_float = dtype.kind in "fc"
    if is_float:
        outputs = oracle.outputs_of(x.shape, kernel.shape, case["axes"], mode)
        firsts = [indices[0] - taps + 1 for indices, taps in zip(outputs, kernel.shape)]
        names = ("zero" if mode == "valid" else boundary,) * len(outputs)
        samples_used, _ = oracle.extended(
            x, case["axes"], firsts, [indices[-1] + 1 for indices in outputs], names, fill_value
        )
        tolerance = oracle.bound_of_fft(samples_used, kernel)
    for result in memory.results(chance, case, given, weights, expect.shape, dtype, function):
        if finite:
            repaired = {path for path in taken if path.endswith("repaired")}
            assert not repaired, "finite outputs were repaired"
        if not is_float or not any(path.startswith("fft") for path in taken):
            assert np.array_equal(result, expect, equal_nan=is_float), _difference(result, expect)
            continue
        numbers = np.isfinite(expect)
        assert np.array_equal(result[~numbers], expect[~numbers], equal_nan=True), _difference(result, expect)
        assert np.all(np.abs(result[numbers] - expect[numbers]) <= tolerance), _difference(result, expect)


def run_stack(memory, chance, case):
    x_dtype, kernel_dtype = (np.dtype("f4" if dtype == "f2" else dtype) for dtype in case["dtypes"])
    x = samples(chance, case, x_dtype)
    kernel = numbers(chance, case["kernels"] + case["kernel"], kernel_dtype)
    names = "mode", "axes", "boundary", "stride", "dilation", "fill_value", "flip", "kernels"
    given, weights = _ordered(x, case["swapped"][0]), _ordered(kernel, case["swapped"][1])
    problem = problems.problem_of(given, weights, **{name: case[name] for name in names})
    expect = problems.result_of(problem, x, kernel)

    def function(x, kernel, out):
        slots = case["slots"]
        sizes_of_slots = {} if slots is None else {"SLOT_BYTES": slots // 2, "MOST_SLOT_BYTES": slots}
        with mock.patch.multiple(plane_engine, **sizes_of_slots) if sizes_of_slots else contextlib.nullcontext():
            engine = plane_engine.PlaneEngine(problem)
        assert engine.run(x, engine.prepare(kernel), out, case["workers"])

    for result in memory.results(chance, case, given, weights, expect.shape, expect.dtype, function):
        assert np.array_equal(result, expect), _difference(result, expect)


def run_window(memory, chance, case):
    dtype, result_dtype = map(np.dtype, case["dtypes"])
    x, ones, shape, mode = samples(chance, case, dtype), np.ones(case["kernel"]), case["shape"], case["mode"]
    spans = [geometry.span(mode, extent, taps) for extent, taps in zip(shape[1:3], ones.shape)]
    problem = window_engine.WindowProblem(
        dtype, result_dtype, shape, ones.shape, tuple(one.start - taps + 1 for one, taps in zip(spans, ones.shape)),
        tuple(one.length for one in spans), geometry.BOUNDARIES.index(case["boundary"]), float(case["fill_value"]),
        case["deviations"],
    )  # fmt: skip

    def mean(values, fill):
        return oracle.sums(values, ones, mode, case["boundary"], fill, True, (1, 2)) / ones.size

    centre = float(x[0, 0, 0, 0])
    values, fill = x.astype(np.float64) - centre, case["fill_value"] - centre
    if case["boundary"] == "zero":
        fill = -centre
    if case["boundary"] in ("zero", "fill"):  # as floats of another origin
        case = {**case, "boundary": "fill"}
    exact = mean(values, fill)
    most = float(np.abs(values).max()) + abs(fill) + abs(centre)
    if case["deviations"]:
        exact = np.sqrt(np.maximum(mean(values * values, fill * fill) - exact * exact, 0))
        near = 1e-6 * most + 1e-7
    else:
        exact += centre
        near = 1e-6 * most if result_dtype.kind == "f" else 0.5 + 1e-9 * most

    is_small = not case["deviations"] and small_window_engine.supports(dtype, result_dtype, ones.shape, False)
    gradient = (3, 10, 16) if is_small and case["gradient"] and ones.shape == (3, 3) else None
    if gradient:
        across = kernels.scharr_x(dtype="f8") / 16
        parts = [oracle.sums(values, taps, mode, case["boundary"], fill, True, (1, 2)) for taps in (across, across.T)]
        exact, near = np.hypot(*parts), near + 2e-6 * most  # rounded to float32 first
        if result_dtype.kind != "f":
            exact = exact.clip(0, np.iinfo(result_dtype).max)

    def function(x, _, out):
        if is_small:
            *numbers, _ = problem[2:]
            small = small_window_engine.SmallWindowProblem(dtype, *numbers, gradient)
            small_window_engine.SmallWindowEngine(small)(x, out, case["workers"])
            taken.add(f"small windows{', gradients' if gradient else ''}")
            return
        window_engine.WindowEngine(problem)(x, out, case["workers"])
        taken.add(f"windows, {problem.x_dtype.kind}{' deviations' if problem.deviations else ''}")

    for result in memory.results(chance, case, x, ones, exact.shape, result_dtype, function):
        assert np.all(np.abs(result - exact) <= near), _difference(result, exact)


def run_picture(memory, chance, case):
    dtype, result_dtype = map(np.dtype, case["dtypes"])
    premultiplied = case["family"] == "premultiplied"
    x, kernel = pixels(chance, case, dtype), picture_taps(chance, case)
    mode, boundary, fill_value, flip = case["mode"], case["boundary"], case["fill_value"], not case["correlate"]
    if mode == "valid" and any(n > x.shape[axis] for n, axis in zip(kernel.shape, case["axes"])):
        mode = "same"
    scale, offset = case["scale"], case["offset"]

    def summed(values, fill):
        return oracle.sums(values.astype(np.float64), kernel, mode, boundary, fill, flip, case["axes"])

    if premultiplied:
        colours = x.astype(np.float64)
        colours[..., :-1] *= colours[..., -1:] / 255
        total = summed(colours, fill_value)
        if boundary == "fill":  # the fill value is a colour with its alpha
            total[..., :-1] += summed(np.zeros_like(colours), fill_value * fill_value / 255 - fill_value)[..., :-1]
        exact = total / scale
        exact[..., :-1] = total[..., :-1] * 255 / total[..., -1:] + offset
    else:
        exact = summed(x, fill_value) / scale + offset
    given = _ordered(x, case["swapped"][0])
    # The output has the type and byte order of the input, unless another type is requested.
    stored = result_dtype if result_dtype != dtype else given.dtype
    if premultiplied:
        stored = result_dtype

    def function(x, taps, out):
        options = {"boundary": boundary, "workers": case["workers"], "out": out}
        if case["family"] == "blur":
            return image.gaussian_blur(x, case["kernel"], **options)
        if premultiplied:
            request = picture_plans.Request(
                x.dtype, x.shape, out.dtype, mode, case["axes"], boundary, fill_value, scale, offset, flip, True
            )
            return picture_plans.find(request, taps.astype(np.float64))(x, out, case["workers"])
        if boundary == "fill":
            options["fill_value"] = fill_value
        if stored != given.dtype:
            options["dtype"] = result_dtype
        return image.filter(
            x, taps, mode=mode, scale=scale, offset=offset, correlate=not flip, axes=case["axes"], **options
        )

    # Errors of the sum and of the quotient; transforms have larger ones.
    most = float(np.abs(x.astype(np.float64)).max()) + fill_value
    distance = 2 * kernel.size * 6e-8 * most * float(np.abs(kernel.astype(np.float64)).sum()) / scale + 1e-5 * most
    if premultiplied:
        distance = 0.02
    half = 0.0
    if result_dtype.kind != "f":
        limits, half = np.iinfo(result_dtype), 0.5
        exact = np.clip(exact, limits.min, limits.max)
    for result in memory.results(chance, case, given, kernel, exact.shape, stored, function):
        near = distance * (20 if any(path.startswith("fft") for path in taken) else 1) + half
        assert np.all(np.abs(result - exact) <= near), _difference(result, exact)


def _difference(result, expect):
    """Describe the largest difference of two arrays."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apart = np.abs(result.astype(complex) - expect.astype(complex))
    apart[np.isnan(apart)] = np.inf
    place = np.unravel_index(int(apart.argmax()), apart.shape)
    return f"at {tuple(map(int, place))}: {result[place]!r} where {expect[place]!r} was expected"


def run_case(memory, seed, number, tell):
    case, chance = new_case(seed, number)
    if tell:
        print(case, flush=True)
    others = {"stack": run_stack, "window": run_window}
    run = {**dict.fromkeys(("picture", "premultiplied", "blur"), run_picture), **others}.get(
        case["family"], run_convolution
    )
    try:
        with forced_paths(case["block"], case["shared"], case["eager"], case["whole"]):
            run(memory, chance, case)
    except Exception as error:
        raise AssertionError(f"{error}\n{case}") from error


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.guard_page_fuzzer", description=__doc__.splitlines()[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--tell", action="store_true")
    options = parser.parse_args()
    memory = Memory()
    with guarded():
        for number in range(options.first, options.first + options.count):
            run_case(memory, options.seed, number, options.tell)
    print(json.dumps(counts))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
