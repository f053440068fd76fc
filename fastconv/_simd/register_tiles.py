"""Tiles of SIMD registers, and the multiply-accumulate loops of a convolution over them.

Numba has no type for a SIMD register, and LLVM's auto-vectoriser does not keep a tile in registers. A `Tile` is an
ordinary value of ``rows x vectors`` full-width registers; `sweep` accumulates taps into it. LLVM splits vectors wider
than the machine's, so one source serves every processor. Loads and stores assume the alignment of the element, never
that of the vector.
"""

from __future__ import annotations

import itertools

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from fastconv._simd import emitters
from fastconv._simd.target import processor

_INT32 = ir.IntType(32)
_INTP = types.intp
_loop_numbers = itertools.count()

# Heights of the columns whose samples, those of a tile of four rows, are held in registers.
SHORT_COLUMNS = range(3, 18 if processor().registers >= 32 else 8, 2)
# Whether a shift across two registers takes one instruction, less than a load across two cache lines.
WIDE_SHIFTS = processor().vector_bytes == 64
# Numbers of taps of the rows whose weights are held in registers.
SHORT_ROWS = range(3, 10 if processor().registers >= 32 else 8, 2)


class Tile(types.Type):
    """Numba type of ``rows x vectors`` SIMD registers of `dtype`; if `rounded`, no product of floats is fused."""

    def __init__(self, dtype, rows, vectors, rounded=False):
        self.dtype, self.rows, self.vectors, self.rounded = dtype, rows, vectors, rounded
        self.lanes = max(1, processor().lanes(dtype.bitwidth))
        super().__init__(f"Tile({dtype}, {rows}x{vectors}x{self.lanes}{', rounded' if rounded else ''})")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = dmm.lookup(fe_type.dtype).get_value_type()
        vector = ir.VectorType(element, fe_type.lanes)
        super().__init__(dmm, fe_type, ir.ArrayType(vector, fe_type.rows * fe_type.vectors))


@intrinsic(prefer_literal=True)
def zeros(typingctx, pointer, rows, vectors):
    """A tile of zeros of the element type of `pointer`; integer tiles may have fewer than `vectors` vectors.

    An integer product needs a register until it is added; if none is free, the tile is spilled: 5x5 to 15x15 in 16 bits
    took up to twice as long with three vectors as with two.
    """
    count = vectors.literal_value
    if isinstance(pointer.dtype, types.Integer):
        while rows.literal_value * count + min(rows.literal_value, count) + 2 > processor().registers:
            count -= 1
    tile = Tile(pointer.dtype, rows.literal_value, count)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(tile), None)

    return tile(pointer, rows, vectors), codegen


@intrinsic(prefer_literal=True)
def rounded_zeros(typingctx, pointer, rows, vectors):
    """`zeros` of floats, whose products are rounded before they are added."""
    tile = Tile(pointer.dtype, rows.literal_value, vectors.literal_value, rounded=True)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(tile), None)

    return tile(pointer, rows, vectors), codegen


@intrinsic
def zero_row(typingctx, tile):
    """A tile of zeros with one row, as wide as `tile`."""
    row = Tile(tile.dtype, 1, tile.vectors, tile.rounded)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(row), None)

    return row(tile), codegen


