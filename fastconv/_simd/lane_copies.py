"""Intrinsics that copy elements a vector at a time: converted, byte-swapped, reversed, transposed, dealt out."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv._simd import emitters
from fastconv._simd.target import processor

_INT32 = ir.IntType(32)
_INTP = types.intp


def _common_lanes(source, destination):
    """Lanes of a vector of the wider type."""
    widest = max(emitters.bits_of(source.dtype), emitters.bits_of(destination.dtype))
    return max(2, processor().lanes(widest))


@intrinsic
def common_lanes(typingctx, source, destination):
    """Number of elements that `copy_lanes` copies at a time."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _common_lanes(source, destination))

    return _INTP(source, destination), codegen


@intrinsic(prefer_literal=True)
def copy_lanes(typingctx, source, destination, times, swapped):
    """Copy and convert ``times * common_lanes`` elements; `swapped` reverses their bytes (both are literals)."""
    lanes = _common_lanes(source, destination)

    def codegen(context, builder, signature, args):
        for k in range(times.literal_value):
            src, dst = (builder.gep(pointer, [_INT32(k * lanes)]) for pointer in args[:2])
            loaded = emitters.load_lanes(context, builder, source.dtype, src, lanes, swapped.literal_value)
            emitters.store_lanes(context, builder, source.dtype, loaded, destination.dtype, dst)
        return context.get_dummy_value()

    return types.void(source, destination, times, swapped), codegen


@intrinsic(prefer_literal=True)
def copy_lanes_reversed(typingctx, source, destination, swapped):
    """Copy `common_lanes` elements in reverse order, as `copy_lanes`; `source` points to the last of them."""
    lanes = _common_lanes(source, destination)

    def codegen(context, builder, signature, args):
        first = builder.gep(args[0], [_INT32(1 - lanes)])
        loaded = emitters.load_lanes(context, builder, source.dtype, first, lanes, swapped.literal_value)
        loaded = emitters.shuffle(builder, loaded, loaded, range(lanes - 1, -1, -1))
        emitters.store_lanes(context, builder, source.dtype, loaded, destination.dtype, args[1])
        return context.get_dummy_value()

    return types.void(source, destination, swapped), codegen


@intrinsic(prefer_literal=True)
def copy_every(typingctx, source, destination, step, first):
    """Copy `common_lanes` elements from number `first` on, `step` apart, as `copy_lanes`; `step`, `first` are literals.

    Reads ``step * common_lanes`` elements.
    """
    lanes = _common_lanes(source, destination)

    def codegen(context, builder, signature, args):
        apart, start = step.literal_value, first.literal_value
        loaded = emitters.load_lanes(context, builder, source.dtype, args[0], lanes * apart)
        loaded = emitters.shuffle(builder, loaded, loaded, range(start, lanes * apart, apart))
        emitters.store_lanes(context, builder, source.dtype, loaded, destination.dtype, args[1])
        return context.get_dummy_value()

    return types.void(source, destination, step, first), codegen


def _transpose_side(source, destination, large):
    """Side of the square that `copy_transposed` copies: `common_lanes`, but at most 32, or 16 if not `large`.

    Squares of 64 x 64 bytes took 14 us instead of 24 for 64 x 2048 bytes, but 0.9 s longer to compile.
    """
    return min(_common_lanes(source, destination), 32 if large else 16)


