"""The table of benchmark cases.

A case is one operation on one shape and dtype. `bench.data` makes its arrays; `bench.rivals` has the libraries that can
compute it, and their calls. A new case is a line in `CASES`.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

# Kernels: random numbers; small integers divided by their sum; or a Gaussian, which general functions get as a kernel
# of two axes; along three axes all sides are functions for Gaussians.
RANDOM, WHOLE, GAUSSIAN = "random", "whole", "Gaussian"


class Case(NamedTuple):
    """One operation on arrays of given shapes and dtype.

    With three dimensions in `shape` and two in `kernel_shape` it is a picture with channels last. A kernel of one
    dimension goes along `axis`, and all other axes are a batch. With `own_kernels` each row has a kernel of its own.
    """

    group: str
    dtype: type
    shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    kernel: str = RANDOM
    is_picture: bool = False  # pixels in and pixels out, rounded and saturated
    mode: str = "same"
    boundary: str = "zero"
    axis: int = -1
    layout: str = "contiguous"
    stride: int = 1
    dilation: int = 1
    own_kernels: bool = False
    quick: bool = False  # in the subset that `--quick` measures
    brief: bool = False  # in the short table of the report

    @property
    def name(self) -> str:
        words = [f"{np.dtype(self.dtype)} {_times(self.shape)} by {_times(self.kernel_shape)}"]
        if self.kernel != RANDOM:
            words.append({GAUSSIAN: "Gaussian", WHOLE: "whole taps"}[self.kernel])
        if self.group == "rows":
            words.append("along columns" if self.axis == 0 else "along rows")
        if self.stride > 1:
            words.append(f"stride {self.stride}")
        if self.dilation > 1:
            words.append(f"dilation {self.dilation}")
        usual = Case._field_defaults
        for word in ("mode", "boundary", "layout"):
            if getattr(self, word) != usual[word]:
                words.append(getattr(self, word))
        return ", ".join(words)

    @property
    def series(self) -> str:
        """Everything but the size of the kernel: cases of a series form a curve in a chart."""
        return f"{self.group}: {self.name.replace(f' by {_times(self.kernel_shape)}', '')}"

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes that are convolved."""
        if self.own_kernels or len(self.kernel_shape) == 1:
            return (self.axis % len(self.shape),)
        return tuple(range(len(self.kernel_shape)))

    @property
    def taps(self) -> tuple[int, ...]:
        """The extents of a kernel along `axes`."""
        return self.kernel_shape[-len(self.axes) :]

    @property
    def out_shape(self) -> tuple[int, ...]:
        if self.mode == "same":
            return tuple(-(-n // self.stride) if axis in self.axes else n for axis, n in enumerate(self.shape))
        return tuple(n + m - 1 for n, m in zip(self.shape, self.kernel_shape))

    @property
    def accumulator(self) -> type:
        """The type in which products are summed; there is no SIMD multiplication of bytes."""
        if self.is_picture:  # small integer taps, up to 7x7, have sums of 16 bits
            return np.int16 if self.kernel == WHOLE and math.prod(self.kernel_shape) <= 49 else np.float32
        return np.int16 if self.dtype is np.uint8 else self.dtype

    @property
    def operations(self) -> int:
        """Multiplications and additions of the definition: 2 for each tap and output.

        In 'same' this includes products outside of the input; in 'full' each sample is multiplied by each tap once.
        """
        return 2 * math.prod(self.out_shape if self.mode == "same" else self.shape) * math.prod(self.taps)

    @property
    def least_operations(self) -> float:
        """The fewest known operations: by definition, by a pass along each axis, or by transforms of tiles."""
        counts: list[float] = [self.operations]
        # A transform of integers would not be exact.
        if np.issubdtype(self.accumulator, np.floating) and self.stride == self.dilation == 1:
            counts.append(self._operations_of_transforms())
        if self.kernel == GAUSSIAN:
            counts.append(2 * math.prod(self.shape) * sum(self.kernel_shape))
        return min(counts)

    def _operations_of_transforms(self) -> float:
        """Count overlap-save with two real tiles in one complex tile, for the best tile with power-of-two sides.

        Each of the two transforms of n points takes ``5 * n * log2(n)`` operations, and the product ``6 * n``.
        """
        outputs = [self.out_shape[axis] for axis in self.axes]
        batch = math.prod(self.out_shape) / math.prod(outputs)
        sizes = [
            [1 << k for k in range((taps - 1).bit_length(), (count + taps).bit_length() + 1) if 1 << k >= taps]
            for count, taps in zip(outputs, self.taps)
        ]
        best = math.inf
        for tile in itertools.product(*sizes):
            points = math.prod(tile)
            tiles = 1
            for size, count, taps in zip(tile, outputs, self.taps):
                # In 'full' no samples wrap around into the result.
                tiles *= 1 if self.mode == "full" and size >= count else -(-count // (size - taps + 1))
            best = min(best, tiles / 2 * points * (10 * math.log2(max(points, 2)) + 6))
        return batch * best

    @property
    def bytes(self) -> int:
        """Minimum bytes read and written: input, kernel and result once each."""
        item = np.dtype(self.dtype).itemsize
        elements = math.prod(self.shape) + math.prod(self.out_shape)
        return elements * item + math.prod(self.kernel_shape) * np.dtype(self.accumulator).itemsize


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _signals() -> list[Case]:
    f, d = np.float32, np.float64
    taps = (3, 7, 15, 31, 63, 101, 301, 1001, 3001, 10_001)
    quick, brief = (31, 301), (31, 1001)
    cases = [Case("signals", f, (1_000_000,), (m,), quick=m in quick, brief=m in brief) for m in taps]
    cases += [Case("signals", d, (1_000_000,), (m,), brief=m == 101) for m in (31, 101, 1001)]
    cases += [Case("signals", dtype, (2**20,), (2**20,), mode="full") for dtype in (f, d)]
    return cases


def _rows() -> list[Case]:
    cases = [Case("rows", np.float32, (2048, 2048), (15,), axis=axis, quick=axis == 0) for axis in (0, -1)]
    return cases + [Case("rows", np.float64, (10_000, 100), (5,))]


def _images() -> list[Case]:
    f, d = np.float32, np.float64
    large = {f: (3, 5, 7, 11, 15, 21, 31, 63, 127, 255), d: (3, 5, 7, 11, 15, 31, 63, 127, 255)}
    middle = {f: (3, 5, 7, 11, 15, 31, 63), d: (3, 5, 7, 11, 15, 31, 63)}
    quick, brief = (3, 15), (3, 5, 11, 31)
    cases = [Case("images", f, (2048, 2048), (m, m), quick=m in quick, brief=m in brief) for m in large[f]]
    cases += [Case("images", d, (2048, 2048), (m, m), brief=m == 5) for m in large[d]]
    cases += [Case("images", f, (512, 512), (m, m), quick=m == 7, brief=m == 7) for m in middle[f]]
    cases += [Case("images", d, (512, 512), (m, m)) for m in middle[d]]
    cases += [Case("images", f, (4096, 4096), (m, m)) for m in (3, 5, 15)]
    cases += [Case("images", dtype, (1024, 1024), (1024, 1024), mode="full") for dtype in (f, d)]
    return cases


def _small() -> list[Case]:
    f, d = np.float32, np.float64
    return [
        Case("small", f, (100,), (5,)),
        Case("small", d, (100,), (5,), quick=True, brief=True),
        Case("small", d, (1000,), (31,)),
        Case("small", d, (16, 16), (3, 3)),
        Case("small", f, (64, 64), (3, 3), quick=True, brief=True),
        Case("small", d, (64, 64), (3, 3)),
        Case("small", f, (128, 128), (7, 7)),
    ]


def _channels() -> list[Case]:
    return [Case("channels last", np.float32, (1080, 1920, 3), (m, m), quick=m == 5, brief=m == 5) for m in (3, 5, 11)]


def _integers() -> list[Case]:
    types = np.int32, np.uint8
    return [
        Case("integers", dtype, (2048, 2048), (m, m), quick=m == 5 and dtype is np.int32, brief=m == 5)
        for dtype in types
        for m in (5, 11)
    ]


def _layouts() -> list[Case]:
    layouts = "crop", "Fortran", "negative strides"
    return [Case("layouts", np.float32, (2048, 2048), (5, 5), layout=layout) for layout in layouts]


def _boundaries() -> list[Case]:
    boundaries = "nearest", "reflect", "mirror", "wrap"
    return [Case("boundaries", np.float32, (1024, 1024), (9, 9), boundary=boundary) for boundary in boundaries]


def _pictures() -> list[Case]:
    u, grey, colour = np.uint8, (2048, 2048), (2048, 2048, 3)
    options = {"is_picture": True, "boundary": "nearest"}
    sizes, brief = (3, 5, 7, 11, 15), (3, 7)
    cases = [Case("pictures", u, grey, (m, m), **options) for m in sizes]
    cases += [Case("pictures", u, colour, (m, m), quick=m == 5, brief=m in brief, **options) for m in sizes]
    cases += [Case("pictures", u, grey, (m, m), WHOLE, quick=m == 5, **options) for m in sizes]
    cases += [Case("pictures", u, colour, (m, m), WHOLE, **options) for m in sizes]
    # The standard deviation is an eighth of the size: 0.25 (almost the identity), 0.5, 1, 2, 3 and 5 pixels.
    cases += [Case("pictures", u, grey, (m, m), GAUSSIAN, brief=m == 17, **options) for m in (3, 5, 9, 17, 25, 41)]
    gaussians = (3, 5, 9, 17, 25)
    return cases + [Case("pictures", u, colour, (m, m), GAUSSIAN, brief=m == 9, **options) for m in gaussians]


def _separable() -> list[Case]:
    f, d = np.float32, np.float64
    cases = [
        Case("separable", f, (2048, 2048), (m, m), GAUSSIAN, boundary="nearest", quick=m == 15, brief=m == 15)
        for m in (5, 9, 15, 31)
    ]
    return cases + [Case("separable", d, (2048, 2048), (m, m), GAUSSIAN, boundary="nearest") for m in (9, 31)]


def _volumes() -> list[Case]:
    f, d = np.float32, np.float64
    cases = [
        Case(
            "volumes",
            dtype,
            (n, n, n),
            (m, m, m),
            quick=(dtype, n, m) == (f, 128, 5),
            brief=(dtype, n, m) == (f, 128, 3),
        )
        for dtype in (f, d)
        for n in (128, 256)
        for m in (3, 5, 7, 9)
        if n == 128 or m < 9  # no rival takes less than a second
    ]
    cases.append(Case("volumes", f, (128, 128, 128), (3, 3, 3), boundary="nearest"))
    # Standard deviations of 1, 2 and 4.
    cases += [
        Case("volumes", dtype, (n,) * 3, (m,) * 3, GAUSSIAN, boundary="nearest")
        for dtype in (f, d)
        for n in (128, 256)
        for m in (9, 17, 33)
    ]
    cases += [Case("volumes", dtype, (n,) * 3, (21,) * 3) for dtype in (f, d) for n in (128, 256)]
    return cases + [Case("volumes", dtype, (64,) * 3, (64,) * 3, mode="full") for dtype in (f, d)]


def _steps() -> list[Case]:
    f = np.float32
    cases = [Case("steps", f, (1080, 1920), (m, m), stride=2, quick=m == 5) for m in (3, 5, 9)]
    cases += [Case("steps", f, (1024, 1024), (m, m), stride=2) for m in (3, 5, 9)]
    cases += [Case("steps", f, (1080, 1920), (5, 5), dilation=4), Case("steps", f, (128,) * 3, (5,) * 3, stride=2)]
    return cases + [Case("steps", f, (1000, 4096), (1000, 31), own_kernels=True)]


CASES = (
    _signals()
    + _rows()
    + _images()
    + _small()
    + _channels()
    + _integers()
    + _layouts()
    + _boundaries()
    + _pictures()
    + _separable()
    + _volumes()
    + _steps()
)
