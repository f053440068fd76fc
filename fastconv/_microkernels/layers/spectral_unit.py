"""Units of a layer by spectra: transform the input, sum products over channels, transform back.

Along each axis the input is cut into tiles that overlap, as in `overlap_save_loop`: the first results of a tile have
wrapped around. A complex plane holds one real tile of the input; the spectra of kernels are those of pairs of output
channels, one as the real and one as the imaginary part, so that a plane that is transformed back holds two outputs.

A unit is some tiles and a part of the output channels of a group. Where each channel has a kernel of its own, it is one
or two tiles of an image, as the real and the imaginary part of a plane, and some channels.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.block_cutting import run_at
from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.layers.layer_packing import CHANNEL, COLUMN, NUMBER, ROW
from fastconv._microkernels.progress_counters import NON_FINITE
from fastconv._microkernels.spectra.tile_job import AXIS, EXTENT
from fastconv._microkernels.spectra.tile_moves import locate_axis
from fastconv._microkernels.spectra.tile_transforms import BACKWARD, BOTH, FORWARD, transform, transform_columns
from fastconv._microkernels.unit_loop import HEAD
from fastconv._simd import compilation
from fastconv._simd.array_view import view, view_of
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import call, fetch_add, integers_at

# Everything that a unit needs to know but the arrays. Sizes are in elements, offsets in bytes.
SPECTRAL_JOB = Record(
    "SpectralJob",
    {
        **HEAD,
        # Addresses of compiled routines.
        "pack": np.intp,  # from the input to samples
        "fill": np.intp,  # from samples to samples
        "store": np.intp,
        "spread": np.intp,
        "spread_taps": np.intp,
        "finish": np.intp,
        "transpose_rows": np.intp,
        "transpose_back": np.intp,
        "last_pass": np.intp,
        "first_pass_back": np.intp,
        "product": np.intp,  # both, with a product in between
        "scatter": np.intp,
        "gather": np.intp,
        "products": np.intp,
        "item": np.intp,  # bytes of a sample,
        "x_bytes": np.intp,  # and of an element of the input
        "fill_value": 16,
        "scale": 8,  # of the weights: one by the number of points
        "rows": np.intp,  # of a plane
        "columns": np.intp,
        "lanes": np.intp,
        "pitch": np.intp,
        "down": AXIS,
        "across": AXIS,
        "kernel_rows": np.intp,
        "kernel_columns": np.intp,
        "row_dilation": np.intp,
        "column_dilation": np.intp,
        "channels": np.intp,  # of a group
        "groups": np.intp,
        "outputs": np.intp,  # of a group
        "rectify": np.bool_,
        "is_depthwise": np.bool_,
        "pairs": np.intp,  # of outputs in a block
        "blocks": np.intp,  # of a group
        "parts": np.intp,  # of the blocks, or of all channels
        "staged": np.intp,  # channels that are packed, or stored, at a time; an even number
        "tiles": np.intp,  # of all images
        "chunks": np.intp,  # of the tiles
        "least_tiles": np.intp,  # that products are taken of
        "weights_point": np.intp,  # from one point of spectra to the next,
        "x_point": np.intp,
        "y_tile": np.intp,  # from the outputs of a tile to those of the next
        "y_point": np.intp,
        "plane_at": np.intp,
        "points_at": np.intp,
        "zeros_at": np.intp,
        "staging_at": np.intp,  # samples of some channels,
        "second_at": np.intp,  # and those of a second tile, or results
        "x_at": np.intp,
        "y_at": np.intp,
    },
)
# Start of scratch memory: what is known of one tile or two.
SPECTRAL_HEAD = Record(
    "SpectralHead",
    {**dict.fromkeys(("down", "across", "second_down", "second_across"), EXTENT), "not_finite": np.intp},
)
_job_at, _head_at = reader(SPECTRAL_JOB), reader(SPECTRAL_HEAD)
_NOT_FINITE_AT = SPECTRAL_HEAD.offset("not_finite")


@compilation.outline
def _clear(address, count):
    """Set `count` bytes, a multiple of 8, to zero."""
    words = integers_at(address, 0)
    for k in range(count // 8):
        words[k] = 0


@compilation.inline
def _locate(job, tile, down, across):
    """Locate a tile; return its image."""
    tiles = job.down.tiles * job.across.tiles
    locate_axis(job.down, tile % tiles // job.across.tiles, down)
    locate_axis(job.across, tile % tiles % job.across.tiles, across)
    return tile // tiles


@compilation.outline
def _pack(x, job, corner, channels, target, down, across):
    """Copy some channels of a tile to planes of samples, as the boundary extends them, with zeros beside them."""
    item = job.item
    line = job.columns * item
    plane = job.rows * line
    if down.gaps or across.gaps:
        _clear(target, channels * plane)
    for r in range(down.run_count):
        row = run_at(down.runs, r)
        for c in range(across.run_count):
            column = run_at(across.runs, c)
            place = target + row.offset * line + column.offset * item
            if row.source < 0 or column.source < 0:
                call(
                    job.fill,
                    job.fill_value, 0, 0, 0, place, line, item, plane, row.length, column.length, channels, 0,
                )  # fmt: skip
                continue
            source = corner + row.source * x.strides[ROW] + column.source * x.strides[COLUMN]
            row_step, column_step = row.direction * x.strides[ROW], column.direction * x.strides[COLUMN]
            if channels > 1 and x.strides[CHANNEL] == job.x_bytes:  # pixels become columns
                for k in range(row.length):
                    call(
                        job.pack,
                        source + k * row_step, x.strides[CHANNEL], column_step, 0,
                        place + k * line, plane, item, 0, channels, column.length, 1, 0,
                    )  # fmt: skip
            else:
                call(
                    job.pack,
                    source, row_step, column_step, x.strides[CHANNEL],
                    place, line, item, plane, row.length, column.length, channels, 0,
                )  # fmt: skip


@compilation.outline
def _store(out, job, corner, channels, source, down, across):
    """Copy the results of some channels of a tile to the output."""
    item = job.item
    line = job.columns * item
    plane = job.rows * line
    source += job.across.skip % job.lanes * item
    corner += down.start * out.strides[ROW] + across.start * out.strides[COLUMN]
    if channels > 1 and out.strides[CHANNEL] == item:  # columns become pixels
        for r in range(down.length):
            call(
                job.store,
                source + r * line, item, plane, 0,
                corner + r * out.strides[ROW], out.strides[COLUMN], item, 0, across.length, channels, 1, 0,
            )  # fmt: skip
    else:
        call(
            job.store,
            source, line, item, plane, corner, out.strides[ROW], out.strides[COLUMN], out.strides[CHANNEL],
            down.length, across.length, channels, 0,
        )  # fmt: skip


@compilation.outline
def _transform_plane(job, plane, points, spectra, step, used):
    """Transform a plane of which some columns are used, into points of a spectrum `step` bytes apart."""
    none, uniform, forward = types.intp(0), types.intp(2), types.intp(FORWARD)
    transform_columns(job, plane, none, used, job.last_pass, none, uniform, forward)
    for r in range(0, job.rows, job.lanes):
        call(job.transpose_rows, plane + r * job.pitch * job.item, job.pitch, points, job.columns)
        transform(job.across, job.item, job.columns, points, 2 * job.lanes, job.last_pass, none, uniform, forward)
        call(job.scatter, points, spectra + r // job.lanes * job.columns * step, step // job.item, job.columns)


@compilation.outline
def _transform_back(job, plane, points, spectra, step, first, stop):
    """Transform a spectrum back into the columns from `first` to `stop` of a plane."""
    none, uniform, backward = types.intp(0), types.intp(2), types.intp(BACKWARD)
    for r in range(0, job.rows, job.lanes):
        call(job.gather, points, spectra + r // job.lanes * job.columns * step, step // job.item, job.columns)
        transform(
            job.across, job.item, job.columns, points, 2 * job.lanes, job.first_pass_back, none, uniform, backward
        )
        call(job.transpose_back, plane + r * job.pitch * job.item, job.pitch, points, job.columns)
    transform_columns(job, plane, first, stop, job.first_pass_back, none, uniform, backward)


@compilation.inline
def _result_columns(job, width):
    """Columns of a plane that hold the results of a tile: the first, in whole vectors, and the one after the last."""
    return job.across.skip // job.lanes * job.lanes, job.across.skip + width


@compilation.inline
def _finish(job, scratch, plane, real, imag, height, width, bias):
    """Move the results of a plane to two planes of samples."""
    first, stop = _result_columns(job, width)
    columns = -(-(stop - first) // job.lanes) * job.lanes
    call(
        job.finish,
        real, imag, job.columns, plane + (job.down.skip * job.pitch + 2 * first) * job.item, job.pitch,
        height, columns, scratch + _NOT_FINITE_AT, bias, job.rectify,
    )  # fmt: skip


def spectral_unit(
    x_address, x_extents, x_strides, out_address, out_extents, out_strides,
    weights, bias, job_address, progress, scratch, unit,
):  # fmt: skip
    """Compute a part of the output channels of a group, for some tiles."""
    job = _job_at(job_address, 0)
    x, out = view_of(x_address, x_extents, x_strides), view_of(out_address, out_extents, out_strides)
    head = _head_at(scratch, 0)
    head.not_finite = 0
    part, group, chunk = unit % job.parts, unit // job.parts % job.groups, unit // job.parts // job.groups
    first_tile, stop_tile = job.tiles * chunk // job.chunks, job.tiles * (chunk + 1) // job.chunks
    first_block, stop_block = job.blocks * part // job.parts, job.blocks * (part + 1) // job.parts
    plane, points, staging = scratch + job.plane_at, scratch + job.points_at, scratch + job.staging_at
    zeros, results = scratch + job.zeros_at, scratch + job.second_at
    size = 2 * job.lanes * job.item  # of a point
    samples = job.rows * job.columns * job.item
    _clear(zeros, samples)
    for t in range(first_tile, stop_tile):
        image = _locate(job, t, head.down, head.across)
        for c in range(0, job.channels, job.staged):
            channels = min(job.staged, job.channels - c)
            corner = x.address + image * x.strides[NUMBER] + (group * job.channels + c) * x.strides[CHANNEL]
            _pack(x, job, corner, channels, staging, head.down, head.across)
            for k in range(channels):
                call(
                    job.spread, staging + k * samples, zeros, job.columns, plane, job.pitch, job.rows, job.columns
                )  # fmt: skip
                spectra = scratch + job.x_at + ((t - first_tile) * job.channels + c + k) * size
                _transform_plane(job, plane, points, spectra, job.x_point * job.item, head.across.needed)
    point = job.channels * job.pairs * size  # of a block
    call(
        job.products,
        scratch + job.x_at, job.channels * 2 * job.lanes, job.x_point,
        weights + (group * job.blocks + first_block) * point, job.weights_point,
        scratch + job.y_at, job.y_tile, job.y_point,
        job.rows * job.columns // job.lanes, max(job.least_tiles, stop_tile - first_tile),
        stop_block - first_block, job.channels,
    )  # fmt: skip
    first_pair, stop_pair = first_block * job.pairs, min(stop_block * job.pairs, (job.outputs + 1) // 2)
    for t in range(first_tile, stop_tile):
        image = _locate(job, t, head.down, head.across)
        first, stop = _result_columns(job, head.across.length)
        for p in range(first_pair, stop_pair, job.staged // 2):
            count = min(job.staged // 2, stop_pair - p)
            for k in range(count):
                spectra = scratch + job.y_at + (t - first_tile) * job.y_tile * job.item + (p + k - first_pair) * size
                _transform_back(job, plane, points, spectra, job.y_point * job.item, first, stop)
                place = results + 2 * k * samples
                _finish(
                    job, scratch, plane, place, place + samples, head.down.length, head.across.length,
                    bias + (group * job.blocks * job.pairs + p + k) * 2 * job.item,
                )  # fmt: skip
            corner = out.address + image * out.strides[NUMBER] + (group * job.outputs + 2 * p) * out.strides[CHANNEL]
            _store(out, job, corner, min(2 * count, job.outputs - 2 * p), results, head.down, head.across)
    if head.not_finite != 0:
        fetch_add(integers_at(progress, NON_FINITE), 1)


def spectral_channels_unit(
    x_address, x_extents, x_strides, out_address, out_extents, out_strides,
    weights, bias, job_address, progress, scratch, unit,
):  # fmt: skip
    """Compute some channels of one tile or two of a layer with a kernel for each channel."""
    job = _job_at(job_address, 0)
    x, out = view_of(x_address, x_extents, x_strides), view_of(out_address, out_extents, out_strides)
    head = _head_at(scratch, 0)
    head.not_finite = 0
    part, pair = unit % job.parts, unit // job.parts
    tiles = job.down.tiles * job.across.tiles
    pairs = (tiles + 1) // 2
    tile = pair // pairs * tiles + 2 * (pair % pairs)
    has_second = 2 * (pair % pairs) + 1 < tiles
    image = _locate(job, tile, head.down, head.across)
    needed, height, width = head.across.needed, head.down.length, head.across.length
    if has_second:
        _locate(job, tile + 1, head.second_down, head.second_across)
        needed = max(needed, head.second_across.needed)
        height, width = max(height, head.second_down.length), max(width, head.second_across.length)
    first, stop = _result_columns(job, width)
    plane, points, staging = scratch + job.plane_at, scratch + job.points_at, scratch + job.staging_at
    second = scratch + job.second_at
    samples = job.rows * job.columns * job.item
    none, uniform = types.intp(0), types.intp(2)
    forward, backward, both = types.intp(FORWARD), types.intp(BACKWARD), types.intp(BOTH)
    begin, end = job.groups * part // job.parts, job.groups * (part + 1) // job.parts
    for c in range(begin, end, job.staged):
        channels = min(job.staged, end - c)
        corner = x.address + image * x.strides[NUMBER] + c * x.strides[CHANNEL]
        _pack(x, job, corner, channels, staging, head.down, head.across)
        if has_second:
            _pack(x, job, corner, channels, second, head.second_down, head.second_across)
        else:
            _clear(second, channels * samples)
        for k in range(channels):
            real, imag = staging + k * samples, second + k * samples
            call(job.spread, real, imag, job.columns, plane, job.pitch, job.rows, job.columns)
            transform_columns(job, plane, none, needed, job.last_pass, none, uniform, forward)
            factors = weights + (c + k) * 2 * samples
            for r in range(0, job.rows, job.lanes):
                line = plane + r * job.pitch * job.item
                call(job.transpose_rows, line, job.pitch, points, job.columns)
                transform(
                    job.across, job.item, job.columns, points, 2 * job.lanes, job.product,
                    factors + 2 * r * job.columns * job.item, 2 * job.lanes, both,
                )  # fmt: skip
                call(job.transpose_back, line, job.pitch, points, job.columns)
            transform_columns(job, plane, first, stop, job.first_pass_back, none, uniform, backward)
            _finish(job, scratch, plane, real, imag, height, width, bias + (c + k) * 2 * job.item)
        corner = out.address + image * out.strides[NUMBER] + c * out.strides[CHANNEL]
        _store(out, job, corner, channels, staging, head.down, head.across)
        if has_second:
            _store(out, job, corner, channels, second, head.second_down, head.second_across)
    if head.not_finite != 0:
        fetch_add(integers_at(progress, NON_FINITE), 1)


def transform_kernels_signature():
    """Signature of `transform_kernels`."""
    return types.void(view, types.intp, view, types.intp, types.intp, types.intp)


def transform_kernels(weights, spectra, job, scratch, first, stop):
    """Transform the kernels from `first` to `stop` of `weights`, (outputs, channels of a group, rows, columns).

    They are counted by pairs of outputs, and then by channels; `weights` are contiguous, of the type of samples.
    """
    floats = set_default_float_environment()
    job = _job_at(job.address, 0)
    item, taps = job.item, job.kernel_rows * job.kernel_columns
    plane, points = scratch + job.plane_at, scratch + job.points_at
    point = 2 * job.lanes * item
    used = (job.kernel_columns - 1) * job.column_dilation + 1
    group_pairs = job.outputs if job.is_depthwise else (job.outputs + 1) // 2
    for k in range(first, stop):
        pair, channel = k // job.channels, k % job.channels
        group, pair = pair // group_pairs, pair % group_pairs
        output = group * job.outputs + (pair if job.is_depthwise else 2 * pair)
        _clear(plane, job.rows * job.pitch * item)
        both = not job.is_depthwise and 2 * pair + 1 < job.outputs
        for part in range(2 if both else 1):
            call(
                job.spread_taps,
                weights.address + ((output + part) * job.channels + channel) * taps * item, plane, job.pitch, part,
                job.kernel_rows, job.kernel_columns, job.row_dilation, job.column_dilation, job.scale,
            )  # fmt: skip
        if job.is_depthwise:
            place, step = output * 2 * job.rows * job.columns * item, point
        else:
            block = group * job.blocks + pair // job.pairs
            place = ((block * job.channels + channel) * job.pairs + pair % job.pairs) * point
            step = job.weights_point * item
        _transform_plane(job, plane, points, spectra + place, step, used)
    restore_float_environment(floats)