@intrinsic
def width(typingctx, tile):
    """Width of a tile in elements: vectors times lanes."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, tile.vectors * tile.lanes)

    return _INTP(tile), codegen


@intrinsic(prefer_literal=True)
def sweep(typingctx, tile, first, last, i, x, x_pitch, step, weights, weights_pitch, taps):
    """Accumulate row `i` of the input, times all its taps, into rows ``first..last-1`` of a tile::

        tile[r, c] += sum over j of weights[i - r, j] * x[i, c + j * step]

    A vector of input is loaded once for all rows, a weight once for all vectors. `first` and `last` are literals.
    """
    rows = range(first.literal_value, last.literal_value)
    single = isinstance(taps, types.IntegerLiteral) and taps.literal_value == 1

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _emit_sweep(registers, rows, x.dtype, single, *args[3:])
        return registers.value()

    # Numba finds an implementation by its signature: that of a single tap must differ.
    count = taps if single else _INTP
    return tile(tile, first, last, _INTP, x, _INTP, _INTP, weights, _INTP, count), codegen


@intrinsic
def sweep_some(typingctx, tile, first, last, i, x, x_pitch, step, weights, weights_pitch, taps):
    """`sweep` with `first` and `last` known only at run time."""

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])

        def emit(rows):
            _emit_sweep(registers, rows, x.dtype, False, *args[3:])

        _emit_rows(registers, args[1], args[2], emit)
        return registers.value()

    return tile(tile, _INTP, _INTP, _INTP, x, _INTP, _INTP, weights, _INTP, _INTP), codegen


@intrinsic
def sweep_alternate(typingctx, tile, x, x_pitch, weights, rows, taps):
    """All rows of a kernel of two or more taps, for every second result of a row::

        tile[r, c] += sum over i, j of weights[i, j] * x[r + i, 2 * c + j]

    Two vectors of input, dealt out to even and odd samples, serve two taps. No sample beyond the last tap is read. Rows
    follow each other without branches: a jump for each took a third of the time of 5x5 (AVX-512).
    """

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, x_pointer, pitch, weight, count, width = args
        height = tile.rows

        def emit(i, first, last):
            _emit_alternate(registers, range(first, last), x.dtype, i, x_pointer, pitch, weight, width, width)

        done = builder.append_basic_block("swept")
        many = builder.append_basic_block("many_rows")
        switch = builder.switch(count, many)
        for few in range(1, height - 1):
            with builder.goto_block(builder.append_basic_block(f"rows_{few}")):
                switch.add_case(count.type(few), builder.block)
                for i in range(few + height - 1):
                    emit(count.type(i), max(0, i - few + 1), min(height, i + 1))
                builder.branch(done)
        builder.position_at_end(many)
        for i in range(height - 1):
            emit(count.type(i), 0, i + 1)
        with cgutils.for_range(builder, builder.sub(count, count.type(height - 1))) as loop:
            emit(builder.add(loop.index, count.type(height - 1)), 0, height)
        for i in range(height - 1):
            emit(builder.add(count, count.type(i)), i + 1, height)
        builder.branch(done)
        builder.position_at_end(done)
        return registers.value()

    return tile(tile, x, _INTP, weights, _INTP, _INTP), codegen


@intrinsic
def sweep_listed(typingctx, tile, x, distances, masks, weights, count):
    """Accumulate `count` samples at listed distances, each for the rows of a tile that are bits of its mask::

        tile[r, c] += weight * x[distance + c]

    The weights of an entry, one for each of its rows, follow those of the entry before.
    """

    def codegen(context, builder, signature, args):
        value, samples, distances, masks, weights, count = args
        registers, none = Registers(context, builder, tile, value), count.type(0)
        entry = builder.block
        body, end = (builder.append_basic_block(name) for name in ("listed", "listed_end"))
        builder.cbranch(builder.icmp_signed(">", count, none), body, end)
        builder.position_at_end(body)
        number, body_weight = builder.phi(count.type), builder.phi(weights.type)
        number.add_incoming(none, entry)
        body_weight.add_incoming(weights, entry)
        weight = body_weight
        place = builder.gep(samples, [builder.load(builder.gep(distances, [number]))])
        mask = builder.load(builder.gep(masks, [number]))
        loaded = [registers.load(place, v, x.dtype) for v in range(tile.vectors)]
        for row in range(tile.rows):
            used, before, at = builder.and_(mask, mask.type(1 << row)), builder.block, weight
            with builder.if_then(builder.icmp_unsigned("!=", used, none)):
                splat = registers.splat(weight)
                for v in range(tile.vectors):
                    registers.multiply_add(row * tile.vectors + v, splat, loaded[v])
                following, inside = builder.gep(weight, [_INT32(1)]), builder.block
            weight_now = builder.phi(weights.type)
            weight_now.add_incoming(at, before)
            weight_now.add_incoming(following, inside)
            weight = weight_now
        after = builder.add(number, count.type(1))
        number.add_incoming(after, builder.block)
        body_weight.add_incoming(weight, builder.block)
        builder.cbranch(builder.icmp_signed("<", after, count), body, end)
        builder.position_at_end(end)
        return registers.value()

    indices = types.CPointer(_INTP)
    return tile(tile, x, indices, indices, weights, _INTP), codegen


@intrinsic(prefer_literal=True)
def sweep_grouped(typingctx, tile, size, x, step, weights, apart, count):
    """`count` groups of `size` (a literal) taps of one row: those of a group lie `apart`, one vector, from each other.

    Vector ``v`` of a tap is vector ``v - 1`` of the next one of its group: ``vectors + size - 1`` loads feed
    ``vectors * size`` products.
    """

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, _, samples, step, weights, apart, count = args
        starts = [builder.gep(weights, [builder.mul(apart, apart.type(g))]) for g in range(size.literal_value)]
        lines = [emitters.opaque_pointer(builder, start) for start in starts]
        with _tap_loop(builder, samples, step, count) as (samples, tap):
            _emit_group(registers, x.dtype, samples, [builder.gep(line, [tap]) for line in lines], True)
        return registers.value()

    return tile(tile, size, x, _INTP, weights, _INTP, _INTP), codegen


@intrinsic
def sweep_ends(typingctx, tile, x, step, weights, taps):
    """All taps of one row, from both ends: ``(left + right) + middle``; `tile` is of zeros, and has one row."""

    def codegen(context, builder, signature, args):
        zero, x_first, step, weights, taps = args
        ends = tuple(Registers(context, builder, tile, zero) for _ in range(2))
        last, middle = builder.sub(taps, taps.type(1)), builder.lshr(taps, taps.type(1))
        x_last = emitters.opaque_pointer(builder, builder.gep(x_first, [builder.mul(last, step)]))
        weight, last_weight = (
            emitters.opaque_pointer(builder, start) for start in (weights, builder.gep(weights, [last]))
        )
        with _tap_loop(builder, x_first, step, middle) as (samples, tap):
            minus = builder.neg(tap)
            opposite = builder.gep(x_last, [builder.mul(minus, step)])
            _emit_tap(ends[0], range(1), x.dtype, samples, [builder.gep(weight, [tap])])
            _emit_tap(ends[1], range(1), x.dtype, opposite, [builder.gep(last_weight, [minus])])
        _emit_middle(ends, x, x_first, step, weights, taps)
        return ends[0].value()

    return tile(tile, x, _INTP, weights, _INTP), codegen


@intrinsic
def sweep_short_column(typingctx, tile, x, pitch, weights, rows):
    """All weights of a column, from both ends, for each row of a tile of zeros: ``(top + bottom) + middle``.

    `rows` is one of `SHORT_COLUMNS`: each has code of its own, which loads a sample once for all rows of the tile.
    """

    def codegen(context, builder, signature, args):
        value, samples, pitch, weights, rows = args
        registers = Registers(context, builder, tile, value)
        end = builder.append_basic_block("column_end")
        switch = builder.switch(rows, end)
        for count in SHORT_COLUMNS:
            with builder.goto_block(builder.append_basic_block("column")):
                switch.add_case(rows.type(count), builder.block)
                _emit_short_column(registers, x.dtype, samples, pitch, weights, count)
                builder.branch(end)
        builder.position_at_end(end)
        return registers.value()

    return tile(tile, x, _INTP, weights, _INTP), codegen


@intrinsic
def convolve_short_row(typingctx, tile, x, step, weights, out, columns, taps):
    """Correlate `columns` elements with a row of `SHORT_ROWS` taps, from both ends: ``(left + right) + middle``.

    `tile` says how many are computed at once, and there are as many. Each number of taps has code of its own, in which
    the weights stay in registers.
    """

    def codegen(context, builder, signature, args):
        value, samples, step, weights, out, columns, taps = args
        registers = Registers(context, builder, tile, value)
        size = columns.type(tile.vectors * tile.lanes)
        last = builder.sub(columns, size)
        end = builder.append_basic_block("row_end")
        switch = builder.switch(taps, end)
        for count in SHORT_ROWS:
            with builder.goto_block(builder.append_basic_block("row")):
                switch.add_case(taps.type(count), builder.block)
                splats = [registers.splat(builder.gep(weights, [step.type(k)])) for k in range(count)]
                is_adjacent = builder.icmp_signed("==", step, step.type(1))
                ways = [builder.append_basic_block("tiles") for _ in range(2 if WIDE_SHIFTS else 1)]
                entry = builder.block
                if WIDE_SHIFTS:
                    builder.cbranch(is_adjacent, ways[1], ways[0])
                else:
                    builder.branch(ways[0])
                for body in ways:
                    builder.position_at_end(body)
                    place = builder.phi(columns.type)
                    place.add_incoming(columns.type(0), entry)
                    start = builder.gep(samples, [place])
                    lines = [builder.gep(start, [builder.mul(step, step.type(k))]) for k in range(count)]
                    is_shifted = body is not ways[0]
                    _emit_from_both_ends(registers, x.dtype, lines, splats, count, is_shifted)
                    for v in range(tile.vectors):
                        registers.store(v, builder.gep(out, [place]), v)
                    following = builder.add(place, size)
                    slid = builder.select(builder.icmp_signed("<", following, last), following, last)
                    place.add_incoming(slid, builder.block)
                    builder.cbranch(builder.icmp_signed("<", place, last), body, end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(tile, x, _INTP, weights, out, _INTP, _INTP), codegen


@intrinsic
def sweep_down(typingctx, tile, x, pitch, weights, rows):
    """All weights of a column, three or more, for each row of a tile, from top to bottom."""

    def codegen(context, builder, signature, args):
        value, samples, pitch, weights, rows = args
        registers = Registers(context, builder, tile, value)
        _emit_down(registers, x.dtype, samples, pitch, weights, pitch.type(1), rows)
        return registers.value()

    return tile(tile, x, _INTP, weights, _INTP), codegen


@intrinsic
def stack_memory(typingctx, pointer, tile):
    """Pointer to memory for a tile, in aligned cache lines: registers that LLVM spills lie across two lines each."""

    def codegen(context, builder, signature, args):
        place = cgutils.alloca_once(builder, args[1].type)
        place.align = 64
        return emitters.opaque_pointer(builder, builder.bitcast(place, args[0].type))

    return pointer(pointer, tile), codegen


@intrinsic
def sweep_tall_column(typingctx, tile, kept, x, pitch, weights, rows):
    """All weights of a column, six or more, from both ends: ``(top + bottom) + middle``; the result is upside down.

    `tile` is of zeros. There are no registers for two tiles: the sums of the top are kept in memory while the bottom is
    swept as if it were the top of the mirror image.
    """

    def codegen(context, builder, signature, args):
        zero, kept, x_first, pitch, weights, rows = args
        registers = Registers(context, builder, tile, zero)
        count, one = tile.rows * tile.vectors, rows.type(1)
        half = builder.lshr(rows, one)
        bottom = builder.gep(x_first, [builder.mul(builder.add(rows, rows.type(tile.rows - 2)), pitch)])
        last = builder.gep(weights, [builder.sub(rows, one)])
        back = builder.neg(pitch)
        with cgutils.for_range(builder, rows.type(2)) as loop:
            is_top = builder.icmp_unsigned("==", loop.index, loop.index.type(0))
            start, step = builder.select(is_top, x_first, bottom), builder.select(is_top, pitch, back)
            line, unit = builder.select(is_top, weights, last), builder.select(is_top, one, one.type(-1))
            for k in range(count):
                registers.set(k, ir.Constant(registers.vector, None))
            _emit_down(registers, x.dtype, start, step, line, unit, half)
            with builder.if_then(is_top):
                for k in range(count):
                    registers.store(k, kept, k)
        for row in range(tile.rows):
            for v in range(tile.vectors):
                place = (tile.rows - 1 - row) * tile.vectors + v
                registers.add(row * tile.vectors + v, registers.load(kept, place, tile.dtype))
        with builder.if_then(builder.trunc(rows, ir.IntType(1))):
            middle = builder.gep(weights, [half])
            for row in range(tile.rows):
                at = builder.sub(builder.add(half, rows.type(tile.rows - 1)), rows.type(row))
                samples = builder.gep(x_first, [builder.mul(at, pitch)])
                _emit_sweep(
                    registers,
                    [row],
                    x.dtype,
                    True,
                    at.type(row),
                    samples,
                    at.type(0),
                    pitch,
                    middle,
                    at.type(0),
                    one,
                )
        return registers.value()

    return tile(tile, kept, x, _INTP, weights, _INTP), codegen


@intrinsic(prefer_literal=True)
def sweep_inwards(typingctx, tile, most, x, step, weights, taps, apart, cut, sign):
    """All taps of a row that is its own mirror image, times `sign`, from both ends: ``(left + right) + middle``.

    `tile` is of zeros. Taps are taken in groups of up to `most` (a literal) that lie `apart`, and see the same vectors
    of input, one vector on: ``vectors + size - 1`` loads feed ``vectors * size`` products. The right half is the mirror
    image of the left, order included. `cut` is a tuple of numbers that say which groups there are:

    - ``blocks``: groups of `most`, for each of the first `apart` taps, and again further on;
    - ``rest, singles``: of what is left, each of the first ``rest // 2`` taps begins a group, and each of the first
      ``(apart - rest) // 2`` from the `rest`-th on one that is smaller by a tap. If the taps are odd, the left half has
      `singles` other taps ``apart / 2`` from each other, of which the last lies `apart` from its mirror image;
    - ``size``: of the larger groups, after one of `most` if `is_long`.
    """

    def codegen(context, builder, signature, args):
        zero, _, first_x, step, weights, taps, apart, cut, sign = args
        ends = tuple(Registers(context, builder, tile, zero) for _ in range(2))
        none, one, full = taps.type(0), taps.type(1), builder.mul(apart, apart.type(most.literal_value))
        last_x = builder.gep(first_x, [builder.mul(builder.sub(taps, one), step)])
        blocks, rest, singles, is_long, size = (builder.extract_value(cut, k) for k in range(5))

        def emit_groups(count, first, times):
            """Groups of `count` (an int) taps, from the tap `first` on."""
            with builder.if_then(builder.icmp_signed("!=", times, none)):
                offset, line = builder.mul(first, step), builder.gep(weights, [first])
                places = (builder.gep(line, [builder.mul(apart, apart.type(g))]) for g in range(count))
                lines = [emitters.opaque_pointer(builder, place) for place in places]
                left, right = builder.gep(first_x, [offset]), builder.gep(last_x, [builder.neg(offset)])
                with _tap_loop(builder, left, step, times, stop=times, opposite=right) as (samples, tap, opposite):
                    weights_now = [builder.gep(line, [tap]) for line in lines]
                    _emit_group(ends[0], x.dtype, samples, weights_now, True)
                    _emit_group(ends[1], x.dtype, opposite, weights_now, False)

        with cgutils.for_range(builder, blocks) as loop:
            emit_groups(most.literal_value, builder.mul(loop.index, full), apart)
        start = builder.mul(blocks, full)
        larger, smaller = builder.lshr(rest, one), builder.lshr(builder.sub(apart, rest), one)
        with builder.if_then(builder.icmp_unsigned("!=", is_long, none)):
            emit_groups(most.literal_value, start, larger)
            emit_groups(most.literal_value, builder.add(start, rest), smaller)
        place = builder.add(start, builder.mul(is_long, full))
        end = builder.append_basic_block("groups_end")
        switch = builder.switch(size, end)
        for count in range(1, most.literal_value + 1):
            with builder.goto_block(builder.append_basic_block("groups")):
                switch.add_case(size.type(count), builder.block)
                emit_groups(count, place, larger)
                if count > 1:
                    emit_groups(count - 1, builder.add(place, rest), smaller)
                builder.branch(end)
        builder.position_at_end(end)
        with builder.if_then(builder.icmp_unsigned("!=", singles, none)):
            half, others = builder.lshr(apart, one), builder.sub(singles, one)
            adjacent = builder.sub(builder.lshr(taps, one), half)
            with cgutils.for_range(builder, others) as loop:
                back = builder.mul(builder.sub(others, loop.index), half)
                single = builder.sub(adjacent, back)
                offset, weight = builder.mul(single, step), builder.gep(weights, [single])
                for registers, at in zip(
                    ends, (builder.gep(first_x, [offset]), builder.gep(last_x, [builder.neg(offset)]))
                ):
                    _emit_group(registers, x.dtype, emitters.opaque_pointer(builder, at), [weight], True)
            samples = builder.gep(first_x, [builder.mul(adjacent, step)])
            splat = ends[0].splat(builder.gep(weights, [adjacent]))
            for v in range(tile.vectors + 1):
                vector = ends[0].load(samples, v, x.dtype)
                if v < tile.vectors:
                    ends[0].multiply_add(v, splat, vector)
                if v > 0:
                    ends[1].multiply_add(v - 1, splat, vector)
        _emit_middle(ends, x, first_x, step, weights, taps, sign)
        return ends[0].value()

    return tile(tile, most, x, _INTP, weights, _INTP, _INTP, cut, _INTP), codegen


@intrinsic(prefer_literal=True)
def stack_integers(typingctx, count):
    """Pointer to `count` (a literal) integers on the stack."""

    def codegen(context, builder, signature, args):
        return cgutils.alloca_once(builder, context.get_value_type(_INTP), size=count.literal_value)

    return types.CPointer(_INTP)(count), codegen


@intrinsic
def multiply(typingctx, tile, x, weight):
    """A tile of the type of `tile`, of one row: samples times the weight at `weight`."""

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        splat = registers.splat(args[2])
        for v in range(tile.vectors):
            registers.set(v, emitters.multiply(builder, registers.load(args[1], v, x.dtype), splat))
        return registers.value()

    return tile(tile, x, weight), codegen


@intrinsic(prefer_literal=True)
def sweep_pairs(typingctx, tile, sign, x, mirrored, step, weights, pairs):
    """Accumulate pairs of samples into a tile of one row, in floats::

        tile[c] += sum over j of weights[j] * (x[c + j * step] + sign * mirrored[c - j * step])

    `sign` is a literal, 1 or -1.
    """
    combine = emitters.add if sign.literal_value > 0 else emitters.subtract

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, _, samples, mirrored, step, weights, pairs = args
        line, mirrored = (emitters.opaque_pointer(builder, pointer) for pointer in (weights, mirrored))
        with _tap_loop(builder, samples, step, pairs) as (samples, tap):
            splat = registers.splat(builder.gep(line, [tap]))
            other = builder.gep(mirrored, [builder.neg(builder.mul(tap, step))])
            for v in range(tile.vectors):
                pair = combine(builder, registers.load(samples, v, x.dtype), registers.load(other, v, x.dtype))
                registers.multiply_add(v, pair, splat)
        return registers.value()

    return tile(tile, sign, x, mirrored, _INTP, weights, _INTP), codegen


@intrinsic
def store_rows(typingctx, tile, height, out, pitch):
    """Store the first `height` rows of a tile; the pitch is in elements."""

    def codegen(context, builder, signature, args):
        value, height, out, pitch = args
        registers = Registers(context, builder, tile, value)
        for row in range(tile.rows):
            with builder.if_then(builder.icmp_signed(">", height, height.type(row))):
                line = builder.gep(out, [builder.mul(pitch, pitch.type(row))])
                for v in range(tile.vectors):
                    registers.store(row * tile.vectors + v, line, v)
        return context.get_dummy_value()

    return types.void(tile, _INTP, out, _INTP), codegen


@intrinsic
def load_rows(typingctx, tile, source, pitch):
    """A tile like `tile`, of the elements at `source`; the pitch is in elements."""

    def codegen(context, builder, signature, args):
        value, source, pitch = args
        registers = Registers(context, builder, tile, value)
        for row in range(tile.rows):
            line = builder.gep(source, [builder.mul(pitch, pitch.type(row))])
            for v in range(tile.vectors):
                registers.set(row * tile.vectors + v, registers.load(line, v, tile.dtype))
        return registers.value()

    return tile(tile, source, _INTP), codegen


@intrinsic
def accumulate_nonfinite(typingctx, total, tile):
    """Add ``0 * row`` for each row of `tile` to `total`, a tile of one row: NaN where an element is not finite."""

    def codegen(context, builder, signature, args):
        totals, registers = (Registers(context, builder, *pair) for pair in zip((total, tile), args))
        zero = ir.Constant(registers.vector, None)
        for k in range(tile.rows * tile.vectors):
            totals.multiply_add(k % tile.vectors, registers.get(k), zero)
        return totals.value()

    return total(total, tile), codegen


@intrinsic
def sum_of_lanes(typingctx, tile):
    """The sum of all elements of a tile."""

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        vectors = [registers.get(k) for k in range(tile.rows * tile.vectors)]
        while len(vectors) > 1:
            vectors = [
                *map(registers.sum, vectors[::2], vectors[1::2]),
                *vectors[len(vectors) // 2 * 2 :],
            ]
        (total,), distance = vectors, tile.lanes // 2
        while distance:
            turned = emitters.shuffle(builder, total, total, (lane ^ distance for lane in range(tile.lanes)))
            total, distance = registers.sum(total, turned), distance // 2
        return builder.extract_element(total, _INT32(0))

    return tile.dtype(tile), codegen


class Registers:
    """The registers of a tile while code is emitted: stack slots, which LLVM promotes to registers."""

    def __init__(self, context, builder, tile, value):
        self.builder, self.tile, self._context = builder, tile, context
        self._aggregate = context.get_value_type(tile)
        self.vector = self._aggregate.element
        self._alignment = tile.dtype.bitwidth // 8
        self._slots = [cgutils.alloca_once(builder, self.vector) for _ in range(tile.rows * tile.vectors)]
        for k, slot in enumerate(self._slots):
            builder.store(builder.extract_value(value, k), slot)

    def value(self):
        """The tile as an LLVM aggregate."""
        result = ir.Constant(self._aggregate, ir.Undefined)
        for k, slot in enumerate(self._slots):
            result = self.builder.insert_value(result, self.builder.load(slot), k)
        return result

    def get(self, k):
        """The value of register `k`."""
        return self.builder.load(self._slots[k])

    def set(self, k, value):
        """Set register `k`."""
        self.builder.store(value, self._slots[k])

    def load(self, pointer, v, dtype):
        """Load vector `v` behind `pointer`, of type `dtype`, converted to the type of the tile."""
        if dtype == self.tile.dtype:
            return self.builder.load(self.at(pointer, v), align=self._alignment)
        element = self.builder.gep(pointer, [_INT32(v * self.tile.lanes)])
        loaded = emitters.load_lanes(self._context, self.builder, dtype, element, self.tile.lanes)
        return emitters.convert_lanes(self._context, self.builder, loaded, dtype, self.tile.dtype)

    def store(self, k, pointer, v):
        """Store register `k` as vector `v` behind `pointer`."""
        self.builder.store(self.get(k), self.at(pointer, v), align=self._alignment)

    def at(self, pointer, v):
        """Pointer to vector `v` behind `pointer`."""
        element = self.builder.gep(pointer, [_INT32(v * self.tile.lanes)])
        return self.builder.bitcast(element, self.vector.as_pointer())

    def splat(self, pointer):
        """Load the element at `pointer` into every lane."""
        return emitters.splat(self.builder, self.builder.load(pointer), self.tile.lanes)

    def add(self, k, a):
        """``register[k] += a``"""
        self.set(k, self.sum(self.get(k), a))

    def multiply_add(self, k, a, b):
        """``register[k] += a * b``; fused if the processor can and the tile is not rounded, never a library call."""
        self.set(k, self.product_sum(a, b, self.get(k)))

    def sum(self, a, b):
        """``a + b``"""
        return self.builder.fadd(a, b) if isinstance(self.tile.dtype, types.Float) else self.builder.add(a, b)

    def product_sum(self, a, b, c):
        """``a * b + c``, as in `multiply_add`."""
        if self.tile.rounded:
            return emitters.add(self.builder, c, emitters.multiply(self.builder, a, b))
        if isinstance(self.tile.dtype, types.Float):
            return emitters.fmuladd(self.builder, a, b, c)
        return self.builder.add(c, self.builder.mul(a, b))


def _emit_sweep(registers, rows, dtype, single, i, x, x_pitch, step, weights, weights_pitch, taps, weights_step=None):
    builder = registers.builder
    x = builder.gep(x, [builder.mul(i, x_pitch)])
    lines = [builder.gep(weights, [builder.mul(builder.sub(i, i.type(row)), weights_pitch)]) for row in rows]
    if single:
        _emit_tap(registers, rows, dtype, x, lines)
        return
    lines = [emitters.opaque_pointer(builder, line) for line in lines]
    with _tap_loop(builder, x, step, taps, weights_step) as (samples, tap):
        _emit_tap(registers, rows, dtype, samples, [builder.gep(line, [tap]) for line in lines])


def _emit_rows(registers, first, last, emit):
    """Emit code for each range of rows, of which that of `first` to `last` runs."""
    builder, stride = registers.builder, registers.tile.rows + 1
    done = builder.append_basic_block("swept")
    switch = builder.switch(builder.add(builder.mul(first, first.type(stride)), last), done)
    for low in range(stride - 1):
        for high in range(low + 1, stride):
            with builder.goto_block(builder.append_basic_block(f"rows_{low}_{high}")):
                switch.add_case(first.type(low * stride + high), builder.block)
                emit(range(low, high))
                builder.branch(done)
    builder.position_at_end(done)


def _emit_alternate(registers, rows, dtype, i, x, x_pitch, weights, weights_pitch, taps):
    builder, vectors, lanes = registers.builder, registers.tile.vectors, registers.tile.lanes
    one, two = taps.type(1), taps.type(2)
    x = builder.gep(x, [builder.mul(i, x_pitch)])
    lines = [builder.gep(weights, [builder.mul(builder.sub(i, i.type(row)), weights_pitch)]) for row in rows]
    lines = [emitters.opaque_pointer(builder, line) for line in lines]

    def emit(samples, first, count):
        """Accumulate two taps, or three: the third sees the even samples of the first, one further."""
        dealt: list[list] = [[] for _ in range(3)]
        for v in range(vectors):
            a, b = (registers.load(samples, 2 * v + k, dtype) for k in range(2))
            for parity in range(2):
                dealt[parity].append(emitters.shuffle(builder, a, b, range(parity, 2 * lanes, 2)))
        after = registers.splat(builder.gep(samples, [_INT32(2 * vectors * lanes)])) if count == 3 else None
        for a, b in zip(dealt[0], [*dealt[0][1:], after]) if count == 3 else ():
            dealt[2].append(emitters.shuffle(builder, a, b, range(1, lanes + 1)))
        for tap in range(count):
            place = builder.add(first, first.type(tap))
            for row, line in zip(rows, lines):
                splat = registers.splat(builder.gep(line, [place]))
                for v in range(vectors):
                    registers.multiply_add(row * vectors + v, splat, dealt[tap][v])

    odd = builder.and_(taps, one)
    with _tap_loop(builder, x, two, builder.sub(builder.lshr(taps, one), odd), two) as (samples, tap):
        emit(samples, tap, 2)
    with builder.if_then(builder.trunc(odd, ir.IntType(1))):
        first = builder.sub(taps, taps.type(3))
        emit(builder.gep(x, [first]), first, 3)


def _emit_group(registers, dtype, samples, weights, forwards):
    """Accumulate taps one vector apart: vector ``v`` of one is vector ``v - 1`` of the next, or ``v + 1`` backwards."""
    vectors = registers.tile.vectors
    splats = [registers.splat(weight) for weight in weights]
    for v in range(vectors + len(weights) - 1):
        vector = registers.load(samples, v if forwards else vectors - 1 - v, dtype)
        for g, splat in enumerate(splats):
            if 0 <= v - g < vectors:
                registers.multiply_add(v - g if forwards else vectors - 1 - v + g, splat, vector)


def _emit_down(registers, dtype, x, pitch, weights, unit, rows):
    """Accumulate a column of three or more weights, `unit` (1 or -1) apart.

    Down a column the samples are a pitch apart, and the weights of the rows of a tile are adjacent: where all rows take
    part, one sweep along the column is enough.
    """
    builder, height = registers.builder, registers.tile.rows
    before = height - 1

    def emit(tile_rows, i, taps):
        single = taps is None
        taps = rows.type(1) if single else taps
        _emit_sweep(registers, tile_rows, dtype, single, i, x, pitch, pitch, weights, unit, taps, unit)

    for i in range(before):
        emit(range(i + 1), rows.type(i), None)
    emit(range(height), rows.type(before), builder.sub(rows, rows.type(before)))
    for i in range(before):
        emit(range(i + 1, height), builder.add(rows, rows.type(i)), None)


def _emit_short_column(registers, dtype, samples, pitch, weights, count):
    builder, tile = registers.builder, registers.tile
    splats = [registers.splat(builder.gep(weights, [pitch.type(k)])) for k in range(count)]
    lines = [builder.gep(samples, [builder.mul(pitch, pitch.type(k))]) for k in range(count + tile.rows - 1)]
    _emit_from_both_ends(registers, dtype, lines, splats, count)


def _emit_from_both_ends(registers, dtype, lines, splats, count, is_shifted=False):
    """Set each row of a tile to the sum over `count` lines, the first of which is that of its number.

    If `is_shifted`, each line begins an element behind the one before: all vectors but the last are shifted together.
    """
    tile, zero = registers.tile, ir.Constant(registers.vector, None)
    adjacent = [registers.load(lines[0], v, dtype) for v in range(tile.vectors)] if is_shifted else []
    for v in range(tile.vectors):
        if v + 1 < len(adjacent):
            here, ahead = adjacent[v : v + 2]
            shifts = [range(k, k + tile.lanes) for k in range(len(lines))]
            loaded = [emitters.shuffle(registers.builder, here, ahead, shift) for shift in shifts]
        else:
            loaded = [registers.load(line, v, dtype) for line in lines]
        for r in range(tile.rows):
            top, bottom = zero, zero
            for k in range(count // 2):
                top = registers.product_sum(splats[k], loaded[r + k], top)
                bottom = registers.product_sum(splats[-1 - k], loaded[r + count - 1 - k], bottom)
            total = registers.sum(top, bottom)
            if count % 2:
                total = registers.product_sum(splats[count // 2], loaded[r + count // 2], total)
            registers.set(r * tile.vectors + v, total)


def _emit_middle(ends, x, samples, step, weights, taps, sign=None):
    """Add the second tile of `ends`, times `sign`, to the first, and then the tap in the middle, if there is one."""
    builder, middle = ends[0].builder, ends[0].builder.lshr(taps, taps.type(1))
    if sign is not None:
        number = builder.sitofp(sign, ends[0].vector.element)
        splat = emitters.splat(builder, number, ends[0].tile.lanes)
    for v in range(ends[0].tile.vectors):
        if sign is None:
            ends[0].add(v, ends[1].get(v))
        else:
            ends[0].multiply_add(v, ends[1].get(v), splat)
    with builder.if_then(builder.trunc(taps, ir.IntType(1))):
        samples = builder.gep(samples, [builder.mul(middle, step)])
        _emit_tap(ends[0], range(1), x.dtype, samples, [builder.gep(weights, [middle])])


def _emit_tap(registers, rows, dtype, samples, weights):
    """Accumulate one tap of each row: keep the fewer of weights and samples in registers, load the others in turn."""
    vectors = registers.tile.vectors
    if registers.tile.rows < vectors:
        splats = [registers.splat(weight) for weight in weights]
        for v in range(vectors):
            vector = registers.load(samples, v, dtype)
            for row, splat in zip(rows, splats):
                registers.multiply_add(row * vectors + v, splat, vector)
    else:
        loaded = [registers.load(samples, v, dtype) for v in range(vectors)]
        for row, weight in zip(rows, weights):
            splat = registers.splat(weight)
            for v in range(vectors):
                registers.multiply_add(row * vectors + v, splat, loaded[v])


class _tap_loop:
    """Emit a loop over the taps: yields a pointer to the samples, advanced by `step`, and the place of the weight.

    That is the number of the tap, times `weights_step`, not 0. A pointer to `opposite` samples moves against them.
    """

    def __init__(self, builder, x, step, taps, weights_step=None, stop=None, opposite=None):
        self._builder, self._taps = builder, taps
        self._weights_step = taps.type(1) if weights_step is None else weights_step
        self._stop = stop
        self._ways = [(x, step)] if opposite is None else [(x, step), (opposite, builder.neg(step))]

    def __enter__(self):
        builder, zero = self._builder, self._weights_step.type(0)
        starts = [emitters.opaque_pointer(builder, pointer) for pointer, _ in self._ways]
        entry = builder.block
        self._body = builder.append_basic_block("tap")
        self._end = builder.append_basic_block("tap_end")
        if self._stop is None:
            self._stop = builder.mul(self._taps, self._weights_step)
            builder.cbranch(builder.icmp_signed(">", self._taps, zero), self._body, self._end)
        else:
            builder.branch(self._body)
        builder.position_at_end(self._body)
        self._samples, self._tap = [builder.phi(start.type) for start in starts], builder.phi(zero.type)
        for phi, start in zip((*self._samples, self._tap), (*starts, zero)):
            phi.add_incoming(start, entry)
        return self._samples[0], self._tap, *self._samples[1:]

    def __exit__(self, *exception):
        builder = self._builder
        for samples, (_, step) in zip(self._samples, self._ways):
            samples.add_incoming(builder.gep(samples, [step]), builder.block)
        tap = builder.add(self._tap, self._weights_step)
        self._tap.add_incoming(tap, builder.block)
        again = builder.cbranch(builder.icmp_signed("!=", tap, self._stop), self._body, self._end)
        # Unrolled four times, the loops take twice as long to compile and run no faster: one tap is 12 FMAs already.
        disable = builder.module.add_metadata([ir.MetaDataString(builder.module, "llvm.loop.unroll.disable")])
        label = ir.MetaDataString(builder.module, f"tap loop {next(_loop_numbers)}")
        loop = builder.module.add_metadata([label, disable])
        loop.operands = [loop, disable]  # LLVM identifies loop metadata by its reference to itself
        again.set_metadata("llvm.loop", loop)
        builder.position_at_end(self._end)
