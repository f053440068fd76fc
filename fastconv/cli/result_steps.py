"""Which results are computed: the options --mode, --stride, --dilation, --start, and --axes with one axis."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv._model.geometry import reach, span
from fastconv.cli.georeferencing import Grid

_MOST_TAPS = 1 << 28
Start = int | str | None
# Relative difference of a kernel of float32 from a product of its sums.
_ROUNDING = 1e-5


class Steps(NamedTuple):
    """Which results of a filter are kept, along rows and columns."""

    mode: str
    taps: tuple[int, int]  # of the kernel, dilated
    stride: tuple[int, int] = (1, 1)
    start: tuple[Start, Start] = (None, None)  # as in `fastconv.convolve2d`

    @property
    def filter_mode(self) -> str:
        """The mode in which to filter: results from any start on are among those of 'full'."""
        return self.mode if self.start == (None, None) else "full"

    def kept(self, extents: tuple[int, ...]) -> tuple[slice, slice]:
        """The results to keep, of those of a picture of these rows and columns."""
        return self._along(0, extents[0]), self._along(1, extents[1])

    def _along(self, axis: int, extent: int) -> slice:
        begin = 0 if self.filter_mode == self.mode else self._first(axis)
        length = span(self.mode, extent, self.taps[axis]).length
        return slice(begin, begin + length, self.stride[axis])

    def _first(self, axis: int) -> int:
        """The index of the first result in the full convolution."""
        start, last = self.start[axis], self.taps[axis] - 1
        if start is None:
            return {"same": last // 2, "valid": last, "full": 0}[self.mode]
        return {"first": 0, "center": last // 2, "last": last}[start] if isinstance(start, str) else start

    def shape(self, extents: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the results of a picture, of which further axes are channels."""
        kept = (len(range(part.start, part.stop, part.step)) for part in self.kept(extents))
        return (*kept, *extents[2:])

    @property
    def are_usual(self) -> bool:
        """Whether the results are those of the mode."""
        return self.stride == (1, 1) and self.start == (None, None)

    @property
    def grid(self) -> Grid:
        """Where the results lie among the pixels: each at the middle of its kernel."""
        rows, columns = (self._first(axis) - (self.taps[axis] - 1) // 2 for axis in (0, 1))
        return Grid((rows, columns), self.stride)


def steps_of(options: Any, taps: tuple[int, int], along: int | None = None) -> Steps:
    """Check the options for a kernel of this shape, which is `along` rows or columns only if that is 0 or 1.

    Raises
    ------
    ValueError
        For a start that the kernel does not have, or in another mode than 'same'.
    """
    stride, start = _of_axis(options, "stride", along, 1), _of_axis(options, "start", along, None)
    if options.start is not None and options.mode != "same":
        raise ValueError(f"argument --start: is for --mode same; got {options.mode}")
    for one, count in zip(start, taps):
        if isinstance(one, int) and one >= count:
            raise ValueError(f"argument --start: must be an index into the kernel, 0 .. {count - 1}; got {one}")
    return Steps(options.mode, taps, stride, start)


def _of_axis(options: Any, name: str, along: int | None, usual: Any) -> tuple[Any, Any]:
    """The values of an option for rows and columns; along one axis there is one value."""
    given = getattr(options, name)
    if given is None:
        return usual, usual
    if along is None:
        return given
    if given[0] != given[1]:
        raise ValueError(f"argument --{name}: must be one value for one axis; got {given[0]},{given[1]}")
    return (given[0], usual) if along == 0 else (usual, given[1])


def kernel_of(taps: NDArray, options: Any, along: int | None) -> NDArray:
    """The kernel by the options: along one axis, and dilated.

    Raises
    ------
    ValueError
        If it is not of one axis, or too large.
    """
    if along is not None:
        taps = _row(taps)
        taps = taps.T if along == 0 else taps
    return _dilated(taps, _of_axis(options, "dilation", along, 1))


def _dilated(kernel: NDArray, dilation: tuple[int, int]) -> NDArray:
    """A kernel with zeros between its taps."""
    if dilation == (1, 1):
        return kernel
    rows, columns = (reach(count, step) for count, step in zip(kernel.shape, dilation))
    if rows * columns > _MOST_TAPS:
        raise ValueError(
            f"argument --dilation: the kernel must span at most {_MOST_TAPS} pixels; spans {rows} x {columns}"
        )
    spread = np.zeros((rows, columns), kernel.dtype)
    spread[:: dilation[0], :: dilation[1]] = kernel
    return spread


def _row(kernel: NDArray) -> NDArray:
    """The kernel as one row: itself, or that of which it is the product, such as a Gaussian."""
    if 1 in kernel.shape:
        return kernel.reshape(1, -1)
    with np.errstate(all="ignore"):
        row = kernel.sum(axis=0, dtype=np.float64)
        equal = kernel.shape[0] == kernel.shape[1] and np.allclose(
            np.outer(row, row), kernel, rtol=_ROUNDING, atol=_ROUNDING * np.abs(kernel).max()
        )
    if not equal:
        shape = " x ".join(map(str, kernel.shape))
        raise ValueError(
            f"argument --axes: one axis takes a kernel of one row, or a product of equal rows, such as box; got {shape}"
        )
    return row.astype(kernel.dtype).reshape(1, -1)
