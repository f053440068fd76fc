"""Intrinsics for means, and magnitudes of gradients, over small windows: some rows of a vector of results at a time.

Rows are given by tables of addresses. Integers are summed as the halves of integers of twice their bits: the even and
the odd ones of a vector, without a shuffle.
"""

from __future__ import annotations

import functools

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from fastconv._simd import emitters
from fastconv._simd.target import processor
from fastconv._simd.whole_means import word_reciprocal

# Rows of results at a time. Rows at a distance of 4 kB share a set of the L1 cache: of the lines that it holds, 8 or
# more, one is for each row of samples, and one for each row of results.
ROWS = 4

_INTP = types.intp
_TABLE = types.CPointer(_INTP)
# A float32 so large that sums with it are integers: rounded half to even.
_ROUNDING = 1.5 * 2.0**23


def _lanes(dtype, means):
    """Results of a vector: means of floats are summed in float64."""
    return processor().lanes(64 if means and isinstance(dtype, types.Float) else dtype.bitwidth)


@intrinsic(prefer_literal=True)
def result_lanes(typingctx, samples, means):
    """Number of means, or of magnitudes, of a vector; `means` is a literal."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _lanes(samples.dtype, means.literal_value))

    return _INTP(samples, means), codegen


def _places(builder, kind, table, count, offset):
    """Pointers to the elements number `offset` of rows, by a table of the addresses of rows."""
    found = []
    for k in range(count):
        address = builder.load(builder.gep(table, [ir.IntType(32)(k)]), align=8)
        found.append(builder.gep(builder.inttoptr(address, kind.as_pointer()), [offset]))
    return found


def _constant(vector, number):
    return ir.Constant(vector, [number] * vector.count)


def _halves(builder, value, dtype):
    """The even and the odd ones of a vector of integers, in twice their bits."""
    wide = ir.VectorType(ir.IntType(2 * dtype.bitwidth), value.type.count // 2)
    return emitters.halves(builder, builder.bitcast(value, wide), dtype.signed)


def _moving_sums(items, count, plus):
    """Sums of so many successive items: of one, two, four, ... , and of these."""
    sums, length, total, covered = items, 1, None, 0
    while True:
        if count & length:
            part = sums[covered:]
            total = part if total is None else [plus(a, b) for a, b in zip(total, part)]
            covered += length
        if 2 * length > count:
            return total
        sums = [plus(a, b) for a, b in zip(sums, sums[length:])]
        length *= 2


class _Means:
    """What means of one type are made of; `lanes` are the results of a vector."""

    def __init__(self, context, builder, dtype, lanes):
        self.context, self.builder, self.dtype, self.lanes = context, builder, dtype, lanes
        self.is_float = isinstance(dtype, types.Float)
        self.wide = ir.VectorType(ir.DoubleType(), lanes)

    def plus(self, a, b):
        return emitters.add(self.builder, a, b) if self.is_float else self.builder.add(a, b)

    def load(self, place):
        """Samples as parts, in the type of sums: floats, or the halves of integers."""
        loaded = emitters.load_lanes(self.context, self.builder, self.dtype, place, self.lanes)
        if self.is_float:
            return (self.builder.fpext(loaded, self.wide),)
        return _halves(self.builder, loaded, self.dtype)

    def sums_down(self, lines, rows):
        """Sums over so many rows, of a list of parts of rows."""
        return [*zip(*(_moving_sums(list(part), rows, self.plus) for part in zip(*lines)))]

    def sums_along(self, sums, following, columns, channels):
        """Sums over so many columns, which are so many channels apart, of parts that others follow."""
        count, moved = len(sums), {}

        def at(distance):
            half, lanes = distance % count, distance // count
            if distance not in moved:
                width = sums[half].type.count
                order = range(lanes, lanes + width)
                moved[distance] = emitters.shuffle(self.builder, sums[half], following[half], order)
            return moved[distance]

        if channels == 1 and count == 2 and columns > 1:
            shared = functools.reduce(self.plus, map(at, range(1, columns)))
            return self.plus(at(0), shared), self.plus(shared, at(columns))
        return tuple(
            functools.reduce(self.plus, [at(half + k * channels) for k in range(columns)]) for half in range(count)
        )

    def mean(self, sums, size):
        """The means of parts of sums over `size` samples, as elements."""
        builder, bits = self.builder, self.dtype.bitwidth
        if self.is_float:
            means = emitters.multiply(builder, sums[0], _constant(self.wide, 1 / size))
            return builder.fptrunc(means, ir.VectorType(ir.FloatType(), self.lanes))
        find = self._mean_of_bytes if bits == 8 else self._mean_of_words
        even, odd = (find(part, size) for part in sums)
        return emitters.joined(builder, even, odd, bits)

    def _mean_of_bytes(self, sums, size):
        """Quotients of 16 bits by a product of 32; they are never halves, since `size` is odd."""
        builder, (multiplier, shift) = self.builder, word_reciprocal(size)
        wide = ir.VectorType(ir.IntType(32), sums.type.count)
        rounded = builder.add(sums, _constant(sums.type, size // 2))
        product = builder.mul(builder.zext(rounded, wide), _constant(wide, multiplier))
        high = builder.trunc(builder.lshr(product, _constant(wide, 16)), sums.type)
        # Other shifts, joined with the first one, would take products of 32 bits.
        return builder.lshr(emitters.opaque_vector(builder, high), _constant(sums.type, shift))

    def _mean_of_words(self, sums, size):
        """Quotients by float32, which holds the sums: its errors are less than half of 1 / `size`, which is odd."""
        builder, real = self.builder, ir.VectorType(ir.FloatType(), sums.type.count)
        reciprocal, rounding = _constant(real, 1 / size), _constant(real, _ROUNDING)
        return builder.bitcast(emitters.fmuladd(builder, builder.sitofp(sums, real), reciprocal, rounding), sums.type)


@intrinsic(prefer_literal=True)
def store_box_means(typingctx, src, dst, sources, targets, at, to, channels, rows, columns):
    """Store the means over windows of ``rows x columns``, both odd, of `ROWS` rows of results, from number `to` on.

    `sources` and `targets` are tables of addresses of rows of samples and of results; the first sample of the first
    window is number `at`, and the next column is `channels` further on. `rows` and `columns` are literals.
    """
    window = rows.literal_value, columns.literal_value

    def codegen(context, builder, signature, args):
        step = args[6]
        means = _Means(context, builder, src.dtype, _lanes(src.dtype, True))
        kind, result = (context.get_data_type(pointer.dtype) for pointer in (src, dst))
        lines = []
        for place in _places(builder, kind, args[2], ROWS + window[0] - 1, args[4]):
            parts = means.load(place)
            for k in range(1, window[1]):
                more = means.load(builder.gep(place, [builder.mul(step, step.type(k))]))
                parts = [means.plus(a, b) for a, b in zip(parts, more)]
            lines.append(parts)
        places = _places(builder, result, args[3], ROWS, args[5])
        for sums, place in zip(means.sums_down(lines, window[0]), places):
            emitters.store_vector(builder, means.mean(sums, window[0] * window[1]), place)
        return context.get_dummy_value()

    return types.void(src, dst, _TABLE, _TABLE, _INTP, _INTP, _INTP, rows, columns), codegen


def _column_lanes(dtype):
    """Samples of a vector of sums down the columns: of floats two registers, if there are many."""
    wide = 2 if isinstance(dtype, types.Float) and processor().registers >= 32 else 1
    return wide * _lanes(dtype, True)


def takes_columns(dtype, columns, channels):
    """True if `store_means_of_columns` takes windows of so many columns and channels."""
    return (columns - 1) * channels <= _column_lanes(dtype)


class ColumnSums(types.Type):
    """Numba type of sums down the columns: for each of `ROWS` rows the parts of `_Means`."""

    def __init__(self, samples):
        self.samples, self.lanes = samples, _column_lanes(samples)
        super().__init__(f"ColumnSums({samples})")


@register_model(ColumnSums)
class _ColumnSumsModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        if isinstance(kind.samples, types.Float):
            parts, vector = 1, ir.VectorType(ir.DoubleType(), kind.lanes)
        else:
            parts, vector = 2, ir.VectorType(ir.IntType(2 * kind.samples.bitwidth), kind.lanes // 2)
        super().__init__(manager, kind, ir.ArrayType(ir.ArrayType(vector, parts), ROWS))


@intrinsic
def column_lanes(typingctx, samples):
    """Number of samples that `column_sums` takes."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _column_lanes(samples.dtype))

    return _INTP(samples), codegen


