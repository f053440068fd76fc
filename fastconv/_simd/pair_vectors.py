"""Intrinsics for pairs of a sample times its weight and that weight: pack, weigh, divide.

A missing sample is the pair of two zeros. Sums of pairs are divided into a result: see `divide_pairs`. The two numbers
of a pair lie side by side, or, `apart`, in two arrays.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv._simd import emitters
from fastconv._simd.pixel_vectors import saturated
from fastconv._simd.target import processor

_INT32 = ir.IntType(32)
_INTP = types.intp

# Parameters of `divide_pairs`, in the type of the sums: the sum of the taps, that of their sizes, the sign that makes a
# sum of weights one of sizes, the largest such sum at which too little is known, the result there; of a picture the
# scale and the offset.
TOTAL, SIZE, SIGN, LEAST, VALUE, SCALE, OFFSET, PARAMETERS = range(8)


def _lanes(pairs) -> int:
    return max(2, processor().lanes(pairs.dtype.bitwidth))


@intrinsic
def pair_lanes(typingctx, pairs):
    """Number of pairs that a call takes at a time."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _lanes(pairs))

    return _INTP(pairs), codegen


@intrinsic(prefer_literal=True)
def pack_pairs(typingctx, source, pairs, many, swapped, ignores_nan):
    """Convert `pair_lanes` samples if `many`, else one, to pairs of weight 1, of NaNs 0; three literals."""

    def codegen(context, builder, signature, args):
        lanes = _lanes(pairs) if many.literal_value else 1
        parts = _packed(context, builder, source, pairs, args[0], lanes, swapped.literal_value, ignores_nan)
        _store(builder, _interleaved(builder, *parts), args[1])
        return context.get_dummy_value()

    return types.void(source, pairs, many, swapped, ignores_nan), codegen


@intrinsic(prefer_literal=True)
def pack_apart(typingctx, source, samples, weights, many, swapped, ignores_nan):
    """`pack_pairs`, with samples and weights in two arrays."""

    def codegen(context, builder, signature, args):
        lanes = _lanes(samples) if many.literal_value else 1
        parts = _packed(context, builder, source, samples, args[0], lanes, swapped.literal_value, ignores_nan)
        for part, pointer in zip(parts, args[1:3]):
            _store(builder, part, pointer)
        return context.get_dummy_value()

    return types.void(source, samples, weights, many, swapped, ignores_nan), codegen


def _packed(context, builder, source, target, pointer, lanes, swapped, ignores_nan):
    """Samples at `pointer`, and their weights."""
    loaded = emitters.load_lanes(context, builder, source.dtype, pointer, lanes, swapped)
    values = emitters.convert_lanes(context, builder, loaded, source.dtype, target.dtype)
    zero, weights = ir.Constant(values.type, None), ir.Constant(values.type, [1.0] * lanes)
    if ignores_nan.literal_value and isinstance(source.dtype, types.Float):
        missing = builder.fcmp_unordered("uno", values, values)
        return tuple(builder.select(missing, zero, part) for part in (values, weights))
    return values, weights


@intrinsic(prefer_literal=True)
def weigh_pairs(typingctx, weights, pairs, many):
    """Multiply `pair_lanes` pairs if `many` (a literal), else one, by weights; a weight of 0 makes them zeros."""

    def codegen(context, builder, signature, args):
        lanes = _lanes(pairs) if many.literal_value else 1
        factors = _weights(context, builder, weights, pairs, args[0], lanes)
        _weigh(context, builder, _interleaved(builder, factors, factors), pairs, args[1])
        return context.get_dummy_value()

    return types.void(weights, pairs, many), codegen


@intrinsic(prefer_literal=True)
def weigh_apart(typingctx, weights, samples, known, many):
    """`weigh_pairs`, with samples and weights in two arrays."""

    def codegen(context, builder, signature, args):
        lanes = _lanes(samples) if many.literal_value else 1
        factors = _weights(context, builder, weights, samples, args[0], lanes)
        for pointer in args[1:3]:
            _weigh(context, builder, factors, samples, pointer)
        return context.get_dummy_value()

    return types.void(weights, samples, known, many), codegen


