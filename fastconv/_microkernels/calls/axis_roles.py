"""Which axes of an array are the rows, columns and channels of planes, and along which of them the taps lie."""

from __future__ import annotations

# With more channels than this a block would hold too few columns, so each channel is a separate plane: far slower.
_MOST_CHANNELS = 1024


def axis_roles(rank: int, extent: int, first: int, second: int, is_complex: bool, minimum_width: int):
    """Row, column and channel axis, and the axes of the kernel along rows and columns; -1 for none.

    Convolved are the axes `first` and `second`, or only the first if the second is -1; `extent` is that of the last of
    `rank` axes. Chosen are long lines in memory, and taps along rows if those can share loads. All other axes are a
    batch. Compiled code runs this too.
    """
    last = rank - 1
    if second >= 0:
        row, column = min(first, second), max(first, second)
        channel = last if column < last and extent <= _MOST_CHANNELS and not is_complex else -1
        turned = 1 if first > second else 0
        return row, column, channel, turned, 1 - turned
    if first == last:
        return first - 1, first, -1, -1, 0
    if extent * (2 if is_complex else 1) >= minimum_width:
        return first, last, -1, 0, -1
    if first < last - 1 and not is_complex:
        return first, last - 1, last, 0, -1
    return first - 1, first, -1 if is_complex else last, -1, 0
