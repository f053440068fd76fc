"""The vocabulary of the kernels: typed memory, register tiles, and arrays of any layout.

Numba has no type for a SIMD register, and its auto-vectoriser does not keep a tile of them in registers. Here a
`Tile` is ``rows x vectors`` registers of as many lanes as the processor has, a value like any other, and
`sweep` is what a convolution does with one. LLVM lowers a vector wider than the machine's by itself, so one
source serves every processor.

All loads and stores carry the alignment of the element, never that of the vector; `load` and `store` of single
elements carry none at all.
"""

from __future__ import annotations

import itertools

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, make_attribute_wrapper, models, register_model, unbox

from fastconv._simd import compilation

_INT32 = ir.IntType(32)
_INTP = types.intp
_numbers = itertools.count()


# ---------------------------------------------------------------------------------------------------- memory


@intrinsic
def advance(typingctx, pointer, elements):
    """``pointer + elements``"""

    def codegen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, _INTP), codegen


@intrinsic
def advance_bytes(typingctx, pointer, offset):
    """`pointer`, `offset` bytes further."""

    def codegen(context, builder, signature, args):
        return _offset(builder, *args)

    return pointer(pointer, _INTP), codegen


@intrinsic
def hidden(typingctx, pointer):
    """`pointer`, its origin hidden from LLVM, which then leaves the loop around it alone.

    For loops that run rarely: to vectorise them cost more compilation than all the rest.
    """

    def codegen(context, builder, signature, args):
        return _opaque(builder, args[0])

    return pointer(pointer), codegen


@intrinsic
def size(typingctx, pointer):
    """Bytes of one element."""
    itemsize = 1 if pointer.dtype is types.boolean else pointer.dtype.bitwidth // 8

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, itemsize)

    return _INTP(pointer), codegen


@intrinsic
def load(typingctx, pointer):
    """The element at `pointer`, of any alignment."""

    def codegen(context, builder, signature, args):
        return _from_memory(builder, pointer.dtype, builder.load(args[0], align=1))

    return pointer.dtype(pointer), codegen


@intrinsic(prefer_literal=True)
def load_any(typingctx, pointer, swapped):
    """The element at `pointer`, of any alignment, and of the other byte order if `swapped` (a literal)."""

    def codegen(context, builder, signature, args):
        stored = context.get_data_type(pointer.dtype)
        bits = context.get_abi_sizeof(stored) * 8
        if bits == 8 or not swapped.literal_value:
            return _from_memory(builder, pointer.dtype, builder.load(args[0], align=1))
        whole = ir.IntType(bits)
        raw = builder.load(builder.bitcast(args[0], whole.as_pointer()), align=1)
        return builder.bitcast(builder.bswap(raw), stored)

    return pointer.dtype(pointer, swapped), codegen


@intrinsic
def store(typingctx, pointer, value):
    """Store `value` at `pointer`, of any alignment, converted to its type: integers wrap, a bool is non-zero."""

    def codegen(context, builder, signature, args):
        converted = context.cast(builder, args[1], value, pointer.dtype)
        if pointer.dtype is types.boolean:
            converted = builder.zext(converted, ir.IntType(8))
        builder.store(converted, args[0], align=1)
        return context.get_dummy_value()

    return types.void(pointer, value), codegen


def _from_memory(builder, dtype, stored):
    """NumPy calls any byte but 0 true."""
    return builder.icmp_unsigned("!=", stored, stored.type(0)) if dtype is types.boolean else stored


@intrinsic
def integers_at(typingctx, address, index):
    """A pointer to integers: `index` of them behind `address`."""
    pointer = types.CPointer(_INTP)

    def codegen(context, builder, signature, args):
        return builder.gep(builder.inttoptr(args[0], context.get_value_type(pointer)), [args[1]])

    return pointer(_INTP, _INTP), codegen


@intrinsic
def pointer_to(typingctx, pointer, address):
    """A pointer like `pointer`, to what is at `address`."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[1], args[0].type)

    return pointer(pointer, _INTP), codegen


@intrinsic
def address_of(typingctx, pointer, index):
    """The address of ``pointer[index]``."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(builder.gep(args[0], [args[1]]), context.get_value_type(_INTP))

    return _INTP(pointer, _INTP), codegen


@intrinsic
def load_int32(typingctx, address):
    """The 32-bit integer at `address`."""

    def codegen(context, builder, signature, args):
        return builder.load(builder.inttoptr(args[0], _INT32.as_pointer()), align=4)

    return types.int32(_INTP), codegen


