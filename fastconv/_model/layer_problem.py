"""What a convolutional layer computes: output sizes, padding, and the description that its engines take.

With ``N`` samples along an axis, ``K`` taps ``d`` apart, a stride ``s`` and the first tap of output 0 at `start`::

    out[o] = sum_k weights[k] * x[o * s + start + k * d]
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv._model.geometry import reach

NAMED_PADDINGS = ("valid", "same", "same_lower")


class PaddedSpan(NamedTuple):
    """One axis of a layer: number of outputs, and the sample under the first tap of output 0."""

    outputs: int
    start: int


def padded_span(padding, samples: int, taps: int, stride: int, dilation: int) -> PaddedSpan:
    """Span of an axis whose padding is a pair of integers or a name; it may have no outputs.

    ==========  ====================  ============================================================
    padding     outputs               padded with
    ==========  ====================  ============================================================
    valid       as (0, 0)             nothing
    same        ceil(samples/stride)  what these need: half at each end, the odd sample at the end
    same_lower  ceil(samples/stride)  likewise, with the odd sample at the start
    ==========  ====================  ============================================================
    """
    extent = reach(taps, dilation)
    if padding in ("same", "same_lower"):
        outputs = -(-samples // stride)
        total = max(0, (outputs - 1) * stride + extent - samples)
        return PaddedSpan(outputs, -((total + (padding == "same_lower")) // 2))
    before, after = (0, 0) if padding == "valid" else padding
    return PaddedSpan(max(0, (samples + before + after - extent) // stride + 1), -before)


class LayerProblem(NamedTuple):
    """One layer for real numbers, in the order (number, channels, rows, columns); all that an engine depends on."""

    x_dtype: np.dtype
    sums: np.dtype  # in which it computes, and of the result
    x_shape: tuple[int, int, int, int]
    outputs: int  # channels
    kernel: tuple[int, int]
    out_size: tuple[int, int]
    starts: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    boundary: int
    fill_value: Any
    rectify: bool
    channels_last: bool  # the result
    # What is known of the layout of the input: `has_pixels`, `has_lines`. One with neither is packed.
    has_pixels: bool = False
    has_lines: bool = False
    stores_pixels: bool = False  # whether the result `has_pixels`

    @property
    def needed(self) -> tuple[int, int]:
        """Input rows and columns from `starts` on."""
        rows, columns = (
            (outputs - 1) * stride + reach(taps, dilation)
            for outputs, stride, taps, dilation in zip(self.out_size, self.stride, self.kernel, self.dilation)
        )
        return rows, columns

    def looks_outside(self, axis: int) -> bool:
        """Whether an axis needs samples outside of the image."""
        start = self.starts[axis]
        return start < 0 or start + self.needed[axis] > self.x_shape[2 + axis]

    @property
    def products(self) -> int:
        """Multiplications, with those of padding."""
        number, channels = self.x_shape[:2]
        rows, columns = self.out_size
        return number * self.outputs * rows * columns * (channels // self.groups) * self.kernel[0] * self.kernel[1]


def has_pixels(x: np.ndarray) -> bool:
    """Whether channels, and then columns, of an aligned batch are side by side."""
    (_, channels, _, columns), (_, channel, _, column) = x.shape, x.strides
    return (
        _is_aligned(x)
        and (channels == 1 or channel == x.itemsize)
        and (columns == 1 or column == channels * x.itemsize)
    )


def has_lines(x: np.ndarray) -> bool:
    """Whether columns of an aligned batch are side by side."""
    return _is_aligned(x) and (x.shape[3] == 1 or x.strides[3] == x.itemsize)


def _is_aligned(x: np.ndarray) -> bool:
    return x.flags.aligned and not any(stride % x.itemsize for stride in x.strides)
