"""The loop over tiles of the spectral engine: pack, transform, multiply, transform back, store.

`run` is compiled once and knows no element type; the routines that it calls by address do, those of `fft_passes` and
`transfer`. A tile is a plane of complex numbers in scratch memory that stays in cache: in each row, a register of
real parts, one of imaginary parts, and so on. It holds two tiles of a real input at once, one as the real and one as
the imaginary part: a real kernel keeps them apart. On its way from the input, and back, a tile passes over a stage,
some rows at a time.

There are four kinds of tile, told apart by which axes are transformed:

- both: an image by a kernel with rows and columns;
- both, `folded`: a long stretch of one line, its samples row after row. The transforms of columns and of rows are,
  with twiddle factors between, one long transform;
- the rows alone, or the columns alone: many lines by a kernel of one row or column, which must not mix them, as the
  rounding errors of one would reach into the others.

Columns are transformed where they are, a vector at a time. Rows are transposed into a small buffer, as many as
there are lanes, and go through both transforms and the product there.

Tiles overlap in their input (overlap-save): of ``size`` results along an axis the first ``taps - 1`` have wrapped
around, and are left.
"""

from __future__ import annotations

from numba import types

from fastconv._microkernels.block_tables import COUNT, DIRECTION, OFFSET, RUN, RUN_SOURCE
from fastconv._microkernels.progress_counters import BELL, DONE, FINISHED, LEFT, MORE, NEXT, PROGRESS
from fastconv._simd import compilation
from fastconv._simd.array_view import view
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import address_of, call, fetch_add, integers_at, spin_load

# What is known of an axis, down or across.
(
    TRANSFORMED,  # whether there are taps along it
    SIZE,  # of a tile, in samples
    STEP,  # from one tile's outputs to the next one's
    TILES,
    OUTPUTS,
    FIRST,  # the input sample that the first tile begins with
    REACH,  # how many samples more than outputs a tile needs,
    SKIP,  # and how many results come before the first output
    LEAD,  # how many tiles at the start may reach outside,
    TAIL,  # and the first one at the end that may
    EDGES,  # addresses: where the runs of those tiles begin and end,
    RUNS,  # the runs,
    PASSES,  # and the passes of the transform;
    PASS_COUNT,  # and how many these are
    AXIS,
) = range(15)

# A tile that may reach outside: where its runs begin and end, and whether samples are left that are zero.
EDGE_FROM, EDGE_TO, EDGE_GAPS, EDGE = range(4)
# A pass: addresses of the leaves, radix, span, address of the twiddle factors.
FORWARD, BACKWARD, RADIX, SPAN, TWIDDLES, PASS = range(6)

# What `run` is told, as an array of integers; the two axes follow at `DOWN` and `ACROSS`.
(
    PACK,  # addresses of leaves: transfer from the input's type,
    COPY,  # of fill values,
    STORE,  # and to the output,
    TOLD,  # which is told this last;
    SPREAD,  # from the stage to the plane,
    GATHER,  # and back
    TAKE_ROWS,
    GIVE_ROWS,
    LAST,  # of the columns, the last pass forward,
    LAST_OF_ROWS,  # that of the rows,
    TURN,  # the product,
    FIRST_BACK,  # and the first pass backward
    ITEM,  # bytes of an element of the compute type,
    X_ITEM,  # and of a number, or its part, in the input
    RIDERS,  # tiles that share a plane: 2 where input and kernel are real
    PARTS,  # elements of a number on the stage: 2 where the result is complex,
    X_PARTS,  # and of one in the input
    FOLDED,
    ROWS,  # of the plane,
    COLUMNS,
    ROW_AXIS,  # axes of input and output, -1 for none
    COLUMN_AXIS,
    UNITS,  # planes to transform, and how many of them each plane of the input takes
    UNITS_OF_PLANE,
    GROUP,  # tiles, one after the other, that may ride together: all of a plane, or those along one line
    UNITS_OF_GROUP,
    DOWN_FIRST,  # whether tiles are counted down, not across
    LANES,
    PITCH,  # of the plane, in elements
    STAGE_ROWS,  # rows of the plane that the stage holds
    PLANE_AT,  # where the plane starts in the scratch memory, in bytes,
    POINTS_AT,  # the buffer for rows,
    STAGE_AT,  # and the stage, of one rider and of the other
    SECOND_STAGE_AT,
    SHARES,  # 1; or into how many a plane is cut that threads work at together,
    SHARE_ROWS,  # and what is in one
    SHARE_COLUMNS,
    TWIST,  # address of the twiddle factors of a folded tile
    FILL_VALUE,  # the bytes of a fill value of the compute type; its imaginary part follows
    _FILL_IMAGINARY,
    DOWN,
) = range(41)
ACROSS = DOWN + AXIS
BATCH_AXES = ACROSS + AXIS  # how many there are; their numbers follow
BATCH = BATCH_AXES + 1

