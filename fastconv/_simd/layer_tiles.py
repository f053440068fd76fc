"""Tiles of a convolutional layer: pixels times vectors of output channels, or rows of channels times pixels."""

from __future__ import annotations

import itertools

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastconv._simd import emitters
from fastconv._simd.register_tiles import Registers

_BIT = ir.IntType(1)
_BYTE_POINTER = ir.IntType(8).as_pointer()
_INT32 = ir.IntType(32)
_INT64 = ir.IntType(64)
_INTP = types.intp
_loop_numbers = itertools.count()

# Pixels that share a base address: the others are one to six pitches away from it, by three strides in registers.
_PIXELS_OF_A_BASE = 7


@intrinsic
def broadcast_vectors(typingctx, tile, source):
    """A tile like `tile`, each row of which is the vectors at `source`."""

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        for v in range(tile.vectors):
            vector = registers.load(args[1], v, tile.dtype)
            for p in range(tile.rows):
                registers.set(p * tile.vectors + v, vector)
        return registers.value()

    return tile(tile, source), codegen


@intrinsic
def multiply_run(typingctx, tile, x, pitch, weights, length, ahead):
    """Accumulate a run of products: ``tile[p, v] += sum over k < length of x[p * pitch + k] * weights[k, v]``.

    `x` is broadcast, and the weights, `length` rows of the tile's vectors, are streamed. With each product the sample
    behind those of the tile is prefetched, and then that `ahead` of it; but not for tiles of one vector, which load a
    sample for each product.
    """

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, x, pitch, weights, length, ahead = args
        item = tile.dtype.bitwidth // 8
        element = context.get_data_type(tile.dtype).as_pointer()
        vector = registers.vector.as_pointer()
        pitch = builder.mul(pitch, pitch.type(item))
        # Opaque strides: LLVM would keep an address for each pixel, and spill most of them.
        strides = {k: _opaque_integer(builder, builder.mul(pitch, pitch.type(k))) for k in (1, 3, 5) if k < tile.rows}
        start = builder.bitcast(x, _BYTE_POINTER)
        bases = [
            emitters.opaque_pointer(builder, builder.gep(start, [builder.mul(pitch, pitch.type(first))]))
            for first in range(0, tile.rows, _PIXELS_OF_A_BASE)
        ]
        bases.append(emitters.opaque_pointer(builder, builder.bitcast(weights, _BYTE_POINTER)))
        steps = [_INT64(item)] * (len(bases) - 1) + [_INT64(item * tile.vectors * tile.lanes)]
        behind = builder.gep(start, [builder.mul(pitch, pitch.type(tile.rows))])
        bases.append(emitters.opaque_pointer(builder, behind))
        steps.append(builder.mul(ahead, ahead.type(item)))
        with _Loop(builder, length, bases, steps) as pointers:
            *samples, line, later = pointers
            if tile.vectors > 1:
                emitters.prefetch(builder, later)
            loaded = [
                builder.load(builder.bitcast(builder.gep(line, [_INT64(v * tile.lanes * item)]), vector), align=item)
                for v in range(tile.vectors)
            ]
            for p in range(tile.rows):
                base, pixel = divmod(p, _PIXELS_OF_A_BASE)
                place = samples[base]
                if pixel:
                    place = builder.gep(place, [_stride(builder, strides, pixel)])
                splat = registers.splat(builder.bitcast(place, element))
                for v in range(tile.vectors):
                    registers.multiply_add(p * tile.vectors + v, splat, loaded[v])
        return registers.value()

    return tile(tile, x, _INTP, weights, _INTP, _INTP), codegen


