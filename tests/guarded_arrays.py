"""Arrays between inaccessible memory pages: an access beyond them ends the process.

Accesses that do not reach a page are detected too: reads beside an array return NaNs (bytes 255), and `untouched`
detects writes.
"""

import ctypes
import math
import mmap

import numpy as np

PAGE = mmap.PAGESIZE
# Bytes of address space, not of memory: enough for accesses that are wrong by a few lines of a picture.
_GUARD = 1 << 20
_NO_ACCESS = 0

try:
    _mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    _mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    available = True
except (AttributeError, OSError, TypeError):
    available = False  # no `mprotect` on this system

# Bytes beside an input, which are NaN as floats; and beside an output, where they must not change.
ASTRAY = 0xFF
CANARY = 0xA5
# Bytes on either side of an array that are filled and checked.
_MARGIN = 512


def _reach(shape, strides, itemsize):
    """Start and stop of an array's memory, in bytes from its first element."""
    spans = [(extent - 1) * stride for extent, stride in zip(shape, strides)]
    return sum(min(0, span) for span in spans), sum(max(0, span) for span in spans) + itemsize


class Region:
    """Bytes between inaccessible pages."""

    def __init__(self, size: int):
        self.size = -(-size // PAGE) * PAGE
        self._map = mmap.mmap(-1, self.size + 2 * _GUARD)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for guard in (address, address + _GUARD + self.size):
            if _mprotect(guard, _GUARD, _NO_ACCESS):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.bytes = np.frombuffer(self._map, np.uint8)[_GUARD : _GUARD + self.size]

    def place(self, shape, dtype, strides=None, upper=True, shift=0):
        """Place an array in this memory, `shift` bytes away from the upper or the lower guard.

        `strides` are in bytes, by default those of a contiguous array.
        """
        dtype = np.dtype(dtype)
        if strides is None:
            strides = np.empty(shape, np.uint8).strides
            strides = [stride * dtype.itemsize for stride in strides]
        low, high = _reach(shape, strides, dtype.itemsize)
        first = self.size - shift - high if upper else shift - low
        return np.ndarray(shape, dtype, self.bytes, first, strides)

    def around(self, array):
        """The bytes of `array` and `_MARGIN` bytes on either side."""
        low, high = _reach(array.shape, array.strides, array.itemsize)
        first = array.ctypes.data - self.bytes.ctypes.data
        return self.bytes[max(0, first + low - _MARGIN) : min(self.size, first + high + _MARGIN)]

    def filled(self, values, strides=None, upper=True, shift=0):
        """Return a copy of `values` in this memory, surrounded by `ASTRAY` bytes, and the bytes around it."""
        array = self.place(values.shape, values.dtype, strides, upper, shift)
        around = self.around(array)
        around[:] = ASTRAY
        array[...] = values
        return array, around

    def empty(self, shape, dtype, strides=None, upper=True, shift=0):
        """Return an array whose bytes, and those around it, are `CANARY`."""
        array = self.place(shape, dtype, strides, upper, shift)
        self.around(array)[:] = CANARY
        return array

    def untouched(self, array):
        """True if all bytes around `array` are still `CANARY`; fills the array itself with `CANARY`."""
        raw = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}.get(array.itemsize)
        if raw is None:
            array[...] = np.frombuffer(bytes([CANARY] * array.itemsize), array.dtype)[0]
        else:
            array.view(raw)[...] = np.frombuffer(bytes([CANARY] * array.itemsize), raw)[0]
        return bool((self.around(array) == CANARY).all())


# Arrays of more bytes than this have no gaps between elements: gaps can take eighty times as many bytes.
_LARGE = 1 << 19


def strides_of(random, shape, itemsize, kind):
    """Random strides in bytes for elements that do not overlap.

    The kinds are "contiguous", "permuted" axes, "stepped", "reversed", "padded" lines, "odd" distances without any
    alignment, and "any", a mixture of all but the last.
    """
    axes = list(range(len(shape)))[::-1]
    if kind in ("permuted", "any"):
        random.shuffle(axes)
    strides, reach = [0] * len(shape), itemsize
    small = math.prod(shape) * itemsize < _LARGE
    for place, axis in enumerate(axes):
        stride = reach
        if kind in ("stepped", "any") and small and random.random() < 0.5:
            stride *= random.choice((2, 3))
        if (kind == "padded" and place == 1) or (kind == "any" and random.random() < 0.3):
            stride += itemsize * random.randint(1, 9)
        if kind == "odd" and random.random() < 0.7:
            stride += random.choice((1, 3, itemsize + 1))
        sign = -1 if kind in ("reversed", "any") and random.random() < 0.6 else 1
        strides[axis] = sign * stride
        reach += stride * (shape[axis] - 1)
        if shape[axis] == 1 and random.random() < 0.3:
            strides[axis] = random.choice((0, 12_345_677, -8 * itemsize))  # not used, so any value is valid
    return strides