@intrinsic(prefer_literal=True)
def column_sums(typingctx, src, sources, at, rows):
    """Sums down the columns, from sample `at` on, of the first row of a window of so many, a literal, and the next."""
    result, taps = ColumnSums(src.dtype), rows.literal_value

    def codegen(context, builder, signature, args):
        means = _Means(context, builder, src.dtype, result.lanes)
        places = _places(builder, context.get_data_type(src.dtype), args[1], ROWS + taps - 1, args[2])
        value = ir.Constant(context.get_value_type(result), ir.Undefined)
        for row, parts in enumerate(means.sums_down([means.load(place) for place in places], taps)):
            for k, part in enumerate(parts):
                value = builder.insert_value(value, part, [row, k])
        return value

    return result(src, _TABLE, _INTP, rows), codegen


@intrinsic(prefer_literal=True)
def store_means_of_columns(typingctx, sums, following, dst, targets, to, channels, rows, columns):
    """`store_box_means` of sums down the columns and those that follow; `channels` is a literal too."""
    size, taps, apart = rows.literal_value * columns.literal_value, columns.literal_value, channels.literal_value

    def codegen(context, builder, signature, args):
        means = _Means(context, builder, sums.samples, sums.lanes)
        places = _places(builder, context.get_data_type(dst.dtype), args[3], ROWS, args[4])
        count = 1 if means.is_float else 2
        for row, place in enumerate(places):
            here, after = ([builder.extract_value(value, [row, k]) for k in range(count)] for value in args[:2])
            emitters.store_vector(builder, means.mean(means.sums_along(here, after, taps, apart), size), place)
        return context.get_dummy_value()

    return types.void(sums, following, dst, _TABLE, _INTP, channels, rows, columns), codegen