@intrinsic
def load_int64(typingctx, address):
    """The 64-bit integer at `address`."""

    def codegen(context, builder, signature, args):
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()), align=8)

    return types.int64(_INTP), codegen


@intrinsic
def call(typingctx, address, *arguments):
    """Call the leaf at `address` with integers and addresses."""
    kinds = arguments[0] if arguments and isinstance(arguments[0], tuple) else arguments
    count = len(kinds)

    def codegen(context, builder, signature, args):
        word = context.get_value_type(_INTP)
        leaf = ir.FunctionType(ir.VoidType(), [word] * count)
        function = builder.inttoptr(args[0], leaf.as_pointer())
        values = cgutils.unpack_tuple(builder, args[1], count)
        builder.call(function, values)
        return context.get_dummy_value()

    return types.void(_INTP, types.StarArgTuple.from_types([_INTP] * count)), codegen


@intrinsic
def fetch_add(typingctx, pointer, amount):
    """Add to the integer at `pointer`, atomically; return what was there.

    What this thread has stored before is seen by whoever sees the sum.
    """

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", args[0], args[1], "acq_rel")

    return _INTP(types.CPointer(_INTP), _INTP), codegen


@intrinsic
def look(typingctx, pointer):
    """The integer at `pointer`, which other threads change; and a pause, for a loop that waits for that."""

    def codegen(context, builder, signature, args):
        value = builder.load_atomic(args[0], "acquire", align=args[0].type.pointee.width // 8)
        if builder.module.triple.startswith("x86_64"):
            pause = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, pause, "llvm.x86.sse2.pause"), [])
        return value

    return _INTP(types.CPointer(_INTP)), codegen


# --------------------------------------------------------------------------------- the state of the floating unit


@intrinsic
def plain_floats(typingctx):
    """Have this thread round to nearest, keep denormal numbers and trap nothing; return what it did, for `as_before`.

    A library compiled with ``-ffast-math`` has the threads that load it flush denormal numbers to zero, and not those
    that were there before: which thread took a block would show.
    """

    def codegen(context, builder, signature, args):
        kept = context.get_constant(_INTP, 0)
        if _has_mxcsr(builder):
            word = cgutils.alloca_once(builder, _INT32)
            _mxcsr(builder, "stmxcsr", word)
            kept = builder.zext(builder.load(word), kept.type)
            builder.store(_INT32(0x1F80), word)
            _mxcsr(builder, "ldmxcsr", word)
        elif _has_fpcr(builder):
            kept = _fpcr(builder, "get", kept.type)
            _fpcr(builder, "set", ir.VoidType(), kept.type(0))
        return kept

    return _INTP(), codegen


@intrinsic
def as_before(typingctx, kept):
    """Bring back what `plain_floats` has returned."""

    def codegen(context, builder, signature, args):
        if _has_mxcsr(builder):
            word = cgutils.alloca_once(builder, _INT32)
            builder.store(builder.trunc(args[0], _INT32), word)
            _mxcsr(builder, "ldmxcsr", word)
        elif _has_fpcr(builder):
            _fpcr(builder, "set", ir.VoidType(), args[0])
        return context.get_dummy_value()

    return types.void(_INTP), codegen


def _has_mxcsr(builder):
    return builder.module.triple.startswith("x86_64")


def _has_fpcr(builder):
    return builder.module.triple.startswith(("aarch64", "arm64"))


def _mxcsr(builder, name, word):
    address = builder.bitcast(word, cgutils.voidptr_t)
    function = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t])
    builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.x86.sse.{name}"), [address])


def _fpcr(builder, name, result, *arguments):
    function = ir.FunctionType(result, [argument.type for argument in arguments])
    called = cgutils.get_or_insert_function(builder.module, function, f"llvm.aarch64.{name}.fpcr")
    return builder.call(called, arguments)


# ------------------------------------------------------------------------------------------------------- the GIL


@intrinsic
def release_gil(typingctx):
    """Release the GIL; return the thread's state, for `acquire_gil`."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(context.get_python_api(builder).save_thread(), context.get_value_type(_INTP))

    return _INTP(), codegen


@intrinsic
def acquire_gil(typingctx, state):
    """Take the GIL again."""

    def codegen(context, builder, signature, args):
        context.get_python_api(builder).restore_thread(builder.inttoptr(args[0], cgutils.voidptr_t))
        return context.get_dummy_value()

    return types.void(_INTP), codegen


# ------------------------------------------------------------------------------------------ vectors, in passing


def _common_lanes(source, destination):
    """Lanes of a vector of the wider of two types."""
    widest = max(_bits(source.dtype), _bits(destination.dtype))
    return max(2, 8 * compilation.processor().vector_bytes // widest)


def _bits(dtype):
    return 8 if dtype is types.boolean else dtype.bitwidth


@intrinsic
def common_lanes(typingctx, source, destination):
    """How many elements `copy_lanes` copies."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _common_lanes(source, destination))

    return _INTP(source, destination), codegen


