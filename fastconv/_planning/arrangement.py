"""Views of two arrays of any number of axes, of which a problem of as few axes as possible is made.

Axes of one tap become batch axes; a kernel for each line is put in the order of a problem; where convolution commutes,
the smaller array is the kernel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv._model.geometry import ZERO
from fastconv._model.message_formatting import clipped
from fastconv._planning.sweeps import Sweep


def with_common_boundary(sweeps: list[Sweep]) -> list[Sweep]:
    """The same; those that are inside get the boundary of another one, or zero, since theirs does not matter."""
    common = next((sweep.boundary for sweep in sweeps if not sweep.is_inside), ZERO)
    return [sweep._replace(boundary=common) if sweep.is_inside else sweep for sweep in sweeps]


class Arrangement(NamedTuple):
    """How views of input and kernel are taken, and the sizes of what they show.

    Both arrays are first seen with as many axes: a kernel of one axis for each of the convolution's has extents of 1
    along all others. The views are of the roles that a problem gives them, after a swap.
    """

    swap: bool
    axes: tuple[int, ...]  # of the convolution, in the order of the kernel's axes
    sweeps: tuple[Sweep, ...]  # those left, in the order of the array
    x_shape: tuple[int, ...]
    kernels: tuple[int, ...]
    x_batch: tuple[int, ...] | None  # extents to which the input is broadcast
    x_slices: tuple[slice, ...] | None
    is_aligned: bool  # the kernel has as many axes as the input

    @classmethod
    def of(
        cls, x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], sweeps: list[Sweep], may_swap: bool
    ) -> Arrangement:
        """Arrange arrays whose extents along other axes may be broadcast."""
        axes, ndim = tuple(sweep.axis for sweep in sweeps), len(x_shape)
        is_aligned = len(kernel_shape) > len(axes)
        taps_shape = list(kernel_shape) if is_aligned else [1] * ndim
        for sweep in sweeps:
            taps_shape[sweep.axis] = sweep.taps
        others = [axis for axis in range(ndim) if axis not in axes]
        swap = (
            may_swap
            and math.prod(x_shape) < math.prod(kernel_shape)
            and all(sweep.boundary == ZERO and sweep.dilation == 1 for sweep in sweeps)
            and all(x_shape[axis] == 1 for axis in others)
        )
        shape = list(x_shape)
        if swap:
            shape, taps_shape = taps_shape, shape
            sweeps = [sweep._replace(samples=sweep.taps, taps=sweep.samples) for sweep in sweeps]
        sweeps = sorted(sweep.simplified() for sweep in sweeps)
        own = any(taps_shape[axis] > 1 for axis in others)
        x_batch = tuple(max(pair) for pair in zip(shape, taps_shape))
        x_batch = tuple(x_batch[axis] if axis in others else extent for axis, extent in enumerate(shape))
        slices, seen, left = [slice(None)] * ndim, list(x_batch), []
        for sweep in sweeps:
            if sweep.taps == 1 and sweep.is_inside:
                slices[sweep.axis] = slice(sweep.start, sweep.last + 1, sweep.stride)
                seen[sweep.axis] = sweep.outputs
            else:
                left.append(sweep)
        if not left:
            left = [Sweep(sweeps[-1].axis, sweeps[-1].outputs, 1, sweeps[-1].outputs, 0)]
        kept = {sweep.axis for sweep in left}
        return cls(
            swap=swap,
            axes=axes,
            sweeps=tuple(with_common_boundary(left)),
            x_shape=tuple(seen),
            kernels=tuple(seen[axis] for axis in range(ndim) if axis not in kept) if own else (),
            x_batch=x_batch if x_batch != tuple(shape) else None,
            x_slices=tuple(slices) if tuple(seen) != x_batch else None,
            is_aligned=is_aligned,
        )

    @property
    def is_plain(self) -> bool:
        """True if the views show the arrays as they are."""
        left = tuple(sweep.axis for sweep in self.sweeps)
        return not (self.swap or self.is_aligned or self.x_batch or self.x_slices) and left == self.axes

    def roles(self, x: np.ndarray, kernel: np.ndarray, flip_kernel: bool) -> tuple[np.ndarray, np.ndarray]:
        """Both arrays with as many axes, in their roles; `flip_kernel` before it becomes the input."""
        if flip_kernel:
            kernel = np.flip(kernel, self.axes if self.is_aligned else None)
        kernel = self.aligned(kernel)
        return (kernel, x) if self.swap else (x, kernel)

    def aligned(self, kernel: np.ndarray) -> np.ndarray:
        """The kernel, with as many axes as the input."""
        if self.is_aligned:
            return kernel
        kernel = kernel.transpose(sorted(range(kernel.ndim), key=self.axes.__getitem__))
        return np.expand_dims(kernel, tuple(axis for axis in range(len(self.x_shape)) if axis not in self.axes))

    def input_view(self, x: np.ndarray) -> np.ndarray:
        """The input that a problem gets, of the array in that role."""
        if self.x_batch is not None:
            x = np.broadcast_to(x, self.x_batch)
        return x if self.x_slices is None else x[self.x_slices]

    def kernel_view(self, kernel: np.ndarray) -> np.ndarray:
        """The kernel that a problem gets, of the array in that role."""
        ndim = len(self.x_shape)
        kept = [sweep.axis for sweep in self.sweeps]
        others = [axis for axis in range(ndim) if axis not in kept]
        kernel = kernel.transpose(*others, *kept)
        if self.kernels:
            return np.broadcast_to(kernel, (*self.kernels, *kernel.shape[len(others) :]))
        return kernel[(0,) * len(others)]


def broadcast(name: str, x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], axes: tuple[int, ...]):
    """Extents of the result along all axes but `axes`, and of `x` along these; refuse those that do not broadcast."""
    if len(kernel_shape) == len(axes):
        return x_shape
    found = list(x_shape)
    for axis, (extent, other) in enumerate(zip(x_shape, kernel_shape)):
        if axis in axes:
            continue
        if extent != other and 1 not in (extent, other):
            raise ValueError(
                f"{name} and kernel must have equal extents, or 1, along all axes but {clipped(axes)}; "
                f"got shapes {clipped(x_shape)} and {clipped(kernel_shape)}"
            )
        found[axis] = max(extent, other)
    return tuple(found)