@intrinsic
def store_magnitudes_of_gradients(typingctx, src, dst, sources, targets, at, to, channels, outer, middle, scale):
    """Store ``hypot(across, down)`` as `store_box_means`: derivatives are smoothed by ``outer, middle, outer``.

    Each derivative is divided by `scale` and rounded to float32.
    """
    dtype, lanes = src.dtype, _lanes(src.dtype, False)
    is_float = isinstance(dtype, types.Float)

    def codegen(context, builder, signature, args):
        step, weights, divisor = args[6], args[7:9], args[9]
        gradient = (_GradientOfFloats if is_float else _GradientOfIntegers)(builder, dtype, lanes, weights, divisor)

        def load(place):
            loaded = emitters.load_lanes(context, builder, dtype, place, lanes)
            return (loaded,) if is_float else _halves(builder, loaded, dtype)

        kind, result = (context.get_data_type(pointer.dtype) for pointer in (src, dst))
        slopes, smooth = [], []
        for place in _places(builder, kind, args[2], ROWS + 2, args[4]):
            left, center, right = (load(builder.gep(place, [builder.mul(step, step.type(k))])) for k in range(3))
            slope, along = zip(*(gradient.line(*three) for three in zip(left, center, right)))
            slopes.append(slope)
            smooth.append(along)
        for q, place in enumerate(_places(builder, result, args[3], ROWS, args[5])):
            across = [gradient.smoothed(*three) for three in zip(*slopes[q : q + 3])]
            down = [gradient.minus(b, a) for a, b in zip(smooth[q], smooth[q + 2])]
            found = [gradient.magnitude(*both) for both in zip(across, down)]
            elements = found[0] if is_float else emitters.joined(builder, found[0], found[1], dtype.bitwidth)
            emitters.store_vector(builder, elements, place)
        return context.get_dummy_value()

    return types.void(src, dst, _TABLE, _TABLE, _INTP, _INTP, _INTP, _INTP, _INTP, types.float64), codegen


class _GradientOfFloats:
    """Derivatives of vectors of floats, and their magnitude.

    Samples are multiplied by a power of two, at most 1 / `scale`, so that no sum overflows before it is rescaled.
    """

    def __init__(self, builder, dtype, lanes, weights, scale):
        self.builder, real = builder, ir.FloatType()
        self.zero = _constant(ir.VectorType(real, lanes), 0.0)
        is_small = builder.fcmp_ordered("<=", scale, scale.type(4.0))
        power = builder.select(is_small, scale.type(1 / 4), scale.type(1 / 16))
        rest = builder.fdiv(scale.type(1.0), builder.fmul(scale, power))
        self.power, self.rest = (
            emitters.splat(builder, builder.fptrunc(number, real), lanes) for number in (power, rest)
        )
        self.outer, self.middle = (emitters.splat(builder, builder.sitofp(weight, real), lanes) for weight in weights)
        self.middle_of_samples = emitters.multiply(builder, self.middle, self.power)

    def line(self, left, center, right):
        """The difference of the ends, plus zero times the center, which a NaN there needs; and the line, smoothed."""
        scaled = emitters.multiply(self.builder, left, self.power)
        slope = emitters.fmuladd(self.builder, right, self.power, self.builder.fneg(scaled))
        ends = emitters.fmuladd(self.builder, right, self.power, scaled)
        smooth = emitters.multiply(self.builder, ends, self.outer)
        return (
            emitters.fmuladd(self.builder, center, self.zero, slope),
            emitters.fmuladd(self.builder, center, self.middle_of_samples, smooth),
        )

    def minus(self, a, b):
        return emitters.subtract(self.builder, a, b)

    def smoothed(self, before, at, after):
        """``outer * (before + after) + middle * at``"""
        ends = emitters.multiply(self.builder, emitters.add(self.builder, before, after), self.outer)
        return emitters.fmuladd(self.builder, at, self.middle, ends)

    def magnitude(self, across, down):
        a, b = (emitters.multiply(self.builder, value, self.rest) for value in (across, down))
        return emitters.magnitude(self.builder, a, b)