@intrinsic(prefer_literal=True)
def copy_lanes(typingctx, source, destination, times, swapped):
    """Copy `times` times `common_lanes` elements, converted, from the other byte order if `swapped` (both literals)."""
    lanes = _common_lanes(source, destination)

    def codegen(context, builder, signature, args):
        for k in range(times.literal_value):
            src, dst = (builder.gep(pointer, [_INT32(k * lanes)]) for pointer in args[:2])
            loaded = load_lanes(context, builder, source.dtype, src, lanes, swapped.literal_value)
            _store_lanes(context, builder, source.dtype, loaded, destination.dtype, dst)
        return context.get_dummy_value()

    return types.void(source, destination, times, swapped), codegen


@intrinsic(prefer_literal=True)
def copy_lanes_reversed(typingctx, source, destination, swapped):
    """`copy_lanes`, once, in reverse order: the last of the elements is at `source`."""
    lanes = _common_lanes(source, destination)

    def codegen(context, builder, signature, args):
        first = builder.gep(args[0], [_INT32(1 - lanes)])
        loaded = load_lanes(context, builder, source.dtype, first, lanes, swapped.literal_value)
        loaded = shuffle(builder, loaded, loaded, range(lanes - 1, -1, -1))
        _store_lanes(context, builder, source.dtype, loaded, destination.dtype, args[1])
        return context.get_dummy_value()

    return types.void(source, destination, swapped), codegen


def _square(source, destination, large):
    """Elements of a side of a square that `copy_transposed` copies.

    They have `common_lanes` elements a side, but at most 32, or 16 where 32 are too many: squares of 64 x 64 bytes took
    14 us instead of 24 for 64 x 2048 bytes, and 0.9 s longer to compile.
    """
    return min(_common_lanes(source, destination), 32 if large else 16)


@intrinsic(prefer_literal=True)
def square(typingctx, source, destination, large):
    """Elements of a side of a square that `copy_transposed` copies."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, _square(source, destination, large.literal_value))

    return _INTP(source, destination, large), codegen


@intrinsic(prefer_literal=True)
def copy_transposed(typingctx, source, source_pitch, destination, destination_pitch, large, swapped):
    """Copy a `square`, transposed in registers, converted; pitches in bytes, `large` and `swapped` are literals.

    The square that follows along the pitch is asked for meanwhile: its lines lie in other pages, where no processor
    looks ahead by itself. Measured, 2048 x 2048 in Fortran order by 3x3 to 11x11: a tenth faster.
    """
    lanes = _square(source, destination, large.literal_value)

    def codegen(context, builder, signature, args):
        src, src_pitch, dst, dst_pitch, *_ = args
        lines = []
        for k in range(lanes):
            line = _offset(builder, src, builder.mul(src_pitch, src_pitch.type(k)))
            _prefetch(builder, _offset(builder, line, builder.mul(src_pitch, src_pitch.type(lanes))))
            lines.append(load_lanes(context, builder, source.dtype, line, lanes, swapped.literal_value))
        # Exchange the off-diagonal quarters of ever larger squares.
        half = 1
        while half < lanes:
            low = [lane if not lane & half else lane - half + lanes for lane in range(lanes)]
            high = [lane + half if not lane & half else lane + lanes for lane in range(lanes)]
            for k in range(lanes):
                if not k & half:
                    a, b = lines[k], lines[k + half]
                    lines[k], lines[k + half] = shuffle(builder, a, b, low), shuffle(builder, a, b, high)
            half *= 2
        for k, line in enumerate(lines):
            target = _offset(builder, dst, builder.mul(dst_pitch, dst_pitch.type(k)))
            _store_lanes(context, builder, source.dtype, line, destination.dtype, target)
        return context.get_dummy_value()

    return types.void(source, _INTP, destination, _INTP, large, swapped), codegen


def _prefetch(builder, pointer):
    """Ask for what is at `pointer`: a hint, which may point anywhere."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _INT32, _INT32, _INT32])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    read, keep, data = _INT32(0), _INT32(3), _INT32(1)
    builder.call(prefetch, [builder.bitcast(pointer, byte), read, keep, data])


