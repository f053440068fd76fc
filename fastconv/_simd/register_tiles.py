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
        first, last = args[1], args[2]
        done = builder.append_basic_block("swept")
        stride = tile.rows + 1
        switch = builder.switch(builder.add(builder.mul(first, first.type(stride)), last), done)
        for low in range(tile.rows):
            for high in range(low + 1, tile.rows + 1):
                with builder.goto_block(builder.append_basic_block(f"rows_{low}_{high}")):
                    switch.add_case(first.type(low * stride + high), builder.block)
                    _emit_sweep(registers, range(low, high), x.dtype, False, *args[3:])
                    builder.branch(done)
        builder.position_at_end(done)
        return registers.value()

    return tile(tile, _INTP, _INTP, _INTP, x, _INTP, _INTP, weights, _INTP, _INTP), codegen


@intrinsic(prefer_literal=True)
def sweep_grouped(typingctx, tile, group, x, step, weights, apart, taps):
    """`sweep` into a tile of one row, `group` (a literal) taps at a time, `apart` taps from each other.

    ``apart * step`` is one vector, so that vector ``v`` of a tap is vector ``v - 1`` of the tap `apart` further on:
    ``vectors + group - 1`` loads serve ``vectors * group`` multiplications. `taps` is the number of groups.
    """
    count = group.literal_value

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, _, samples, step, weights, apart, taps = args
        starts = (builder.gep(weights, [builder.mul(apart, apart.type(g))]) for g in range(count))
        lines = [emitters.opaque_pointer(builder, start) for start in starts]
        with _tap_loop(builder, samples, step, taps) as (samples, tap):
            splats = [registers.splat(builder.gep(line, [tap])) for line in lines]
            for v in range(tile.vectors + count - 1):
                vector = registers.load(samples, v, x.dtype)
                for g in range(count):
                    if 0 <= v - g < tile.vectors:
                        registers.multiply_add(v - g, splats[g], vector)
        return registers.value()

    return tile(tile, group, x, _INTP, weights, _INTP, _INTP), codegen


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
def accumulate_nonfinite(typingctx, total, tile):
    """Add ``0 * row`` for each row of `tile` to `total`, a tile of one row: NaN where an element is not finite."""

    def codegen(context, builder, signature, args):
        totals, registers = (Registers(context, builder, *pair) for pair in zip((total, tile), args))
        zero = ir.Constant(registers.vector, None)
        for k in range(tile.rows * tile.vectors):
            totals.multiply_add(k % tile.vectors, registers.get(k), zero)
        return totals.value()

    return total(total, tile), codegen


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

    def multiply_add(self, k, a, b):
        """``register[k] += a * b``; fused if the processor can and the tile is not rounded, never a library call."""
        builder, slot = self.builder, self._slots[k]
        accumulator = builder.load(slot)
        if self.tile.rounded:
            result = emitters.add(builder, accumulator, emitters.multiply(builder, a, b))
        elif isinstance(self.tile.dtype, types.Float):
            result = emitters.fmuladd(builder, a, b, accumulator)
        else:
            result = builder.add(accumulator, builder.mul(a, b))
        builder.store(result, slot)


def _emit_sweep(registers, rows, dtype, single, i, x, x_pitch, step, weights, weights_pitch, taps):
    builder = registers.builder
    x = builder.gep(x, [builder.mul(i, x_pitch)])
    lines = [builder.gep(weights, [builder.mul(builder.sub(i, i.type(row)), weights_pitch)]) for row in rows]
    if single:
        _emit_tap(registers, rows, dtype, x, lines)
        return
    lines = [emitters.opaque_pointer(builder, line) for line in lines]
    with _tap_loop(builder, x, step, taps) as (samples, tap):
        _emit_tap(registers, rows, dtype, samples, [builder.gep(line, [tap]) for line in lines])


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
    """Emit a loop over the taps: yields a pointer to the samples, advanced by `step`, and the number of the tap."""

    def __init__(self, builder, x, step, taps):
        self._builder, self._step, self._taps = builder, step, taps
        self._x = emitters.opaque_pointer(builder, x)

    def __enter__(self):
        builder, zero = self._builder, self._taps.type(0)
        entry = builder.block
        self._body = builder.append_basic_block("tap")
        self._end = builder.append_basic_block("tap_end")
        builder.cbranch(builder.icmp_signed(">", self._taps, zero), self._body, self._end)
        builder.position_at_end(self._body)
        self._samples, self._tap = builder.phi(self._x.type), builder.phi(zero.type)
        self._samples.add_incoming(self._x, entry)
        self._tap.add_incoming(zero, entry)
        return self._samples, self._tap

    def __exit__(self, *exception):
        builder = self._builder
        self._samples.add_incoming(builder.gep(self._samples, [self._step]), builder.block)
        tap = builder.add(self._tap, self._tap.type(1))
        self._tap.add_incoming(tap, builder.block)
        again = builder.cbranch(builder.icmp_signed("<", tap, self._taps), self._body, self._end)
        # Unrolled four times, the loops take twice as long to compile and run no faster: one tap is 12 FMAs already.
        disable = builder.module.add_metadata([ir.MetaDataString(builder.module, "llvm.loop.unroll.disable")])
        label = ir.MetaDataString(builder.module, f"tap loop {next(_loop_numbers)}")
        loop = builder.module.add_metadata([label, disable])
        loop.operands = [loop, disable]  # LLVM identifies loop metadata by its reference to itself
        again.set_metadata("llvm.loop", loop)
        builder.position_at_end(self._end)
