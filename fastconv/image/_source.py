"""A picture or an array of pixels, opened to be filtered, and results made of the same kind."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastconv._model.arguments import as_array, as_axes, as_fill_value, as_integer, check_no_fill_value
from fastconv._model.checks import as_out, overlaps_itself
from fastconv._model.geometry import BOUNDARIES, Run, runs, span
from fastconv._model.guarantees import FOOTPRINT
from fastconv._model.message_formatting import clipped, shown
from fastconv._model.missing_data import as_missing, refuse_unused
from fastconv._model.passed_exceptions import passed
from fastconv._model.separability import Separable
from fastconv._model.steps import usual_steps
from fastconv._planning.missing import missing_calls, missing_plans
from fastconv._planning.pictures import picture_plans
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.cpu_limits import check_variable_once
from fastconv._runtime.interruptible_numpy import chunk_slices, converted, copy
from fastconv._runtime.memory_maps import may_share_memory
from fastconv.image._linear_light import WHITES, decoded, decoded_value, encode
from fastconv.image._options import Options
from fastconv.image._pillow_modes import Pixels, saturated

_ENGINES_TAKE = tuple(np.dtype(name) for name in ("uint8", "uint16", "int16", "int32", "float32", "float64"))
# Other types, by the type in which their pixels are passed to an engine.
_PASSED_AS = {
    np.dtype(name): np.dtype(passed)
    for name, passed in {
        "bool": "float32",
        "int8": "int16",
        "float16": "float32",
        "uint32": "float64",
        "int64": "float64",
        "uint64": "float64",
    }.items()
}
TYPES = (*_ENGINES_TAKE, *_PASSED_AS)
_SUMS = {dtype: np.result_type(dtype, np.float32) for dtype in _ENGINES_TAKE}
# A sum of taps is positive if it is more than the rounding errors of float32 taps.
_ROUNDING = 1e-6


def native_of(array: NDArray[Any]) -> np.dtype:
    """The type of an array in native byte order."""
    return array.dtype if array.dtype.isnative else array.dtype.newbyteorder("=")


class Result(NamedTuple):
    """What a convolution gives: values, and where pixels may be missing the known shares of the taps."""

    values: NDArray[Any]
    shares: NDArray[Any] | None = None

    def known_with(self, other: Result) -> Result:
        """The same values, with the smaller shares of both results."""
        if self.shares is not None and other.shares is not None:
            for chunk in chunk_slices(self.shares.shape):
                np.minimum(self.shares[chunk], other.shares[chunk], out=self.shares[chunk])
        return self


class Source(NamedTuple):
    """A picture, or an array of pixels, opened to be filtered."""

    given: NDArray[Any]  # the pixels
    array: NDArray[Any]  # the same in a type that engines take, or as linear light
    pixels: Pixels | None  # of a Pillow picture
    known: NDArray[Any] | None  # where a masked array is not masked
    is_masked: bool
    axes: tuple[int, ...]
    has_alpha: bool  # the last channel
    may_miss: bool
    options: Options
    spans: tuple[tuple[int, int], ...] | None = None  # of the results along each axis, as in `Steps`
    decided: Any = None  # how the results of the whole picture are computed, where this is a part of it

    @classmethod
    def open(cls, image: Any, options: Options, count: int = 2, name: str = "image") -> Source:
        """Open a picture, to filter it along `count` axes.

        Raises
        ------
        ValueError, TypeError
            For a picture, or options of it, that `filter` does not take.
        """
        check_variable_once()
        if issubclass(type(image), (str, os.PathLike)):
            raise TypeError(f"{name} must be a Pillow picture or an array, not a path; open it with PIL.Image.open")
        pixels, known, masked = Pixels.of_any(image, name), None, False
        if pixels is None:
            given, known, masked = missing_calls.unmasked(image, name)
            _check_pixels(given, name)
            axes = _as_picture_axes(options.axes, given, count, name)
            has_alpha = _as_alpha_channel(options.alpha_channel, given, axes)
            if options.alpha == "filter" and not has_alpha:
                raise ValueError("alpha='filter' is for Pillow pictures, and for arrays with an alpha_channel")
        else:
            given, axes, has_alpha = pixels.array, (0, 1), pixels.has_alpha
            for name in ("axes", "out", "alpha_channel"):
                if getattr(options, name) is not None:
                    raise TypeError(f"{name} is only for arrays; image is a Pillow picture")
        may_miss = options.weights is not None or masked or options.nan == "ignore"
        if not may_miss:
            refuse_unused(options.min_weight, options.return_weight, True, options.missing_value)
        if may_miss and has_alpha and options.alpha == "filter":
            raise ValueError("alpha must be 'keep' or 'auto' where pixels may be missing; got 'filter'")
        array = given
        native = native_of(given)
        if native in _PASSED_AS:
            _pins = pinned(given)
            array = converted(given, _PASSED_AS[native])
        if options.linear:
            _pins = pinned(given)
            array = _as_linear_light(array, native, pixels, has_alpha)
        return cls(given, array, pixels, known, masked, axes, has_alpha, may_miss, options)

    @property
    def dtype(self) -> np.dtype:
        """The type of the pixels, in native byte order; bools give floats."""
        native = native_of(self.given)
        return np.dtype(np.float32) if native.kind == "b" else native

    @property
    def sums(self) -> np.dtype:
        """The type of the sums."""
        return _SUMS[native_of(self.array)]

    @property
    def is_plain(self) -> bool:
        """True if engines take the pixels as they are, and give those of the result."""
        return self.array is self.given

    def shape_of_results(self, extents: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the results of a kernel."""
        shape = list(self.array.shape)
        for axis, (length, _) in zip(self.axes, self._spans(extents)):
            shape[axis] = length
        return tuple(shape)

    def _spans(self, extents: tuple[int, ...]) -> list[tuple[int, int]]:
        """Length and start of the results of a kernel along each axis."""
        mode, shape = self.options.mode, self.array.shape
        found = [span(mode, shape[axis], taps) for axis, taps in zip(self.axes, extents)]
        return [*(self.spans or found)]

    def may_be_cut(self) -> bool:
        """Whether results of small kernels may be computed strip by strip, along the first axis."""
        near = self.options.boundary != "wrap" and self.axes[0] == 0 and self.array.shape[0] >= 64
        return near and not self.may_miss and self.spans is None and self.options.method == "auto"

    def gives_pixels(self) -> bool:
        """Whether results are of the type of the pixels, which engines take, none missing, by any method."""
        options = self.options
        is_same = options.dtype is None or options.dtype == self.dtype
        return self.is_plain and is_same and not self.may_miss and self.spans is None and options.method == "auto"

    def strip(self, first: int, stop: int, extents: tuple[int, ...]) -> Source:
        """The rows under some rows of the results, which it has as `spans`; there are as many as taps, at least."""
        spans = self._spans(extents)
        start = spans[0][1] + first
        low = max(0, min(start - extents[0] + 1, self.array.shape[0] - 2 * extents[0]))
        part = self.array[low : start + stop - first]
        return self._replace(array=part, spans=((stop - first, start - low), *spans[1:]))

    def check_valid(self, extents: tuple[int, ...], name: str = "kernel") -> None:
        """Raise a ValueError for a kernel that is larger than the picture in mode 'valid'."""
        if self.options.mode != "valid":
            return
        room = tuple(self.array.shape[axis] for axis in self.axes)
        if any(extent > most for extent, most in zip(extents, room)):
            raise ValueError(f"{name} must be no larger than image in mode 'valid'; got {extents} and {room}")

    def premultiplies(self, kernel: NDArray[Any] | Separable, scale: float = 1.0) -> bool:
        """Whether colours are weighted by alpha in a convolution with this kernel."""
        alpha = self.options.alpha
        if not self.has_alpha or alpha != "auto" or self.may_miss:
            return self.has_alpha and alpha == "filter"
        total, size = _sums_of(kernel)
        return bool(total * np.sign(scale) > _ROUNDING * size)

    def gain(self, kernel: NDArray[Any] | Separable, scale: float) -> float:
        """How many times as bright a flat picture becomes: 1 for a blur."""
        total, size = _sums_of(kernel)
        with np.errstate(all="ignore"):
            gain = float(np.float64(total) / scale)
        return 1.0 if abs(total - scale) <= _ROUNDING * size else gain

    def convolved(
        self,
        kernel: NDArray[Any] | Separable,
        dtype: np.dtype,
        *,
        flip: bool = True,
        scale: float = 1.0,
        offset: float = 0.0,
        premultiplied: bool = False,
        normalize: bool = True,
        out: NDArray[Any] | None = None,
        missing_value: Any = None,
    ) -> Result:
        """Convolve the pixels, to an array of `dtype`: `out`, which shares no memory with them, or a new one."""
        _pins = pinned(self.array)
        found = self.plan(kernel, dtype, flip, scale, offset, premultiplied, normalize, missing_value)
        if isinstance(found, missing_plans.MissingPlan):
            return self._convolved_known(found)
        result = np.empty(found.shape, dtype) if out is None else out
        found(self.array, result, self.options.workers)
        return Result(result)

    def plan(
        self,
        kernel: NDArray[Any] | Separable,
        dtype: np.dtype,
        flip: bool,
        scale: float,
        offset: float,
        premultiplied: bool,
        normalize: bool,
        missing_value: Any = None,
    ) -> picture_plans.Picture | missing_plans.MissingPlan:
        """The plan of a convolution of the pixels."""
        options = self.options
        request = picture_plans.Request(
            x_dtype=self.array.dtype,
            x_shape=self.array.shape,
            dtype=dtype,
            mode=options.mode,
            axes=self.axes,
            boundary=options.boundary,
            fill_value=self.outside(),
            scale=scale,
            offset=offset,
            flip=flip,
            premultiplied=premultiplied,
            method=options.method,
            spans=self.spans,
        )
        if not self.may_miss:
            return picture_plans.find(request, kernel, self.decided)
        missing = as_missing(options.nan, options.min_weight, normalize, missing_value, dtype)
        of_missing = missing_plans.Request(
            "image",
            request.x_dtype,
            request.x_shape,
            request.mode,
            request.axes,
            request.boundary,
            request.fill_value,
            request.method,
            request.flip,
            FOOTPRINT,
            missing,
            missing_plans.Pixels(dtype, scale, offset),
            None if self.spans is None else usual_steps(len(self.axes)).of_spans(self.spans),
        )
        return missing_plans.find(of_missing, kernel, self.decided)

    def _convolved_known(self, plan: missing_plans.MissingPlan) -> Result:
        """Convolve pixels of which some may be missing."""
        options, weights = self.options, self._weights(plan.dtype)
        return Result(*missing_calls.run(plan, self.array, self.known, weights, False, None, True, options.workers))

    def _weights(self, dtype: np.dtype) -> NDArray[Any] | None:
        """The weights of the pixels, for results of a type; None for none."""
        weights = self.options.weights
        if weights is None:
            return None
        weights = as_array(weights, "weights")
        weights = weights[..., np.newaxis] if self.are_of_pixels(weights) else weights
        return missing_calls.as_weights(weights, self.array.shape, dtype)

    def are_of_pixels(self, weights: Any) -> bool:
        """Whether weights are those of pixels, for all channels."""
        return self.given.ndim == 3 and self.axes == (0, 1) and weights.shape == self.given.shape[:2]

    def missing_at_results(self, extents: tuple[int, ...]) -> NDArray[Any]:
        """Where the pixels at the results of a kernel are missing."""
        missing = np.zeros(self.array.shape, bool)
        weights, ignores_nan = self._weights(self.sums), self.options.nan == "ignore" and self.array.dtype.kind == "f"
        for chunk in chunk_slices(missing.shape):
            if weights is not None:
                missing[chunk] |= weights[chunk] == 0
            if self.known is not None:
                missing[chunk] |= ~np.broadcast_to(self.known, missing.shape)[chunk]
            if ignores_nan:
                missing[chunk] |= np.isnan(self.array[chunk])
        return self._at_results(missing, extents, self.options.boundary == "zero")

    def outside(self) -> Any:
        """The value outside, in the type of the array; 0 for other boundaries."""
        fill_value = self.options.fill_value
        if self.options.boundary != "fill":
            check_no_fill_value(fill_value)
            return 0
        native = native_of(self.given)
        value = as_fill_value(fill_value, native)
        if not self.options.linear:
            return value
        white = WHITES[native]
        if self.has_alpha and value not in (0, white):
            raise ValueError(f"fill_value must be 0 or {white:g} for linear=True with alpha; got {shown(fill_value)}")
        return decoded_value(value, white)

    def at_results(self, extents: tuple[int, ...]) -> NDArray[Any]:
        """The pixels, as they are summed, at the results of a kernel: in mode 'valid' cropped, in 'full' extended."""
        return self._at_results(self.array, extents, self.outside())

    def _at_results(self, array: NDArray[Any], extents: tuple[int, ...], outside: Any) -> NDArray[Any]:
        boundary = BOUNDARIES.index(self.options.boundary)
        if self.options.mode == "same" and self.spans is None:
            return array
        for axis, taps, (length, start) in zip(self.axes, extents, self._spans(extents)):
            first = start - (taps - 1) // 2
            parts = [_samples(array, axis, run, outside) for run in runs(first, length, array.shape[axis], boundary)]
            array = parts[0] if len(parts) == 1 else np.concatenate(parts, axis)
        return array

    def keep_alpha(self, stored: NDArray[Any], extents: tuple[int, ...]) -> None:
        """Put the alpha channel at the results of a kernel into those.

        It has been convolved too: 3 of 4 interleaved channels take 2 to 20 times as long with small kernels.
        """
        copy(stored[..., -1], self._at_results(self.given[..., -1], extents, self.options.fill_value))

    @property
    def white(self) -> float:
        """The value of white in linear light, times which results are pixels; 1 without."""
        return WHITES[native_of(self.given)] if self.options.linear else 1.0

    def in_pixels(self, differences: NDArray[Any]) -> NDArray[Any]:
        """Differences of linear light as those of pixels, in place."""
        if self.white != 1:
            for chunk in chunk_slices(differences.shape):
                differences[chunk] *= self.white
        return differences

    def closed(self, result: Result, extents: tuple[int, ...], keeps_alpha: bool, encodes: bool = True) -> Any:
        """Return sums as a picture or an array of the kind that was opened, or of the type that was asked for.

        The sums are overwritten; `extents` are those of the kernel. Linear light is encoded if it `encodes`.
        """
        values, options = result.values, self.options
        if options.linear and encodes:
            encode(values, self.white, self.has_alpha)
        dtype = self.dtype if options.dtype is None else options.dtype
        if result.shares is not None:
            missing = as_missing(options.nan, options.min_weight, True, options.missing_value, dtype)
            for chunk in chunk_slices(values.shape):
                shares = result.shares[chunk]
                np.copyto(values[chunk], missing.value, where=~(shares > shares.dtype.type(options.min_weight)))
        stored = values if values.dtype == dtype else saturated(values, dtype)
        if keeps_alpha:
            self.keep_alpha(stored, extents)
        return self.returned(stored, result.shares)

    def returned(self, stored: NDArray[Any], shares: NDArray[Any] | None) -> Any:
        """Return pixels of the result: as a picture, in `out`, masked where unknown, with the known shares."""
        options = self.options
        answer: Any = stored
        if self.pixels is not None:
            answer = self.pixels.picture(stored) if options.dtype is None else stored
        elif options.out is not None:
            dtype = self.given.dtype if options.dtype is None and self.given.dtype.kind != "b" else stored.dtype
            given = as_out(options.out, stored.shape, dtype)
            if given is not stored:
                copy(given, stored)
            answer = options.out
        elif options.dtype is None and self.given.dtype.kind != "b":
            answer = stored.astype(self.given.dtype, copy=False)
        if self.is_masked and shares is not None:
            unknown = ~(shares > shares.dtype.type(options.min_weight))
            if options.out is None:
                answer = np.ma.MaskedArray(answer, unknown)
            elif isinstance(options.out, np.ma.MaskedArray):
                options.out.mask = unknown
        returns_weight = self.may_miss and options.return_weight
        return (answer, shares) if returns_weight else answer

    def target(self, extents: tuple[int, ...], dtype: np.dtype) -> NDArray[Any] | None:
        """The array `out` where results of a kernel, of `dtype`, can be written to it directly, else None."""
        if self.options.out is None:
            return None
        own = dtype if self.options.dtype is not None or self.given.dtype.kind == "b" else self.given.dtype
        given = as_out(self.options.out, self.shape_of_results(extents), own)
        if given.dtype != dtype or may_share_memory(given, self.given) or overlaps_itself(given):
            return None
        return given

    def check_results(self, extents: tuple[int, ...]) -> None:
        """Check that a kernel is not too large, and `out`, before anything is computed."""
        self.check_valid(extents)
        self.target(extents, self.dtype if self.options.dtype is None else self.options.dtype)