def _offset(builder, pointer, offset):
    start = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(start, [offset]), pointer.type)


def shuffle(builder, a, b, lanes):
    mask = list(lanes)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT32, len(mask)), mask))


def load_lanes(context, builder, dtype, pointer, lanes, swapped=False):
    """A vector of elements at `pointer`, of the other byte order if `swapped`."""
    vector = ir.VectorType(context.get_data_type(dtype), lanes)
    bits = _bits(dtype)
    if not swapped or bits == 8:
        return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=1)
    whole = ir.VectorType(ir.IntType(bits), lanes)
    raw = builder.load(builder.bitcast(pointer, whole.as_pointer()), align=1)
    bswap = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(whole, [whole]), f"llvm.bswap.v{lanes}i{bits}"
    )
    return builder.bitcast(builder.call(bswap, [raw]), vector)


def _store_lanes(context, builder, source, value, destination, pointer):
    """Store a vector as loaded from memory of type `source` to memory of type `destination`."""
    value = converted(context, builder, value, source, destination)
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=1)


def converted(context, builder, value, source, destination):
    """A vector as loaded from memory of type `source`, as it is to be stored in memory of type `destination`."""
    target = ir.VectorType(context.get_data_type(destination), value.type.count)
    if source is types.boolean or destination is types.boolean:
        if isinstance(source, types.Float):
            truth = builder.fcmp_unordered("!=", value, ir.Constant(value.type, None))
        else:
            truth = builder.icmp_unsigned("!=", value, ir.Constant(value.type, None))
        whole = builder.zext(truth, ir.VectorType(ir.IntType(_bits(destination)), value.type.count))
        return builder.uitofp(whole, target) if isinstance(destination, types.Float) else whole
    if isinstance(source, types.Float):
        return builder.fpext(value, target) if _bits(source) < _bits(destination) else value
    if isinstance(destination, types.Float):
        return builder.sitofp(value, target) if source.signed else builder.uitofp(value, target)
    if _bits(source) < _bits(destination):
        return builder.sext(value, target) if source.signed else builder.zext(value, target)
    return builder.trunc(value, target) if _bits(source) > _bits(destination) else value


# ---------------------------------------------------------------------------------------------- register tiles


class Tile(types.Type):
    """Numba type of ``rows x vectors`` SIMD registers of `dtype`."""

    def __init__(self, dtype, rows, vectors):
        self.dtype, self.rows, self.vectors = dtype, rows, vectors
        self.lanes = max(1, 8 * compilation.processor().vector_bytes // dtype.bitwidth)
        super().__init__(f"Tile({dtype}, {rows}x{vectors}x{self.lanes})")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = dmm.lookup(fe_type.dtype).get_value_type()
        vector = ir.VectorType(element, fe_type.lanes)
        super().__init__(dmm, fe_type, ir.ArrayType(vector, fe_type.rows * fe_type.vectors))


@intrinsic(prefer_literal=True)
def zeros(typingctx, pointer, rows, vectors):
    """A tile of zeros, of the type that `pointer` points to, `vectors` wide: fewer if integers leave no room for them.

    A product of integers needs a register until it is added. Without one the tile goes through memory: 5x5 to 15x15 in
    16 bits took up to twice as long with three vectors as with two.
    """
    count = vectors.literal_value
    if isinstance(pointer.dtype, types.Integer):
        while rows.literal_value * count + min(rows.literal_value, count) + 2 > compilation.processor().registers:
            count -= 1
    tile = Tile(pointer.dtype, rows.literal_value, count)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(tile), None)

    return tile(pointer, rows, vectors), codegen


@intrinsic
def zero_row(typingctx, tile):
    """A tile of zeros with one row, as wide as `tile`."""
    row = Tile(tile.dtype, 1, tile.vectors)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(row), None)

    return row(tile), codegen


@intrinsic
def width(typingctx, tile):
    """Columns of a tile: vectors times lanes."""

    def codegen(context, builder, signature, args):
        return context.get_constant(_INTP, tile.vectors * tile.lanes)

    return _INTP(tile), codegen