def _weights(context, builder, weights, target, pointer, lanes):
    loaded = emitters.load_lanes(context, builder, weights.dtype, pointer, lanes)
    return emitters.convert_lanes(context, builder, loaded, weights.dtype, target.dtype)


def _weigh(context, builder, factors, target, pointer):
    """Multiply what is at `pointer`, in place."""
    products = builder.fmul(emitters.load_lanes(context, builder, target.dtype, pointer, factors.type.count), factors)
    zero = ir.Constant(products.type, None)
    _store(builder, builder.select(builder.fcmp_ordered("==", factors, zero), zero, products), pointer)


@intrinsic(prefer_literal=True)
def divide_pairs(typingctx, sums, sizes, out, shares, parameters, many, apart, normalize, rescales, wants_shares):
    """Divide `pair_lanes` sums of pairs if `many`, else one, into results and, if wanted, shares; five literals.

    With ``(n, d)`` at `sums` and the weight ``s`` of the pair at `sizes`, times its sign; or, `apart`, with ``n`` at
    `sums` and ``d``, which is ``s`` but for its sign, at `sizes`::

        out = n / d * TOTAL         if `normalize`, else  n / shares
        shares = s / SIZE

    and `VALUE` unless ``s > LEAST``. If it `rescales`, results are divided by `SCALE` and moved by `OFFSET`; integers
    are rounded and saturated.
    """
    lanes = _lanes(sums) if many.literal_value else 1

    def codegen(context, builder, signature, args):
        def parameter(index):
            value = builder.load(builder.gep(args[4], [_INT32(index)]))
            value.set_metadata("invariant.load", builder.module.add_metadata([]))
            return emitters.splat(builder, value, lanes)

        numbers = lanes if apart.literal_value else 2 * lanes
        pairs, others = (emitters.load_lanes(context, builder, sums.dtype, args[k], numbers) for k in (0, 1))
        if apart.literal_value:
            found, weights, known = pairs, others, others
        else:
            found = emitters.shuffle(builder, pairs, pairs, range(0, 2 * lanes, 2))
            weights, known = (
                emitters.shuffle(builder, vector, vector, range(1, 2 * lanes, 2)) for vector in (pairs, others)
            )
        known = builder.fmul(known, parameter(SIGN))
        share = builder.fdiv(known, parameter(SIZE))
        if normalize.literal_value:
            result = builder.fmul(builder.fdiv(found, weights), parameter(TOTAL))
        else:
            result = builder.fdiv(found, share)
        if rescales.literal_value:
            result = builder.fadd(builder.fdiv(result, parameter(SCALE)), parameter(OFFSET))
        is_known = builder.fcmp_ordered(">", known, parameter(LEAST))
        result = builder.select(is_known, result, parameter(VALUE))
        if isinstance(out.dtype, types.Integer):
            _store(builder, saturated(builder, result, out.dtype, fits=False), args[2])
        else:
            emitters.store_lanes(context, builder, sums.dtype, result, out.dtype, args[2])
        if wants_shares.literal_value:
            _store(builder, share, args[3])
        return context.get_dummy_value()

    return types.void(sums, sizes, out, shares, parameters, many, apart, normalize, rescales, wants_shares), codegen


@intrinsic
def scale_lanes(typingctx, numbers, factor):
    """Multiply a register of numbers in place by a factor, given by the bits of a float64."""
    lanes = processor().lanes(numbers.dtype.bitwidth)

    def codegen(context, builder, signature, args):
        factor = builder.bitcast(args[1], ir.DoubleType())
        number = context.cast(builder, factor, types.float64, numbers.dtype)
        values = emitters.load_lanes(context, builder, numbers.dtype, args[0], lanes)
        _store(builder, builder.fmul(values, emitters.splat(builder, number, lanes)), args[0])
        return context.get_dummy_value()

    return types.void(numbers, _INTP), codegen


def _interleaved(builder, a, b):
    """The lanes of two vectors in turn."""
    lanes = a.type.count
    return emitters.shuffle(builder, a, b, [lane + side for lane in range(lanes) for side in (0, lanes)])


def _store(builder, vector, pointer):
    builder.store(vector, builder.bitcast(pointer, vector.type.as_pointer()), align=1)