# What a job is told behind its progress. Where threads share a plane, its address, its unit, and the steps to be done.
PLANE, UNIT, STEPS = range(PROGRESS, PROGRESS + 3)
# All of them, in their order, each a bit: no thread begins one before all others have done the one before.
ALL_STEPS = _PACK, _DOWN, _THROUGH, _UP, _STORE = 1, 2, 4, 8, 16

# A piece, in scratch: what a tile needs along an axis. Its runs, or the only one.
_START, _LENGTH, _NEEDED, _RUNS, _RUN_COUNT, _GAPS, _OWN_RUN = range(7)
_PIECE = _OWN_RUN + RUN
# Scratch begins with two pieces for each rider, and what was found of infinities.
_FOUND = 4 * _PIECE
HEAD = 8 * (_FOUND + 1)


def signature():
    """Signature of `run`."""
    n = types.intp
    return n(view, view, view, view, view, n, n, n, n)


def prepare_signature():
    """Signature of `prepare`."""
    n = types.intp
    return types.void(view, n, n, n, n, n)


@compilation.outline
def _locate(axis, tile, piece):
    """Fill in the `piece` of a tile along an axis."""
    start = tile * axis[STEP]
    length = min(axis[STEP], axis[OUTPUTS] - start)
    needed = length + axis[REACH]
    piece[_START], piece[_LENGTH], piece[_NEEDED] = start, length, needed
    if axis[LEAD] <= tile < axis[TAIL]:
        own = integers_at(address_of(piece, _OWN_RUN), 0)
        own[OFFSET], own[RUN_SOURCE], own[COUNT], own[DIRECTION] = 0, start + axis[FIRST], needed, 1
        piece[_RUNS], piece[_RUN_COUNT] = address_of(piece, _OWN_RUN), 1
        piece[_GAPS] = 1 if needed < axis[SIZE] else 0
    else:
        entry = tile if tile < axis[LEAD] else tile - axis[TAIL] + axis[LEAD]
        edge = integers_at(axis[EDGES], entry * EDGE)
        piece[_RUNS] = address_of(integers_at(axis[RUNS], 0), edge[EDGE_FROM] * RUN)
        piece[_RUN_COUNT] = edge[EDGE_TO] - edge[EDGE_FROM]
        piece[_GAPS] = edge[EDGE_GAPS]


