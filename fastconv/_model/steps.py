"""Strides, dilations, starts and lags: which results of a convolution are computed, and which samples they sum."""

from __future__ import annotations

from typing import NamedTuple

from fastconv._model.arguments import as_choice, as_count, as_integer, for_each_axis
from fastconv._model.message_formatting import one_of, shown
from fastconv._model.passed_exceptions import passed

STARTS = ("first", "center", "last")


class Steps(NamedTuple):
    """Which results are computed, and which samples they are sums of: options that most convolutions leave out.

    All but `lags` have a value for each axis. A start is an index into the full result, a name of `STARTS`, or None for
    that of the mode. Spans, numbers of results and indices of their first ones in the full result, replace all that
    tells which results are computed.
    """

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    starts: tuple[int | str | None, ...]
    lags: tuple[int, int] | None = None
    spans: tuple[tuple[int, int], ...] | None = None

    @property
    def are_usual(self) -> bool:
        """True if there is no option but spans."""
        count = len(self.strides)
        return self[:4] == ((1,) * count, (1,) * count, (None,) * count, None)

    def of_spans(self, spans: tuple[tuple[int, int], ...]) -> Steps:
        """The same options for spans of the results."""
        return self._replace(spans=spans)


def usual_steps(count: int) -> Steps:
    """The options of a convolution along `count` axes that leaves them out."""
    return Steps((1,) * count, (1,) * count, (None,) * count)


def as_steps(stride, dilation, start, lags, count: int) -> Steps | None:
    """Check strides, dilations and starts along `count` axes, and the first and the last lag; None if all are usual."""
    if type(stride) is type(dilation) is int and stride > 0 < dilation and start is None is lags:
        # In a tenth of the time: most calls with options have these alone.
        return Steps((stride,) * count, (dilation,) * count, (None,) * count) if stride > 1 or dilation > 1 else None
    strides = for_each_axis(stride, "stride", count, lambda one: as_count(one, "stride"))
    dilations = for_each_axis(dilation, "dilation", count, lambda one: as_count(one, "dilation"))
    found = Steps(strides, dilations, for_each_axis(start, "start", count, _as_start), _as_lags(lags))
    usual = usual_steps(count)
    if lags is not None and count != 1:
        raise ValueError(f"lags must be None for more than one axis; got {shown(lags)}")
    if lags is not None and found.starts != usual.starts:
        raise ValueError(f"start must be None if there are lags; got {shown(start)}")
    return None if found == usual else found


def _as_start(value) -> int | str | None:
    """Convert to an index, one of `STARTS`, or None."""
    if value is None or isinstance(value, str):
        return None if value is None else as_choice(value, "start", STARTS)
    try:
        return as_integer(value)
    except passed():
        raise
    except Exception as error:
        raise TypeError(f"start must be an integer, {one_of(STARTS)}; got {shown(value)}") from error


def _as_lags(value) -> tuple[int, int] | None:
    """Convert to the first and the last lag."""
    if value is None:
        return None
    try:
        first, last = map(as_integer, value)
    except passed():
        raise
    except Exception as error:
        raise TypeError(f"lags must be two integers, the first and the last lag; got {shown(value)}") from error
    if first > last:
        raise ValueError(f"lags must be the first and the last lag, in this order; got {shown(value)}")
    return first, last
