"""OpenCV's depths: their numbers, and the combinations of source and result that each filter supports."""

from __future__ import annotations

import numpy as np

from fastconv._model.message_formatting import clipped
from fastconv.compat.cv2._arguments import NOT_IMPLEMENTED, error

CV_8U, CV_8S, CV_16U, CV_16S, CV_32S, CV_32F, CV_64F, CV_16F = range(8)

_TYPES = {CV_8U: "u1", CV_16U: "u2", CV_16S: "i2", CV_32S: "i4", CV_32F: "f4", CV_64F: "f8"}

# Supported types of the result, by kind of filter and type of the source.
_INTEGERS, _FLOATS = ("u1", "u2", "i2"), ("f4", "f8")
_ALL, _BOX = _INTEGERS + _FLOATS, (*_INTEGERS, "i4", *_FLOATS)
_RESULTS: dict[str, dict[str, tuple[str, ...]]] = {
    "filter": {"u1": _ALL, "u2": ("u2", *_FLOATS), "i2": ("i2", *_FLOATS), "f4": ("f4",), "f8": ("f8",)},
    "separable": {"u1": _ALL, "u2": _ALL, "i2": _ALL, "f4": _ALL, "f8": (*_INTEGERS, "f8")},
    "laplacian": dict.fromkeys(_ALL, _BOX),
    "box": {"u1": _BOX, "u2": _BOX, "i2": _BOX, "i4": _BOX, "f4": _ALL, "f8": _ALL},
}

# Bits of an OpenCV type that hold its depth; the higher ones hold the number of channels.
_DEPTH_BITS = 31


def result_type(source: np.dtype, depth: int, kind: str) -> np.dtype:
    """Return the type of the result for a `depth`; a negative one means that of the source."""
    name, results = source.str[1:], _RESULTS[kind]
    if name not in results:
        names = ", ".join(np.dtype(known).name for known in results)
        raise error(f"src must be of type {names}; got {clipped(source)}", NOT_IMPLEMENTED)
    wanted = name if depth < 0 else _TYPES.get(depth & _DEPTH_BITS)
    if wanted not in results[name]:
        numbers = ", ".join(str(number) for number, known in _TYPES.items() if known in results[name])
        raise error(
            f"ddepth must be -1 or one of {numbers} for a src of {clipped(source)}; got {depth}", NOT_IMPLEMENTED
        )
    return np.dtype(wanted)