def _samples(array: NDArray[Any], axis: int, run: Run, fill_value: Any) -> NDArray[Any]:
    """The samples of a run along an axis."""
    before: tuple[slice, ...] = (slice(None),) * axis
    if run.source < 0:
        shape = (*array.shape[:axis], run.length, *array.shape[axis + 1 :])
        return np.full(shape, fill_value, array.dtype)
    part = array[before + (run.indices,)]
    return np.repeat(part, run.length, axis) if run.direction == 0 else part


def _sums_of(kernel: NDArray[Any] | Separable) -> tuple[float, float]:
    """The sum of the taps, and that of their sizes."""
    lines = kernel.lines if isinstance(kernel, Separable) else (kernel,)
    with np.errstate(all="ignore"):
        return tuple(float(np.prod([part(line).sum() for line in lines])) for part in (np.asarray, np.abs))  # type: ignore


def _check_pixels(array: NDArray[Any], name: str) -> None:
    if native_of(array) not in TYPES:
        names = ", ".join(map(str, TYPES))
        raise ValueError(f"{name} must be a Pillow picture or an array of {names}; got dtype {clipped(array.dtype)}")
    if array.ndim < 2:
        raise ValueError(f"{name} must have at least 2 dimensions; got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty; got shape {array.shape}")