@intrinsic(prefer_literal=True)
def sweep(typingctx, tile, first, last, i, x, x_pitch, step, weights, weights_pitch, taps):
    """Sweep row `i` of the input along the taps, into the rows `first` to `last` (exclusive) of a tile::

        tile[r, c] += sum over j of weights[i - r, j] * x[i, c + j * step]

    A vector of input is loaded once for all the rows, a weight once for all the vectors.
    """
    rows = range(first.literal_value, last.literal_value)
    once = isinstance(taps, types.IntegerLiteral) and taps.literal_value == 1

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _emit_sweep(registers, rows, x.dtype, once, *args[3:])
        return registers.value()

    return tile(tile, first, last, _INTP, x, _INTP, _INTP, weights, _INTP, _INTP), codegen


@intrinsic
def sweep_some(typingctx, tile, first, last, i, x, x_pitch, step, weights, weights_pitch, taps):
    """`sweep` for rows that are known only at run time."""

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
    """`sweep` into a tile of one row, with `group` taps at a time that lie `apart` taps from each other.

    ``apart * step`` is one vector: the input vector of one tap is its neighbour's for the tap `apart` further
    on. So ``vectors + group - 1`` loads feed ``vectors * group`` multiplications, where a single row would need a
    load for each. `taps` counts one tap of each group.
    """
    count = group.literal_value

    def codegen(context, builder, signature, args):
        registers = Registers(context, builder, tile, args[0])
        _, _, samples, step, weights, apart, taps = args
        pointers = [_opaque(builder, builder.gep(weights, [builder.mul(apart, apart.type(g))])) for g in range(count)]
        with _tap_loop(builder, samples, step, taps) as (samples, tap):
            splats = [registers.splat(builder.gep(pointer, [tap])) for pointer in pointers]
            for v in range(tile.vectors + count - 1):
                vector = registers.load(samples, v, x.dtype)
                for g in range(count):
                    if 0 <= v - g < tile.vectors:
                        registers.multiply_add(v - g, splats[g], vector)
        return registers.value()

    return tile(tile, group, x, _INTP, weights, _INTP, _INTP), codegen


@intrinsic
def store_rows(typingctx, tile, height, out, pitch):
    """Store the first `height` rows of a tile."""

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
def add_flaws(typingctx, total, tile):
    """Add zero times each row of `tile` to `total`, of one row: zeros stay zeros until something is not finite."""

    def codegen(context, builder, signature, args):
        totals, registers = (Registers(context, builder, *pair) for pair in zip((total, tile), args))
        nothing = ir.Constant(registers.vector, None)
        for k in range(tile.rows * tile.vectors):
            totals.multiply_add(k % tile.vectors, registers.held(k), nothing)
        return totals.value()

    return total(total, tile), codegen


class Registers:
    """The registers of a tile while code is emitted: stack slots, which LLVM promotes."""

    def __init__(self, context, builder, tile, value):
        self.builder, self.tile, self._context = builder, tile, context
        self._aggregate = context.get_value_type(tile)
        self.vector = self._aggregate.element
        self._alignment = tile.dtype.bitwidth // 8
        self._slots = [cgutils.alloca_once(builder, self.vector) for _ in range(tile.rows * tile.vectors)]
        for k, slot in enumerate(self._slots):
            builder.store(builder.extract_value(value, k), slot)

    def value(self):
        result = ir.Constant(self._aggregate, ir.Undefined)
        for k, slot in enumerate(self._slots):
            result = self.builder.insert_value(result, self.builder.load(slot), k)
        return result

    def held(self, k):
        return self.builder.load(self._slots[k])

    def load(self, pointer, v, dtype):
        """Vector `v` of what `pointer` points to, of type `dtype`, converted."""
        if dtype == self.tile.dtype:
            return self.builder.load(self._at(pointer, v), align=self._alignment)
        element = self.builder.gep(pointer, [_INT32(v * self.tile.lanes)])
        loaded = load_lanes(self._context, self.builder, dtype, element, self.tile.lanes)
        return converted(self._context, self.builder, loaded, dtype, self.tile.dtype)

    def store(self, k, pointer, v):
        self.builder.store(self.held(k), self._at(pointer, v), align=self._alignment)

    def _at(self, pointer, v):
        element = self.builder.gep(pointer, [_INT32(v * self.tile.lanes)])
        return self.builder.bitcast(element, self.vector.as_pointer())

    def splat(self, pointer):
        """The element at `pointer` in every lane."""
        scalar = self.builder.load(pointer)
        undefined = ir.Constant(self.vector, ir.Undefined)
        single = self.builder.insert_element(undefined, scalar, _INT32(0))
        mask = ir.Constant(ir.VectorType(_INT32, self.tile.lanes), None)
        return self.builder.shuffle_vector(single, undefined, mask)

    def multiply_add(self, k, a, b):
        """``register[k] += a * b``; fused where the processor has it, never a call into a library."""
        builder, slot = self.builder, self._slots[k]
        accumulator = builder.load(slot)
        if isinstance(self.tile.dtype, types.Float):
            result = fmuladd(builder, a, b, accumulator)
        else:
            result = builder.add(accumulator, builder.mul(a, b))
        builder.store(result, slot)