@intrinsic
def multiply_spectra(typingctx, tile, x, pitch, weights, length):
    """Accumulate products of complex numbers: ``tile[p, v] += sum over k < length of x[p * pitch, k] * weights[k, v]``.

    Each is a vector of real parts and one of imaginary parts; those of `x` are side by side for all `k`.
    """

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, x, pitch, weights, length = args
        apart = tile.dtype.bitwidth // 8 * tile.lanes
        vector = registers.vector.as_pointer()
        starts = [builder.gep(x, [builder.mul(pitch, pitch.type(p))]) for p in range(tile.rows)]
        pointers = [emitters.opaque_pointer(builder, builder.bitcast(start, _BYTE_POINTER)) for start in starts]
        pointers.append(emitters.opaque_pointer(builder, builder.bitcast(weights, _BYTE_POINTER)))
        steps = [_INT64(2 * apart)] * tile.rows + [_INT64(tile.vectors * apart)]

        def part(pointer, k):
            place = builder.bitcast(builder.gep(pointer, [_INT64(k * apart)]), vector)
            return builder.load(place, align=tile.dtype.bitwidth // 8)

        with _Loop(builder, length, pointers, steps) as (*samples, line):
            factors = [part(line, v) for v in range(tile.vectors)]
            for p, place in enumerate(samples):
                real, imag = part(place, 0), part(place, 1)
                minus = builder.fneg(imag)
                for v in range(0, tile.vectors, 2):
                    k = p * tile.vectors + v
                    registers.multiply_add(k, real, factors[v])
                    registers.multiply_add(k + 1, real, factors[v + 1])
                    registers.multiply_add(k, minus, factors[v + 1])
                    registers.multiply_add(k + 1, imag, factors[v])
        return registers.value()

    return tile(tile, x, _INTP, weights, _INTP), codegen


@intrinsic
def broadcast_rows(typingctx, tile, source):
    """A tile like `tile`, with the element number `row` at `source` in all lanes of each row."""

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        for p in range(tile.rows):
            splat = registers.splat(builder.gep(args[1], [_INT32(p)]))
            for v in range(tile.vectors):
                registers.set(p * tile.vectors + v, splat)
        return registers.value()

    return tile(tile, source), codegen


@intrinsic
def broadcast_all(typingctx, tile, source):
    """A tile like `tile`, with the element at `source` in all lanes."""

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        splat = registers.splat(args[1])
        for k in range(tile.rows * tile.vectors):
            registers.set(k, splat)
        return registers.value()

    return tile(tile, source), codegen


@intrinsic
def multiply_planes(typingctx, tile, x, places, offsets, weights, length):
    """Accumulate products with broadcast weights, `tile.rows` for each sample::

        tile[p, v] += sum over k < length of weights[k, p] * x[places[v] + offsets[k] ...]

    The `offsets` are in bytes. The fewer of weights and vectors of input are held in registers.
    """

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, x, places, offsets, weights, length = args
        item = tile.dtype.bitwidth // 8
        element = context.get_data_type(tile.dtype).as_pointer()
        vector = registers.vector.as_pointer()
        starts = [
            emitters.opaque_pointer(
                builder,
                builder.bitcast(builder.gep(x, [builder.load(builder.gep(places, [_INT32(v)]))]), _BYTE_POINTER),
            )
            for v in range(tile.vectors)
        ]
        streams = [
            emitters.opaque_pointer(builder, builder.bitcast(pointer, _BYTE_POINTER)) for pointer in (offsets, weights)
        ]
        with _Loop(builder, length, streams, [_INT64(8), _INT64(item * tile.rows)]) as (table, line):
            offset = builder.load(builder.bitcast(table, _INT64.as_pointer()))

            def samples(v):
                return builder.load(builder.bitcast(builder.gep(starts[v], [offset]), vector), align=item)

            def weight(p):
                return registers.splat(builder.bitcast(builder.gep(line, [_INT64(p * item)]), element))

            if tile.rows < tile.vectors:
                splats = [weight(p) for p in range(tile.rows)]
                for v in range(tile.vectors):
                    loaded = samples(v)
                    for p, splat in enumerate(splats):
                        registers.multiply_add(p * tile.vectors + v, splat, loaded)
            else:
                vectors = [samples(v) for v in range(tile.vectors)]
                for p in range(tile.rows):
                    splat = weight(p)
                    for v, loaded in enumerate(vectors):
                        registers.multiply_add(p * tile.vectors + v, splat, loaded)
        return registers.value()

    return tile(tile, x, types.CPointer(_INTP), types.CPointer(_INTP), weights, _INTP), codegen


@intrinsic
def store_planes(typingctx, tile, out, places, pitch, valid):
    """Store vector `v` of the first `valid` rows at ``out + places[v] + row * pitch``."""

    def codegen(context, builder, signature, args):
        value, out, places, pitch, valid = args
        registers = Registers(context, builder, tile, value)
        starts = [builder.gep(out, [builder.load(builder.gep(places, [_INT32(v)]))]) for v in range(tile.vectors)]
        for p in range(tile.rows):
            with builder.if_then(builder.icmp_signed(">", valid, valid.type(p)), likely=True):
                apart = builder.mul(pitch, pitch.type(p))
                for v, start in enumerate(starts):
                    registers.store(p * tile.vectors + v, builder.gep(start, [apart]), 0)
        return context.get_dummy_value()

    return types.void(tile, out, types.CPointer(_INTP), _INTP, _INTP), codegen


@intrinsic
def store_lines(typingctx, tile, out, pitch, rows, columns):
    """Store the first `columns` elements of the first `rows` rows at ``out + row * pitch``."""

    def codegen(context, builder, signature, args):
        value, out, pitch, rows, columns = args
        registers = Registers(context, builder, tile, value)
        is_whole = builder.icmp_signed(">=", columns, columns.type(tile.vectors * tile.lanes))
        masks = [_first_lanes(builder, columns, v * tile.lanes, tile.lanes) for v in range(tile.vectors)]
        for p in range(tile.rows):
            with builder.if_then(builder.icmp_signed(">", rows, rows.type(p)), likely=True):
                line = builder.gep(out, [builder.mul(pitch, pitch.type(p))])
                with builder.if_else(is_whole) as (whole, some):
                    with whole:
                        for v in range(tile.vectors):
                            registers.store(p * tile.vectors + v, line, v)
                    with some:
                        for v in range(tile.vectors):
                            _store_masked(builder, registers.get(p * tile.vectors + v), registers.at(line, v), masks[v])
        return context.get_dummy_value()

    return types.void(tile, out, _INTP, _INTP, _INTP), codegen


@intrinsic
def store_alternating(typingctx, even, odd, out, columns):
    """Store the first `columns` elements of two tiles of one row as the even and the odd elements of a line."""

    def codegen(context, builder, signature, args):
        first, second, out, columns = args
        pairs = [Registers(context, builder, even, value) for value in (first, second)]
        lanes, item = even.lanes, even.dtype.bitwidth // 8
        halves = [[half * lanes // 2 + lane // 2 + lane % 2 * lanes for lane in range(lanes)] for half in range(2)]
        for k in range(2 * even.vectors):
            v, half = divmod(k, 2)
            vector = emitters.shuffle(builder, pairs[0].get(v), pairs[1].get(v), halves[half])
            place = builder.bitcast(builder.gep(out, [_INT32(k * lanes)]), vector.type.as_pointer())
            is_whole = builder.icmp_signed(">=", columns, columns.type((k + 1) * lanes))
            with builder.if_else(is_whole, likely=True) as (whole, some):
                with whole:
                    builder.store(vector, place, align=item)
                with some:
                    _store_masked(builder, vector, place, _first_lanes(builder, columns, k * lanes, lanes))
        return context.get_dummy_value()

    return types.void(even, odd, out, _INTP), codegen


@intrinsic
def multiply_outer(typingctx, tile, x, x_step, y, y_step, length, x_ahead, y_ahead):
    """Accumulate outer products: ``tile[p, v] += sum over k < length of x[k * x_step + p] * y[k * y_step + v]``.

    What lies `x_ahead` and `y_ahead` bytes behind them is prefetched.
    """

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, x, x_step, y, y_step, length, x_ahead, y_ahead = args
        item = tile.dtype.bitwidth // 8
        element = context.get_data_type(tile.dtype).as_pointer()
        vector = registers.vector.as_pointer()
        starts = [emitters.opaque_pointer(builder, builder.bitcast(pointer, _BYTE_POINTER)) for pointer in (x, y)]
        steps = [builder.mul(step, step.type(item)) for step in (x_step, y_step)]
        with _Loop(builder, length, starts, steps) as (samples, line):
            loaded = [
                builder.load(builder.bitcast(builder.gep(line, [_INT64(v * tile.lanes * item)]), vector), align=item)
                for v in range(tile.vectors)
            ]
            emitters.prefetch(builder, builder.gep(samples, [x_ahead]))
            for v in range(tile.vectors):
                emitters.prefetch(builder, builder.gep(builder.gep(line, [y_ahead]), [_INT64(v * tile.lanes * item)]))
            for p in range(tile.rows):
                splat = registers.splat(builder.bitcast(builder.gep(samples, [_INT64(p * item)]), element))
                for v in range(tile.vectors):
                    registers.multiply_add(p * tile.vectors + v, splat, loaded[v])
        return registers.value()

    return tile(tile, x, _INTP, y, _INTP, _INTP, _INTP, _INTP), codegen


@intrinsic(prefer_literal=True)
def sweep_channels(typingctx, tile, first, last, rows, x, pitch, weights, weights_row, step, stride, taps):
    """Accumulate a row of pixels, times a row of taps, into the output rows ``first .. last - 1`` of a tile::

        tile[r, p] += sum over k < taps of weights[k * step - r * weights_row] * x[(p * stride + k) * pitch]

    Lanes are channels. A tile has `rows` rows of pixels; a vector of input is loaded once for all of them and all taps.
    `first`, `last`, `rows`, `stride` and `taps` are literals.
    """
    chosen = range(first.literal_value, last.literal_value)
    pixels, apart, count = tile.rows // rows.literal_value, stride.literal_value, taps.literal_value

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, _, _, _, x, pitch, weights, weights_row, step, _, _ = args
        for v in range(tile.vectors):
            loaded = {}
            for r, k in itertools.product(chosen, range(count)):
                place = builder.sub(builder.mul(step, step.type(k)), builder.mul(weights_row, weights_row.type(r)))
                loaded[r, k] = registers.load(builder.gep(weights, [place]), v, tile.dtype)
            for q in range((pixels - 1) * apart + count):
                pairs = [(k, (q - k) // apart) for k in range(count) if (q - k) % apart == 0]
                pairs = [(k, p) for k, p in pairs if 0 <= p < pixels]
                if not pairs:
                    continue
                vector = registers.load(builder.gep(x, [builder.mul(pitch, pitch.type(q))]), v, tile.dtype)
                for r in chosen:
                    for k, p in pairs:
                        registers.multiply_add((r * pixels + p) * tile.vectors + v, vector, loaded[r, k])
        return registers.value()

    return tile(tile, first, last, rows, x, _INTP, weights, _INTP, _INTP, stride, taps), codegen


@intrinsic(prefer_literal=True)
def multiply_groups(typingctx, tile, x, pitch, weights, step, size):
    """Accumulate one tap of groups of `size` (a literal) channels, as many in as out; lanes are channels.

    ``tile[p, l] += sum over c < size of weights[c * step + l] * x[p * pitch + l // size * size + c]``
    """
    count = size.literal_value

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, x, pitch, weights, step, _ = args
        pixels = [builder.gep(x, [builder.mul(pitch, pitch.type(p))]) for p in range(tile.rows)]
        lines = [builder.gep(weights, [builder.mul(step, step.type(c))]) for c in range(count)]
        for v in range(tile.vectors):
            vectors = [registers.load(pixel, v, tile.dtype) for pixel in pixels]
            for c, line in enumerate(lines):
                factors = registers.load(line, v, tile.dtype)
                lanes = [lane // count * count + c for lane in range(tile.lanes)]
                for p, vector in enumerate(vectors):
                    chosen = emitters.shuffle(builder, vector, vector, lanes) if count > 1 else vector
                    registers.multiply_add(p * tile.vectors + v, chosen, factors)
        return registers.value()

    return tile(tile, x, _INTP, weights, _INTP, size), codegen


# Pixels of an iteration that shares vectors of input among taps.
SHARING_PIXELS = 4


@intrinsic(prefer_literal=True)
def multiply_channels(typingctx, tile, x, x_step, tap_step, row_step, y, y_step, length, size, stride, rows):
    """Accumulate the products of channels, for some taps and groups of `size` (a literal) channels; lanes are channels.

    Row ``(i * taps + t) * size + c`` of the tile is tap `t` of kernel row `i`, of `rows` (a literal), and channel `c`
    of the groups::

        tile[..., l] += sum over k < length of x[k * x_step + i * row_step + t * tap_step + l // size * size + c]
                                             * y[k * y_step + l]

    With a `stride` (a literal) above 0, ``x_step == stride * tap_step``: then a vector of input is loaded once for all
    taps of a row.
    """
    count, apart, kernel_rows = size.literal_value, stride.literal_value, rows.literal_value
    taps = tile.rows // (kernel_rows * count)

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, x, x_step, tap_step, row_step, y, y_step, length, _, _, _ = args
        item = tile.dtype.bitwidth // 8
        starts = [builder.gep(x, [builder.mul(row_step, row_step.type(i))]) for i in range(kernel_rows)] + [y]
        starts = [emitters.opaque_pointer(builder, builder.bitcast(pointer, _BYTE_POINTER)) for pointer in starts]
        steps = [builder.mul(step, step.type(item)) for step in [x_step] * kernel_rows + [y_step]]
        pitch = builder.mul(tap_step, tap_step.type(item))

        def multiply(lines, slopes, pixels):
            """Take some pixels: the vectors of input between the first and the last of their taps."""
            places = [builder.gep(slopes, [builder.mul(steps[-1], pitch.type(k))]) for k in range(pixels)]
            for v in range(tile.vectors):
                factors = [registers.load(builder.bitcast(place, y.type), v, tile.dtype) for place in places]
                for i, line in enumerate(lines):
                    for q in range((pixels - 1) * apart + taps):
                        pairs = [(t, k) for t in range(taps) for k in range(pixels) if k * apart + t == q]
                        if not pairs:
                            continue
                        place = builder.bitcast(builder.gep(line, [builder.mul(pitch, pitch.type(q))]), x.type)
                        vector = registers.load(place, v, tile.dtype)
                        for c in range(count):
                            lanes = [lane // count * count + c for lane in range(tile.lanes)]
                            picked = emitters.shuffle(builder, vector, vector, lanes) if count > 1 else vector
                            for t, k in pairs:
                                row = (i * taps + t) * count + c
                                registers.multiply_add(row * tile.vectors + v, picked, factors[k])

        if apart and taps > 1:
            times = length.type(SHARING_PIXELS)
            some = builder.sdiv(length, times)
            with _Loop(builder, some, starts, [builder.mul(step, times) for step in steps]) as (*lines, slopes):
                multiply(lines, slopes, SHARING_PIXELS)
            done = builder.mul(some, times)
            length = builder.sub(length, done)
            starts = [builder.gep(start, [builder.mul(done, step)]) for start, step in zip(starts, steps)]
        with _Loop(builder, length, starts, steps) as (*lines, slopes):
            multiply(lines, slopes, 1)
        return registers.value()

    return tile(tile, x, _INTP, _INTP, _INTP, y, _INTP, _INTP, size, stride, rows), codegen


@intrinsic(prefer_literal=True)
def pushed(typingctx, recent, y, valid, partial):
    """A tile of one vector in each row, with the first `valid` elements at `y` as the first row, and the others behind.

    If not `partial`, a literal, a whole vector is loaded. What is not loaded is zero, and its memory not touched.
    """

    def codegen(context, builder, signature, args):
        value, y, valid, _ = args
        registers = Registers(context, builder, recent, value)
        for k in range(recent.rows - 1, 0, -1):
            registers.set(k, registers.get(k - 1))
        if partial.literal_value:
            mask = _first_lanes(builder, valid, 0, recent.lanes)
            registers.set(0, _load_masked(builder, registers.at(y, 0), mask))
        else:
            registers.set(0, registers.load(y, 0, recent.dtype))
        return registers.value()

    return recent(recent, y, _INTP, partial), codegen


@intrinsic(prefer_literal=True)
def multiply_taps(typingctx, tile, x, slopes, taps, stride, first, some_lanes, some_rows, valid, begin, end):
    """Accumulate the products of the rows of `slopes` and the samples that their elements meet, for `taps` taps::

        tile[(first + m * stride) * taps + j, l] += x[l * stride + j] * slopes[m, l]

    `taps`, `stride` (1 or 2), `first` and the flags are literals. With `some_lanes` only the first `valid` lanes count,
    with `some_rows` those from `begin` to `end`. With a stride of 2 two vectors are dealt out to those of two taps.
    """
    count, apart = taps.literal_value, stride.literal_value

    def codegen(context, builder, signature, args):
        registers, factors = Registers(context, builder, tile, args[0]), Registers(context, builder, slopes, args[2])
        x, (valid, begin, end) = args[1], args[8:]
        rows = [(m, first.literal_value + m * apart) for m in range(slopes.rows)]
        rows = [(m, i) for m, i in rows if i < tile.rows // count]
        zero = ir.Constant(registers.vector, None)
        columns = _first_lanes(builder, valid, 0, tile.lanes) if some_lanes.literal_value else None
        counts = {
            m: builder.and_(builder.icmp_signed("<=", begin, begin.type(m)), builder.icmp_signed(">", end, end.type(m)))
            for m, _ in (rows if some_rows.literal_value else ())
        }
        for j in range(count):
            place = builder.gep(x, [_INT32(j if apart == 1 else j // 2 * 2)])
            vector = registers.load(place, 0, tile.dtype)
            if apart == 2:
                chosen = range(j % 2, 2 * tile.lanes, 2)
                vector = emitters.shuffle(builder, vector, registers.load(place, 1, tile.dtype), chosen)
            if columns is not None:
                vector = builder.select(columns, vector, zero)
            for m, i in rows:
                counted = builder.select(counts[m], vector, zero) if counts else vector
                registers.multiply_add(i * count + j, counted, factors.get(m))
        return registers.value()

    return tile(tile, x, slopes, taps, stride, first, some_lanes, some_rows, _INTP, _INTP, _INTP), codegen


@intrinsic(prefer_literal=True)
def store_pixel_rows(typingctx, tile, rows, out, row_pitch, pitch):
    """Store a tile of `rows` (a literal) rows of pixels."""
    pixels = tile.rows // rows.literal_value

    def codegen(context, builder, signature, args):
        value, _, out, row_pitch, pitch = args
        registers = Registers(context, builder, tile, value)
        for k in range(tile.rows):
            row, p = divmod(k, pixels)
            place = builder.add(builder.mul(row_pitch, row_pitch.type(row)), builder.mul(pitch, pitch.type(p)))
            for v in range(tile.vectors):
                registers.store(k * tile.vectors + v, builder.gep(out, [place]), v)
        return context.get_dummy_value()

    return types.void(tile, rows, out, _INTP, _INTP), codegen


def _stride(builder, strides, times):
    """`times` pitches, 1 to 6: a stride, or one times a power of two, which an address can have as its scale."""
    for stride, shift in ((times, 0), (times // 2, 1), (times // 4, 2)):
        if stride in strides and stride << shift == times:
            return builder.shl(strides[stride], strides[stride].type(shift)) if shift else strides[stride]
    raise AssertionError(times)


def _opaque_integer(builder, value):
    """Hide the origin of `value` from LLVM."""
    return builder.asm(ir.FunctionType(value.type, [value.type]), "", "=r,0", [value], False)


@intrinsic
def move_to_sums(typingctx, tile, sums, first):
    """Add a tile to partial sums in memory, or store it there if it is the `first`; return zeros."""

    def codegen(context, builder, signature, args):
        value, sums, first = args
        registers = Registers(context, builder, tile, value)
        for k in range(tile.rows * tile.vectors):
            held = registers.load(sums, k, tile.dtype)
            kept = builder.select(first, ir.Constant(held.type, None), held)
            builder.store(_sum(builder, kept, registers.get(k)), registers.at(sums, k), align=tile.dtype.bitwidth // 8)
        return ir.Constant(context.get_value_type(tile), None)

    return tile(tile, sums, types.boolean), codegen


@intrinsic
def add_sums(typingctx, tile, sums):
    """Add partial sums in memory to a tile."""

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        for k in range(tile.rows * tile.vectors):
            registers.set(k, _sum(builder, registers.load(args[1], k, tile.dtype), registers.get(k)))
        return registers.value()

    return tile(tile, sums), codegen


def _sum(builder, a, b):
    return builder.fadd(a, b) if isinstance(a.type.element, (ir.FloatType, ir.DoubleType)) else builder.add(a, b)


@intrinsic
def rectified(typingctx, tile):
    """``max(tile, 0)``, with NaN kept."""

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        zero = ir.Constant(registers.vector, None)
        for k in range(tile.rows * tile.vectors):
            value = registers.get(k)
            if isinstance(tile.dtype, types.Float):
                negative = builder.fcmp_ordered("<", value, zero)
            else:
                negative = builder.icmp_signed("<", value, zero)
            registers.set(k, builder.select(negative, zero, value))
        return registers.value()

    return tile(tile), codegen


@intrinsic(prefer_literal=True)
def store_pixels(typingctx, tile, out, pitch, valid, partial):
    """Store each row at ``out + row * pitch``; if `partial` (a literal) only the first `valid` elements of it."""

    def codegen(context, builder, signature, args):
        value, out, pitch, valid, _ = args
        registers = Registers(context, builder, tile, value)
        masks = [_first_lanes(builder, valid, v * tile.lanes, tile.lanes) for v in range(tile.vectors)]
        for p in range(tile.rows):
            line = builder.gep(out, [builder.mul(pitch, pitch.type(p))])
            for v in range(tile.vectors):
                if partial.literal_value:
                    _store_masked(builder, registers.get(p * tile.vectors + v), registers.at(line, v), masks[v])
                else:
                    registers.store(p * tile.vectors + v, line, v)
        return context.get_dummy_value()

    return types.void(tile, out, _INTP, _INTP, partial), codegen


@intrinsic(prefer_literal=True)
def store_transposed(typingctx, tile, out, pitch, valid, partial):
    """Store column `c` of a tile at ``out + c * pitch``; if `partial` (a literal) only the first `valid` columns."""

    def codegen(context, builder, signature, args):
        value, out, pitch, valid, _ = args
        registers = Registers(context, builder, tile, value)
        lanes, item = tile.lanes, tile.dtype.bitwidth // 8
        undefined = ir.Constant(registers.vector, ir.Undefined)
        for v in range(tile.vectors):
            for first in range(0, tile.rows, lanes):
                count = min(lanes, tile.rows - first)
                lines = [registers.get((first + k) * tile.vectors + v) for k in range(count)]
                mask = ir.Constant(ir.VectorType(_BIT, lanes), [int(k < count) for k in range(lanes)])
                for k, line in enumerate(_transposed(builder, lines + [undefined] * (lanes - count))):
                    column = v * lanes + k
                    place = builder.gep(out, [builder.add(builder.mul(pitch, pitch.type(column)), pitch.type(first))])
                    place = builder.bitcast(place, line.type.as_pointer())
                    wanted = builder.icmp_signed(">", valid, valid.type(column)) if partial.literal_value else _BIT(1)
                    with builder.if_then(wanted):
                        if count == lanes:
                            builder.store(line, place, align=item)
                        else:
                            _store_masked(builder, line, place, mask)
        return context.get_dummy_value()

    return types.void(tile, out, _INTP, _INTP, partial), codegen


def _transposed(builder, lines):
    """Transpose a square of vectors: swap the off-diagonal quarters of squares of 2, 4, 8, ... lanes a side."""
    lines, lanes = list(lines), len(lines)
    half = 1
    while half < lanes:
        low = [lane if not lane & half else lane - half + lanes for lane in range(lanes)]
        high = [lane + half if not lane & half else lane + lanes for lane in range(lanes)]
        for k in range(lanes):
            if not k & half:
                a, b = lines[k], lines[k + half]
                lines[k], lines[k + half] = emitters.shuffle(builder, a, b, low), emitters.shuffle(builder, a, b, high)
        half *= 2
    return lines


def _first_lanes(builder, count, offset, lanes):
    """Mask of the lanes whose number, plus `offset`, is below `count`."""
    numbers = ir.Constant(ir.VectorType(_INT32, lanes), [offset + lane for lane in range(lanes)])
    return builder.icmp_signed("<", numbers, emitters.splat(builder, builder.trunc(count, _INT32), lanes))


def _suffix(vector):
    """Name of a vector type in the names of LLVM's intrinsics."""
    element = vector.element
    kind = f"i{element.width}" if isinstance(element, ir.IntType) else {"float": "f32", "double": "f64"}[str(element)]
    return f"v{vector.count}{kind}"


def _item(vector):
    element = vector.element
    return element.width // 8 if isinstance(element, ir.IntType) else {"float": 4, "double": 8}[str(element)]


def _store_masked(builder, value, pointer, mask):
    """Store the lanes of `mask`, and touch no memory of the others."""
    vector = value.type
    kind = ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), _INT32, mask.type])
    name = f"llvm.masked.store.{_suffix(vector)}.p0"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(function, [value, pointer, _INT32(_item(vector)), mask])


def _load_masked(builder, pointer, mask):
    """Load the lanes of `mask`, zeros for others, whose memory is not touched."""
    vector = pointer.type.pointee
    kind = ir.FunctionType(vector, [pointer.type, _INT32, mask.type, vector])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.{_suffix(vector)}.p0")
    return builder.call(function, [pointer, _INT32(_item(vector)), mask, ir.Constant(vector, None)])


class _Loop:
    """Emit a loop that runs `count` times, and advances byte pointers by `steps`; yields the pointers."""

    def __init__(self, builder, count, pointers, steps):
        self._builder, self._count, self._starts, self._steps = builder, count, pointers, steps

    def __enter__(self):
        builder, entry = self._builder, self._builder.block
        self._body = builder.append_basic_block("product")
        self._end = builder.append_basic_block("product_end")
        builder.cbranch(builder.icmp_signed(">", self._count, self._count.type(0)), self._body, self._end)
        builder.position_at_end(self._body)
        self._left = builder.phi(self._count.type)
        self._left.add_incoming(self._count, entry)
        self._pointers = []
        for start in self._starts:
            pointer = builder.phi(start.type)
            pointer.add_incoming(start, entry)
            self._pointers.append(pointer)
        return self._pointers

    def __exit__(self, *exception):
        builder = self._builder
        for pointer, step in zip(self._pointers, self._steps):
            pointer.add_incoming(builder.gep(pointer, [step]), builder.block)
        left = builder.sub(self._left, self._left.type(1))
        self._left.add_incoming(left, builder.block)
        again = builder.cbranch(builder.icmp_signed(">", left, left.type(0)), self._body, self._end)
        # Unrolled two to four times, no shape was faster, and the first layer of VGG slower by a quarter.
        disable = builder.module.add_metadata([ir.MetaDataString(builder.module, "llvm.loop.unroll.disable")])
        label = ir.MetaDataString(builder.module, f"product loop {next(_loop_numbers)}")
        loop = builder.module.add_metadata([label, disable])
        loop.operands = [loop, disable]  # LLVM identifies loop metadata by its reference to itself
        again.set_metadata("llvm.loop", loop)
        builder.position_at_end(self._end)
