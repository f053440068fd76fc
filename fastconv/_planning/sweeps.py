"""How a kernel moves along each axis of a convolution, and where the results are in the full one."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from fastconv._model.arguments import LONGEST_SPAN
from fastconv._model.geometry import BOUNDARIES, ZERO, reach, span
from fastconv._model.message_formatting import clipped, shown
from fastconv._model.problem import Problem
from fastconv._model.steps import Steps


class Sweep(NamedTuple):
    """One axis of a convolution, along which its kernel moves: taps, steps, and where the results are."""

    axis: int  # of the input
    samples: int
    taps: int
    outputs: int
    start: int  # in the full result
    stride: int = 1
    dilation: int = 1
    boundary: int = ZERO

    @property
    def first(self) -> int:
        """Position of the sample under the first tap of the flipped kernel at output 0."""
        return self.start - self.dilation * (self.taps - 1)

    @property
    def last(self) -> int:
        """Position of the sample under its last tap at the last output."""
        return self.start + self.stride * (self.outputs - 1)

    @property
    def is_inside(self) -> bool:
        """True if no sample outside is used."""
        return self.first >= 0 and self.last < self.samples

    def simplified(self) -> Sweep:
        """The same axis, without a stride or a dilation that changes nothing."""
        return self._replace(
            stride=self.stride if self.outputs > 1 else 1, dilation=self.dilation if self.taps > 1 else 1
        )


def each(value, count: int) -> tuple:
    """A tuple as it is, another value once for each axis."""
    return value if type(value) is tuple else (value,) * count


def with_extents(shape, axes, extents) -> tuple[int, ...]:
    """`shape`, with other extents along `axes`."""
    changed = list(shape)
    for axis, extent in zip(axes, extents):
        changed[axis] = extent
    return tuple(changed)


def as_sweep(samples: int, taps: int, mode: str, steps: Steps | None, k: int = 0) -> Sweep:
    """How the kernel moves along axis number `k`."""
    if steps is None:
        length, start = span(mode, samples, taps)
        return Sweep(k, samples, taps, length, start)
    stride, dilation, wanted = steps.strides[k], steps.dilations[k], steps.starts[k]
    spanned = reach(taps, dilation)
    if spanned > LONGEST_SPAN:
        raise ValueError(
            f"dilation must leave a kernel that spans at most {LONGEST_SPAN} samples; got {clipped(dilation)}"
        )
    if steps.spans is not None:
        return Sweep(k, samples, taps, *steps.spans[k], stride, dilation)
    length, start = span(mode, samples, spanned)
    if steps.lags is not None:
        length, start = _lagged(steps.lags, mode, samples, spanned)
    elif wanted is not None:
        if mode == "valid":
            raise ValueError(f"start must be None in mode 'valid'; got {clipped(repr(wanted))}")
        named = {"first": 0, "center": (spanned - 1) // 2, "last": spanned - 1}
        start = named[wanted] if isinstance(wanted, str) else wanted
        if not 0 <= start < samples + spanned - 1:
            raise ValueError(
                f"start must be an index into the full result, 0 .. {samples + spanned - 2}; got {clipped(start)}"
            )
    return Sweep(k, samples, taps, -(-length // stride), start, stride, dilation)


def _lagged(lags: tuple[int, int], mode: str, samples: int, spanned: int) -> tuple[int, int]:
    """Length and start of the results from the first to the last lag."""
    if mode != "full":
        raise ValueError(f"mode must be 'full' if there are lags; got {mode!r}")
    if not (-(spanned - 1) <= lags[0] and lags[1] < samples):
        raise ValueError(
            f"lags must lie in {1 - spanned} .. {samples - 1}, those of the full result; got {shown(lags)}"
        )
    return lags[1] - lags[0] + 1, lags[0] + spanned - 1


def as_sweeps(
    x_shape: tuple[int, ...],
    taps: Sequence[int],
    axes: Sequence[int],
    mode: str | tuple[str, ...],
    boundary: str | tuple[str, ...],
    steps: Steps | None = None,
) -> list[Sweep]:
    """How the kernel moves along each axis; in mode 'valid' nothing lies outside."""
    modes, names = each(mode, len(axes)), each(boundary, len(axes))
    return [
        as_sweep(x_shape[axis], taps[k], modes[k], steps, k)._replace(
            axis=axis, boundary=ZERO if modes[k] == "valid" else BOUNDARIES.index(names[k])
        )
        for k, axis in enumerate(axes)
    ]


def problem_of(sweeps: Sequence[Sweep], **others: Any) -> Problem:
    """The problem of a kernel that moves like this; `others` are the fields that do not follow from it."""
    strides, dilations = (tuple(getattr(sweep, name) for sweep in sweeps) for name in ("stride", "dilation"))
    along = {
        "kernel_shape": tuple(sweep.taps for sweep in sweeps),
        "axes": tuple(sweep.axis for sweep in sweeps),
        "starts": tuple(sweep.start for sweep in sweeps),
        "boundaries": tuple(sweep.boundary for sweep in sweeps),
        "looks_outside": not all(sweep.is_inside for sweep in sweeps),
        "strides": strides if any(step > 1 for step in strides) else (),
        "dilations": dilations if any(step > 1 for step in dilations) else (),
    }
    return Problem(**{**along, **others})


def check_valid(name: str, sweeps: Sequence[Sweep], mode: str | tuple[str, ...]) -> None:
    """Refuse mode 'valid' where neither array fits into the other."""
    valid = [sweep for sweep, one in zip(sweeps, each(mode, len(sweeps))) if one == "valid"]
    samples = tuple(sweep.samples for sweep in valid)
    reaches = tuple(reach(sweep.taps, sweep.dilation) for sweep in valid)
    larger = [extent - taps for extent, taps in zip(samples, reaches)]
    if larger and min(larger) < 0 < max(larger):
        raise ValueError(
            f"in mode 'valid' one of {name} and kernel must be at least as large as the other along "
            f"{'both' if len(larger) == 2 else 'all'} axes; got {clipped(samples)} and {clipped(reaches)}"
        )
