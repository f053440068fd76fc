"""Addresses of the planes of a batch."""

from __future__ import annotations

from fastconv._simd import compilation
from fastconv._simd.memory import integers_at


@compilation.inline
def corners(x, out, job, index):
    """Addresses of the input and the output plane of batch index `index`."""
    x_corner, out_corner, axes = x.address, out.address, integers_at(job.batch_axes, 0)
    for k in range(job.batch_rank):
        axis = axes[k]
        extent = out.extents[axis]
        x_corner += index % extent * x.strides[axis]
        out_corner += index % extent * out.strides[axis]
        index //= extent
    return x_corner, out_corner


@compilation.inline
def corner_of(address, strides, out, job, index):
    """Address of the plane of batch index `index` of an array with as many axes as the output."""
    axes = integers_at(job.batch_axes, 0)
    for k in range(job.batch_rank):
        axis = axes[k]
        address += index % out.extents[axis] * strides[axis]
        index //= out.extents[axis]
    return address