class _GradientOfIntegers:
    """The same of halves of integers; magnitudes are rounded and saturated, in the bits of the halves."""

    def __init__(self, builder, dtype, lanes, weights, scale):
        self.builder, self.dtype, bits = builder, dtype, 2 * dtype.bitwidth
        self.vector, self.real = (ir.VectorType(kind, lanes // 2) for kind in (ir.IntType(bits), ir.FloatType()))
        self.weights = [
            emitters.splat(builder, builder.trunc(weight, self.vector.element), lanes // 2) for weight in weights
        ]
        self.scale = emitters.splat(builder, builder.fptrunc(scale, self.real.element), lanes // 2)
        self.reciprocal = builder.fdiv(_constant(self.real, 1.0), self.scale)

    def line(self, left, center, right):
        """The difference of the ends, and the smoothed line."""
        return self.minus(right, left), self.smoothed(left, center, right)

    def minus(self, a, b):
        return self.builder.sub(a, b)

    def smoothed(self, before, at, after):
        """``outer * (before + after) + middle * at``"""
        ends = self.builder.mul(self.builder.add(before, after), self.weights[0])
        return self.builder.add(ends, self.builder.mul(at, self.weights[1]))

    def magnitude(self, across, down):
        if self.dtype.bitwidth == 8:
            return self._magnitude_of_bytes(across, down)
        a, b = (self._quotient(self.builder.sitofp(value, self.real)) for value in (across, down))
        return _rounded(self.builder, emitters.magnitude(self.builder, a, b, may_be_infinite=False), self.dtype)

    def _quotient(self, sums):
        """``sums / scale``, of whole numbers: by the reciprocal, and a correction, which makes it exact."""
        builder = self.builder
        if not processor().fma:
            return builder.fdiv(sums, self.scale)
        first = emitters.multiply(builder, sums, self.reciprocal)
        rest = emitters.fmuladd(builder, builder.fneg(first), self.scale, sums)
        return emitters.fmuladd(builder, rest, self.reciprocal, first)

    def _magnitude_of_bytes(self, across, down):
        """Sums of squares below 2**24 are exact in float32, and others are saturated.

        The root differs from the exact one by less than any half does, or is that half, if `scale` is 3, 4 or 16.
        """
        builder, lanes = self.builder, self.vector.count
        half = ir.VectorType(ir.FloatType(), lanes // 2)
        reciprocal = emitters.shuffle(builder, self.reciprocal, self.reciprocal, range(lanes // 2))
        words = []
        for first in (0, 4):
            # Of each 128 bits the first, or the last, four of both: instructions multiply and add pairs.
            order = [
                at + part * lanes
                for start in range(first, lanes, 8)
                for at in range(start, start + 4)
                for part in range(2)
            ]
            squares = _sums_of_squares(builder, emitters.shuffle(builder, across, down, order))
            root = emitters.square_root(builder, builder.sitofp(squares, half))
            rounded = _rounded(builder, emitters.multiply(builder, root, reciprocal), self.dtype)
            words.append(builder.bitcast(rounded, self.vector))
        order = [start + 2 * at + part * lanes for start in range(0, lanes, 8) for part in range(2) for at in range(4)]
        return emitters.shuffle(builder, words[0], words[1], order)


def _rounded(builder, found, dtype):
    """Nonnegative floats as integers, in 32 bits: rounded half to even, and saturated."""
    largest = _constant(found.type, float(2 ** (dtype.bitwidth - int(dtype.signed)) - 1))
    found = builder.select(builder.fcmp_ordered("<", found, largest), found, largest)
    rounded = emitters.add(builder, found, _constant(found.type, _ROUNDING))
    return builder.bitcast(rounded, ir.VectorType(ir.IntType(32), found.type.count))


def _sums_of_squares(builder, pairs):
    """``a * a + b * b`` of pairs of 16 bits, in 32 bits."""
    lanes = pairs.type.count
    wide = ir.VectorType(ir.IntType(32), lanes // 2)
    squares = []
    for first in range(2):
        one = builder.sext(emitters.shuffle(builder, pairs, pairs, range(first, lanes, 2)), wide)
        squares.append(builder.mul(one, one))
    return builder.add(*squares)