@compilation.outline
def _locate_both(job, down_axis, across_axis, tile, down, across):
    """Fill in both pieces of a tile."""
    if job[DOWN_FIRST]:
        _locate(down_axis, tile % job[DOWN + TILES], down)
        _locate(across_axis, tile // job[DOWN + TILES], across)
    else:
        _locate(down_axis, tile // job[ACROSS + TILES], down)
        _locate(across_axis, tile % job[ACROSS + TILES], across)


@compilation.outline
def _pack(job, stage, first, rows, corner, row_stride, column_stride, down, across):
    """Copy the input of rows `first` and so on of a tile, as the boundary extends it, to the stage."""
    parts, item, wide = job[PARTS], job[ITEM], job[COLUMNS]
    line = wide * parts * item
    if down[_GAPS] | across[_GAPS] | (job[X_PARTS] - parts):
        words = integers_at(stage, 0)
        for k in range(rows * line // 8):
            words[k] = 0
    # The part of the tile that is on the stage: rows, and columns; a folded tile has one row alone.
    top, bottom, left, right = first, first + rows, 0, wide
    if job[FOLDED]:
        top, bottom, left, right = 0, 1, first * wide, (first + rows) * wide
    for r in range(down[_RUN_COUNT]):
        row = integers_at(down[_RUNS], r * RUN)
        above = max(0, top - row[OFFSET])
        height = min(row[COUNT], bottom - row[OFFSET]) - above
        if height <= 0:
            continue
        for c in range(across[_RUN_COUNT]):
            column = integers_at(across[_RUNS], c * RUN)
            before = max(0, left - column[OFFSET])
            width = min(column[COUNT], right - column[OFFSET]) - before
            if width <= 0:
                continue
            target = stage + (row[OFFSET] + above - top) * line + (column[OFFSET] + before - left) * parts * item
            if row[RUN_SOURCE] < 0 or column[RUN_SOURCE] < 0:
                call(
                    job[COPY],
                    address_of(job, FILL_VALUE), 0, 0, 8,
                    target, line, parts * item, item,
                    height, width, job[X_PARTS], 0,
                )  # fmt: skip
            else:
                source = corner + (row[RUN_SOURCE] + above * row[DIRECTION]) * row_stride
                source += (column[RUN_SOURCE] + before * column[DIRECTION]) * column_stride
                call(
                    job[PACK],
                    source, row[DIRECTION] * row_stride, column[DIRECTION] * column_stride, job[X_ITEM],
                    target, line, parts * item, item,
                    height, width, job[X_PARTS], 0,
                )  # fmt: skip


@compilation.outline
def _store(job, stage, first, rows, corner, row_stride, column_stride, down, across):
    """Copy the results of rows `first` and so on of a tile from the stage to the output."""
    parts, item, wide = job[PARTS], job[ITEM], job[COLUMNS]
    line = wide * parts * item
    top, left = job[DOWN + SKIP], job[ACROSS + SKIP]
    up, height, before, width = first, rows, 0, wide
    if job[FOLDED]:
        up, height, before, width = 0, 1, first * wide, rows * wide
    above, begin = max(0, top - up), max(0, left - before)
    height = min(height, top + down[_LENGTH] - up) - above
    width = min(width, left + across[_LENGTH] - before) - begin
    if height > 0 and width > 0:
        target = corner + (down[_START] + up + above - top) * row_stride
        target += (across[_START] + before + begin - left) * column_stride
        call(
            job[STORE],
            stage + above * line + begin * parts * item, line, parts * item, item,
            target, row_stride, column_stride, item,
            height, width, parts, job[TOLD],
        )  # fmt: skip


# Which way `_transform` goes; not written as they are, but as run-time integers: a literal would have it compiled anew.
_FORTH, _BACK, _BOTH = range(3)


@compilation.outline
def _transform(axis, item, size, data, pitch, middle, factors, width, way):
    """A transform, or the way back, or both: the passes that come before `middle`, that, the passes that come after.

    The blocks of the first pass go through all the others one by one: then they stay in the first cache.
    """
    count = axis[PASS_COUNT]
    first = integers_at(axis[PASSES], 0)
    if way != _BACK:
        call(first[FORWARD], data, pitch, 1, first[SPAN], first[TWIDDLES])
    size //= first[RADIX]
    for part in range(first[RADIX]):
        corner, blocks = data + part * size * pitch * item, 1
        for k in range(1, count - 1):
            now = integers_at(axis[PASSES], k * PASS)
            if way != _BACK:
                call(now[FORWARD], corner, pitch, blocks, now[SPAN], now[TWIDDLES])
            blocks *= now[RADIX]
        call(middle, corner, pitch, blocks, factors + part * size * width * item, width)
        if way != _FORTH:
            for k in range(count - 2, 0, -1):
                now = integers_at(axis[PASSES], k * PASS)
                blocks //= now[RADIX]
                call(now[BACKWARD], corner, pitch, blocks, now[SPAN], now[TWIDDLES])
    if way != _FORTH:
        call(first[BACKWARD], data, pitch, 1, first[SPAN], first[TWIDDLES])


@compilation.inline
def _prepare(job, plane, spectrum, down, first, stop):
    """`prepare`, with floats as they should be."""
    job = integers_at(job.address, 0)
    item, lanes, pitch, width = job[ITEM], job[LANES], job[PITCH], job[COLUMNS]
    down_axis, across_axis = integers_at(address_of(job, DOWN), 0), integers_at(address_of(job, ACROSS), 0)
    forth = types.intp(_FORTH)
    for k in range(first, stop, lanes):
        points = spectrum + 2 * k * width * item
        if down:
            corner, factors = plane + 2 * k * item, job[TWIST] + 2 * k * item
            _transform(down_axis, item, job[ROWS], corner, pitch, job[LAST], factors, 2 * width, forth)
            continue
        call(job[TAKE_ROWS], plane + k * pitch * item, pitch, points, width)
        if job[ACROSS + TRANSFORMED]:
            _transform(across_axis, item, width, points, 2 * lanes, job[LAST_OF_ROWS], points, pitch, forth)


@compilation.inline
def _go(x, out, job, progress, flags, spectrum, limit, patience, scratch):
    """`run`, with floats as they should be."""
    job = integers_at(job.address, 0)
    state = integers_at(progress.address, 0)
    fetch_add(integers_at(state[BELL], 0), 1)

    item, lanes, pitch = job[ITEM], job[LANES], job[PITCH]
    x_row = x.strides[job[ROW_AXIS]] if job[ROW_AXIS] >= 0 else 0
    out_row = out.strides[job[ROW_AXIS]] if job[ROW_AXIS] >= 0 else 0
    x_column, out_column = x.strides[job[COLUMN_AXIS]], out.strides[job[COLUMN_AXIS]]
    plane, points = scratch + job[PLANE_AT], scratch + job[POINTS_AT]
    count, steps = job[UNITS], state[STEPS]
    if job[SHARES] > 1:
        plane, count = state[PLANE], job[SHARES]
    stage, second_stage = scratch + job[STAGE_AT], scratch + job[SECOND_STAGE_AT]
    found = integers_at(scratch, _FOUND)
    down_axis, across_axis = integers_at(address_of(job, DOWN), 0), integers_at(address_of(job, ACROSS), 0)
    down, across = integers_at(scratch, 0), integers_at(scratch, _PIECE)
    second_down, second_across = integers_at(scratch, 2 * _PIECE), integers_at(scratch, 3 * _PIECE)
    rows, columns = job[ROWS], job[COLUMNS]
    forth, back, both, two = types.intp(_FORTH), types.intp(_BACK), types.intp(_BOTH), types.intp(2)

    taken = 0
    while True:
        if taken == limit:
            return MORE
        unit = fetch_add(integers_at(progress.address, NEXT), 1)
        if unit >= count:
            break
        taken += 1
        top, bottom, left, right = 0, rows, 0, columns
        if job[SHARES] > 1:
            top, left = unit * job[SHARE_ROWS], unit * job[SHARE_COLUMNS]
            bottom, right = min(rows, top + job[SHARE_ROWS]), min(columns, left + job[SHARE_COLUMNS])
            unit = state[UNIT]

        place = unit % job[UNITS_OF_PLANE]
        rider = place % job[UNITS_OF_GROUP] * job[RIDERS]
        tile = place // job[UNITS_OF_GROUP] * job[GROUP] + rider
        index = unit // job[UNITS_OF_PLANE]
        x_corner, out_corner = x.address, out.address
        for k in range(job[BATCH_AXES]):
            axis = job[BATCH + k]
            extent = out.extents[axis]
            x_corner += index % extent * x.strides[axis]
            out_corner += index % extent * out.strides[axis]
            index //= extent

        _locate_both(job, down_axis, across_axis, tile, down, across)
        second = job[RIDERS] == 2 and rider + 1 < job[GROUP]
        # Columns that are not zero, and where the results are that are wanted.
        used_columns, height, width = across[_NEEDED], down[_LENGTH], across[_LENGTH]
        if second:
            _locate_both(job, down_axis, across_axis, tile + 1, second_down, second_across)
            used_columns = max(used_columns, second_across[_NEEDED])
            height, width = max(height, second_down[_LENGTH]), max(width, second_across[_LENGTH])
        first_row, last_row = job[DOWN + SKIP], job[DOWN + SKIP] + height
        first_column, last_column = job[ACROSS + SKIP] // lanes * lanes, job[ACROSS + SKIP] + width
        if job[FOLDED]:
            first_row, last_row = first_column // columns, -(-last_column // columns)
            first_column, last_column, used_columns = 0, columns, min(used_columns, columns)

        for r in range(top, bottom if steps & _PACK else top, job[STAGE_ROWS]):
            height = min(job[STAGE_ROWS], bottom - r)
            _pack(job, stage, r, height, x_corner, x_row, x_column, down, across)
            if second:
                _pack(job, second_stage, r, height, x_corner, x_row, x_column, second_down, second_across)
            elif job[RIDERS] == 2:
                words = integers_at(second_stage, 0)
                for k in range(height * columns * item // 8):
                    words[k] = 0
            call(job[SPREAD], stage, second_stage, columns, plane + r * pitch * item, pitch, height, columns, 0)

        end, right = right, min(right, used_columns)
        if not job[ACROSS + TRANSFORMED]:
            for c in range(left, right if steps & _DOWN else left, lanes):
                _transform(down_axis, item, rows, plane + 2 * c * item, pitch, job[TURN], spectrum, two, both)
        else:
            if job[DOWN + TRANSFORMED]:
                for c in range(left, right if steps & _DOWN else left, lanes):
                    corner, factors = plane + 2 * c * item, job[TWIST] + 2 * c * item
                    _transform(down_axis, item, rows, corner, pitch, job[LAST], factors, 2 * columns, forth)
            for r in range(top, bottom if steps & _THROUGH else top, lanes):
                line, factors, width = plane + r * pitch * item, spectrum, two
                if job[DOWN + TRANSFORMED]:
                    factors, width = spectrum + 2 * r * columns * item, 2 * lanes
                call(job[TAKE_ROWS], line, pitch, points, columns)
                _transform(across_axis, item, columns, points, 2 * lanes, job[TURN], factors, width, both)
                call(job[GIVE_ROWS], line, pitch, points, columns)
            if job[DOWN + TRANSFORMED]:
                first, last = max(left, first_column), min(end, last_column)
                for c in range(first, last if steps & _UP else first, lanes):
                    corner, factors = plane + 2 * c * item, job[TWIST] + 2 * c * item
                    _transform(down_axis, item, rows, corner, pitch, job[FIRST_BACK], factors, 2 * columns, back)

        found[0] = 0
        first, last = max(top, first_row), min(bottom, last_row)
        for r in range(first, last if steps & _STORE else first, job[STAGE_ROWS]):
            height = min(job[STAGE_ROWS], last - r)
            corner, skipped = plane + (r * pitch + 2 * first_column) * item, first_column * job[PARTS] * item
            width = -(-(last_column - first_column) // lanes) * lanes
            call(
                job[GATHER],
                stage + skipped, second_stage + skipped, columns, corner, pitch, height, width, address_of(found, 0),
            )  # fmt: skip
            _store(job, stage, r, height, out_corner, out_row, out_column, down, across)
            if second:
                _store(job, second_stage, r, height, out_corner, out_row, out_column, second_down, second_across)
        if found[0]:
            integers_at(flags.address, unit)[0] = 1
        fetch_add(integers_at(progress.address, FINISHED), 1)

    for _ in range(patience):
        if spin_load(integers_at(progress.address, FINISHED)) >= count:
            return DONE
    return LEFT


def prepare(job, plane, spectrum, down, first, stop):
    """Transform a part of a kernel that lies in a plane: with `down`, columns; then, without, rows into `spectrum`.

    Points of the spectrum lie there as `turn` wants them: rows in groups of as many as there are lanes.
    """
    kept = set_default_float_environment()
    _prepare(job, plane, spectrum, down, first, stop)
    restore_float_environment(kept)


def run(x, out, job, progress, flags, spectrum, limit, patience, scratch):
    """Compute tiles of `out`.

    Parameters
    ----------
    x, out : view
        Any arrays; `job` says what they hold. No element of `out` is one of the others.
    job : view
        The integers above.
    progress : view
        How far the job has got, shared by all who call with it.
    flags : view
        An integer for each unit, set to 1 where a result is infinite or no number.
    spectrum : intp
        Address of what `prepare` has made of the kernel.
    limit : intp
        How many units, or shares, to compute at the most.
    patience : intp
        How often to look, when no unit is left to take, whether the others have finished theirs.
    scratch : intp
        Address of a buffer that is this thread's alone.

    Returns
    -------
    intp
        `DONE`, all are finished; `MORE` are to be taken; or `LEFT`, others may still be at work on the last ones.
    """
    kept = set_default_float_environment()
    status = _go(x, out, job, progress, flags, spectrum, limit, patience, scratch)
    restore_float_environment(kept)
    return status