def _as_picture_axes(axes: Any, array: NDArray[Any], count: int, name: str) -> tuple[int, ...]:
    if axes is None:
        if array.ndim > 3 and name != "image":
            raise ValueError(f"{name} must have 2 dimensions, or 3 with channels; got shape {array.shape}")
        if array.ndim > 3:
            raise ValueError(f"axes must be given for an image of more than 3 dimensions; got shape {array.shape}")
        return 0, 1
    return as_axes(axes, count, array.ndim, "axes")


def _as_alpha_channel(channel: Any, array: NDArray[Any], axes: tuple[int, ...]) -> bool:
    """Check the number of the alpha channel; True if there is one."""
    if channel is None:
        return False
    last = array.shape[-1] - 1
    try:
        number = as_integer(channel)
    except passed():
        raise
    except Exception as error:
        raise TypeError(f"alpha_channel must be None or an integer; got {shown(channel)}") from error
    if array.ndim - 1 in axes or array.ndim == 2:
        raise ValueError(
            f"alpha_channel is for arrays with channels along their last axis; got shape {array.shape}, axes {axes}"
        )
    if number not in (-1, last):
        raise ValueError(f"alpha_channel must be the last channel, {last} or -1; got {shown(channel)}")
    return True


def _as_linear_light(array: NDArray[Any], native: np.dtype, pixels: Pixels | None, has_alpha: bool) -> NDArray[Any]:
    if native not in WHITES or (pixels is not None and pixels.mode in ("1", "CMYK", "YCbCr")):
        names = ", ".join(str(dtype) for dtype in WHITES)
        got = f"dtype {clipped(native)}" if pixels is None else f"mode {pixels.mode}"
        raise ValueError(f"linear=True is for sRGB pixels, grey or RGB, of {names}; got {got}")
    return decoded(array, np.result_type(array.dtype.newbyteorder("="), np.float32), has_alpha)


def sums_type(image: Any) -> np.dtype:
    """Return the type of the sums for a picture or an array."""
    if isinstance(image, Image.Image):
        return np.dtype(np.float64 if image.mode == "I" else np.float32)
    dtype = missing_calls.unmasked(image, "image")[0].dtype.newbyteorder("=")
    return np.result_type(_PASSED_AS.get(dtype, dtype), np.float32) if dtype in TYPES else np.dtype(np.float32)
