"""How the loops over blocks address samples, pitches of buffers, and whether converted weights are finite."""

from __future__ import annotations

from fastconv._simd import compilation
from fastconv._simd.memory import integers_at, load_int32, load_int64


@compilation.inline
def layout_of(array, job, row, rank, element, is_of_samples, channels):
    """Strides in bytes along columns and channels, and whether microkernels can address the array itself.

    `row` is the stride along rows, or that and others joined by "or"; so are the first `rank` axes of the batch looked
    at. The parts of a complex number lie `element` bytes apart.
    """
    column = array.strides[job.column_axis]
    channel = array.strides[job.channel_axis] if job.channel_axis >= 0 else element
    steps, axes, size = array.address | row, integers_at(job.batch_axes, 0), job.sample_bytes
    for k in range(rank):
        steps |= array.strides[axes[k]]
    # Zero if lines are contiguous and all samples are aligned.
    obstacles = (channel - size) * (channels - 1) | (column - channels * size) | steps % size
    return column, channel, is_of_samples and not obstacles


@compilation.inline
def are_finite(weights, count, size, mask):
    """Whether `count` floats of `size` bytes are finite: `mask` has the bits that are all set in an infinity or a NaN.

    If it is 0, no float is looked at.
    """
    if mask != 0:
        for k in range(count):
            bits = load_int32(weights + 4 * k) if size == 4 else load_int64(weights + 8 * k)
            if bits & mask == mask:
                return False
    return True


def usual_block(outputs: int, size: int) -> tuple[int, int]:
    """Rows of a block of the direct engine, and its elements of `size` bytes along a row, where nothing limits them.

    64 rows of 8 kB, or 32 where a small image would have too few blocks for all threads; a line is longer.
    """
    # Compiled code runs this too.
    return (32 if outputs < 1024 else 64), (min(2048, 8192 // size) if outputs > 1 else 8192)


def pitch_of(elements: int, size: int) -> int:
    """Pitch of lines with so many elements of `size` bytes: room for 16 more, and an odd number of cache lines.

    An even number would put the rows of a tile into fewer sets of the cache, a power of two into a few.
    """
    # Compiled code runs this too.
    pitch = -(-elements // 16) * 16 + 16
    return pitch + 64 // size if pitch * size % 128 == 0 else pitch