def fmuladd(builder, a, b, c):
    """``a * b + c``; fused where the processor has it, never a call into a library."""
    suffix = f"v{a.type.count}f{32 if isinstance(a.type.element, ir.FloatType) else 64}"
    kind = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.{suffix}"), [a, b, c])


def _emit_sweep(registers, rows, dtype, once, i, x, x_pitch, step, weights, weights_pitch, taps):
    builder = registers.builder
    x = builder.gep(x, [builder.mul(i, x_pitch)])
    lines = [builder.gep(weights, [builder.mul(builder.sub(i, i.type(row)), weights_pitch)]) for row in rows]
    if once:
        _emit_tap(registers, rows, dtype, x, lines)
        return
    lines = [_opaque(builder, line) for line in lines]
    with _tap_loop(builder, x, step, taps) as (samples, tap):
        _emit_tap(registers, rows, dtype, samples, [builder.gep(line, [tap]) for line in lines])


def _emit_tap(registers, rows, dtype, samples, weights):
    """One tap of each row. What there is less of is held, weights or samples, and the other comes in one by one."""
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
    """Loop over the taps: a pointer that walks along the samples, and the number of the tap."""

    def __init__(self, builder, x, step, taps):
        self._builder, self._step, self._taps = builder, step, taps
        self._x = _opaque(builder, x)

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
        # Unrolled four times, the loops compile half as fast and run no faster: a tap is 12 FMAs already.
        disable = builder.module.add_metadata([ir.MetaDataString(builder.module, "llvm.loop.unroll.disable")])
        label = ir.MetaDataString(builder.module, f"tap loop {next(_numbers)}")
        loop = builder.module.add_metadata([label, disable])
        loop.operands = [loop, disable]  # LLVM knows a loop's metadata by its referring to itself
        again.set_metadata("llvm.loop", loop)
        builder.position_at_end(self._end)


def _opaque(builder, pointer):
    """`pointer`, with its origin hidden from LLVM.

    Loop strength reduction would else keep one induction variable for each pointer of each sweep in the loop
    around them, a score of them, on the stack: measured, 100 cycles a sweep.
    """
    kind = ir.FunctionType(pointer.type, [pointer.type])
    return builder.asm(kind, "", "=r,0", [pointer], False)


# ------------------------------------------------------------------------------------------------ arrays, any


class View(types.Type):
    """Numba type of any NumPy array whatever: its address, extents and byte strides, and no dtype.

    One signature takes read-only, unaligned, byte-swapped and negatively strided arrays of every rank, so there
    is nothing that a dispatcher could mistake for another.
    """

    def __init__(self):
        super().__init__("View")


view = View()


@register_model(View)
class _ViewModel(models.StructModel):
    def __init__(self, dmm, fe_type):
        members = [("address", _INTP), ("extents", types.CPointer(_INTP)), ("strides", types.CPointer(_INTP))]
        super().__init__(dmm, fe_type, members)


make_attribute_wrapper(View, "address", "address")
make_attribute_wrapper(View, "extents", "extents")
make_attribute_wrapper(View, "strides", "strides")


@unbox(View)
def _unbox_view(typ, obj, c):
    """Read the fields that NumPy's C macros read: data, dimensions, strides, behind the object's head.

    The caller is `direct`, and passes arrays and nothing else: there is no check here.
    """
    builder = c.builder
    word = c.context.get_value_type(_INTP)
    fields = builder.bitcast(obj, word.as_pointer())
    head = object.__basicsize__ // (word.width // 8)
    data, dimensions, strides = (builder.load(builder.gep(fields, [_INT32(head + k)])) for k in (0, 2, 3))
    pointer = c.context.get_value_type(types.CPointer(_INTP))
    result = cgutils.create_struct_proxy(typ)(c.context, builder)
    result.address = data
    result.extents = builder.inttoptr(dimensions, pointer)
    result.strides = builder.inttoptr(strides, pointer)
    return NativeValue(result._getvalue())