@intrinsic(prefer_literal=True)
def transpose_side(typingctx, source, destination, large):
    """Side, in elements, of the square that `copy_transposed` copies."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _transpose_side(source, destination, large.literal_value))

    return _INTP(source, destination, large), codegen


@intrinsic(prefer_literal=True)
def copy_transposed(typingctx, source, source_pitch, destination, destination_pitch, large, swapped):
    """Copy a square of `transpose_side`, transposed in registers and converted; pitches are in bytes.

    `large` and `swapped` are literals. The next square along the pitch is prefetched: its lines are in other pages,
    beyond the reach of the hardware prefetcher. This made 2048 x 2048 in Fortran order by 3x3 to 11x11 a tenth faster.
    """
    lanes = _transpose_side(source, destination, large.literal_value)

    def codegen(context, builder, signature, args):
        src, src_pitch, dst, dst_pitch, *_ = args
        lines = []
        for k in range(lanes):
            line = emitters.offset_bytes(builder, src, builder.mul(src_pitch, src_pitch.type(k)))
            emitters.prefetch(
                builder, emitters.offset_bytes(builder, line, builder.mul(src_pitch, src_pitch.type(lanes)))
            )
            lines.append(emitters.load_lanes(context, builder, source.dtype, line, lanes, swapped.literal_value))
        # Swap the off-diagonal quarters of squares of 2, 4, 8, ... lanes a side.
        half = 1
        while half < lanes:
            low = [lane if not lane & half else lane - half + lanes for lane in range(lanes)]
            high = [lane + half if not lane & half else lane + lanes for lane in range(lanes)]
            for k in range(lanes):
                if not k & half:
                    a, b = lines[k], lines[k + half]
                    lines[k], lines[k + half] = (
                        emitters.shuffle(builder, a, b, low),
                        emitters.shuffle(builder, a, b, high),
                    )
            half *= 2
        for k, line in enumerate(lines):
            target = emitters.offset_bytes(builder, dst, builder.mul(dst_pitch, dst_pitch.type(k)))
            emitters.store_lanes(context, builder, source.dtype, line, destination.dtype, target)
        return context.get_dummy_value()

    return types.void(source, _INTP, destination, _INTP, large, swapped), codegen


@intrinsic(prefer_literal=True)
def interleave_lanes(typingctx, source, step, destination, count):
    """Copy and convert `common_lanes` elements of each of `count` (a literal) lines, `step` bytes apart.

    Element `lane` of line `k` becomes number ``lane * count + k``.
    """
    lanes, lines = _common_lanes(source, destination), count.literal_value

    def codegen(context, builder, signature, args):
        src, step, dst, _ = args
        vectors = []
        for k in range(lines):
            line = emitters.offset_bytes(builder, src, builder.mul(step, step.type(k)))
            vectors.append(emitters.load_lanes(context, builder, source.dtype, line, lanes))
        for first in range(0, lines * lanes, lanes):
            places = [divmod(place, lines) for place in range(first, first + lanes)]
            merged = vectors[0]
            for k in range(1, lines):
                here = [lane if k > 1 else element for lane, (element, _) in enumerate(places)]
                chosen = [
                    lanes + element if line == k else own for own, (element, line) in zip(here, places, strict=True)
                ]
                merged = emitters.shuffle(builder, merged, vectors[k], chosen)
            target = builder.gep(dst, [_INT32(first)])
            emitters.store_lanes(context, builder, source.dtype, merged, destination.dtype, target)
        return context.get_dummy_value()

    return types.void(source, _INTP, destination, count), codegen


@intrinsic(prefer_literal=True)
def separate_lanes(typingctx, source, destination, pitch, count):
    """Copy and convert ``count * common_lanes`` elements to `count` (a literal) lines, `pitch` elements apart.

    The inverse of `interleave_lanes`: element number ``lane * count + k`` becomes `lane` of line `k`.
    """
    lanes, lines = _common_lanes(source, destination), count.literal_value

    def codegen(context, builder, signature, args):
        src, dst, pitch, _ = args
        vectors = [
            emitters.load_lanes(context, builder, source.dtype, builder.gep(src, [_INT32(k * lanes)]), lanes)
            for k in range(lines)
        ]
        for k in range(lines):
            places = [divmod(lane * lines + k, lanes) for lane in range(lanes)]
            merged = emitters.shuffle(builder, vectors[0], vectors[0], [place for _, place in places])
            for v in range(1, lines):
                chosen = [lanes + place if held == v else lane for lane, (held, place) in enumerate(places)]
                merged = emitters.shuffle(builder, merged, vectors[v], chosen)
            target = builder.gep(dst, [builder.mul(pitch, pitch.type(k))])
            emitters.store_lanes(context, builder, source.dtype, merged, destination.dtype, target)
        return context.get_dummy_value()

    return types.void(source, destination, _INTP, count), codegen


@intrinsic(prefer_literal=True)
def deal_lanes(typingctx, source, destination, pitch, count, ahead):
    """Deal out ``count * common_lanes`` elements: number ``lane * count + k`` becomes `lane` of vector `k`.

    Vector `k` is stored at ``destination + k * pitch``. `count` is an odd literal. Each lane of the vectors of `source`
    then has an element for each vector of the destination, rotated by a number that depends on the lane: they are
    turned back by 1, 2, 4, ... places where the lane's number has that bit, and the lanes of each vector permuted at
    the end. The same number of elements `ahead` bytes from them is prefetched.
    """
    lanes, lines = _common_lanes(source, destination), count.literal_value
    inverse = pow(lanes, -1, lines) if lines > 1 else 0
    turns = [lane * inverse % lines for lane in range(lanes)]

    def codegen(context, builder, signature, args):
        src, dst, pitch, _, ahead = args
        item = emitters.bits_of(source.dtype) // 8
        later = emitters.offset_bytes(builder, src, ahead)
        for offset in range(0, lines * lanes * item, 64):
            emitters.prefetch(builder, emitters.offset_bytes(builder, later, _INT32(offset)))
        vectors = [
            emitters.load_lanes(context, builder, source.dtype, builder.gep(src, [_INT32(k * lanes)]), lanes)
            for k in range(lines)
        ]
        bit = 1
        while bit < lines:
            chosen = [lane if turns[lane] & bit == 0 else lane + lanes for lane in range(lanes)]
            vectors = [emitters.shuffle(builder, vectors[k], vectors[k - bit], chosen) for k in range(lines)]
            bit *= 2
        for k in range(lines):
            vector = vectors[k * inverse % lines]
            ordered = [(lane * lines + k) % lanes for lane in range(lanes)]
            target = builder.gep(dst, [builder.mul(pitch, pitch.type(k))])
            line = emitters.shuffle(builder, vector, vector, ordered)
            emitters.store_lanes(context, builder, source.dtype, line, destination.dtype, target)
        return context.get_dummy_value()

    return types.void(source, destination, _INTP, count, _INTP), codegen


# Operations of `combine_lanes` on an element and the source converted to its type, a and b: a + b, b * b, a + b * b,
# and the root of that.
ADD, SQUARE, ADD_SQUARE, ROOT = range(4)


@intrinsic(prefer_literal=True)
def combine_lanes(typingctx, source, destination, operation, single):
    """Replace `common_lanes` elements of `destination`, or one if `single`, by a combination of them and `source`.

    `operation` and `single` are literals. Only `ADD` is for integers. Every product is rounded.
    """
    lanes = 1 if single.literal_value else _common_lanes(source, destination)
    code = operation.literal_value

    def codegen(context, builder, signature, args):
        loaded = emitters.load_lanes(context, builder, source.dtype, args[0], lanes)
        value = emitters.convert_lanes(context, builder, loaded, source.dtype, destination.dtype)
        if code != ADD:
            value = emitters.multiply(builder, value, value)
        if code != SQUARE:
            before = emitters.load_lanes(context, builder, destination.dtype, args[1], lanes)
            floats = isinstance(destination.dtype, types.Float)
            value = emitters.add(builder, before, value) if floats else builder.add(before, value)
        if code == ROOT:
            value = emitters.square_root(builder, value)
        emitters.store_lanes(context, builder, destination.dtype, value, destination.dtype, args[1])
        return context.get_dummy_value()

    return types.void(source, destination, operation, single), codegen


@intrinsic(prefer_literal=True)
def store_magnitudes(typingctx, a, b, out, single):
    """Store ``sqrt(a**2 + b**2)`` of `common_lanes` float32, or of one if `single`, a literal.

    Computed in float64, where no square overflows or vanishes.
    """
    lanes = 1 if single.literal_value else _common_lanes(a, out)

    def codegen(context, builder, signature, args):
        x, y = (emitters.load_lanes(context, builder, types.float32, pointer, lanes) for pointer in args[:2])
        root = emitters.magnitude(builder, x, y)
        emitters.store_vector(builder, root, args[2])
        return context.get_dummy_value()

    return types.void(a, b, out, single), codegen
