"""fastconv and the libraries that it is compared with: the cases that each can compute, and its call.

Each call is the fastest honest one: work that a user does once, such as flipping the kernel, is done beforehand, and
every side gets as many threads as fastconv. A new library is an entry in `RIVALS`.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from typing import Any, Callable, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastconv
from bench import data
from bench.cases import GAUSSIAN, RANDOM, WHOLE, Case
from fastconv import image as fastconv_image
from fastconv._runtime import cpu_limits

Call = Callable[[], Any]


class Side(NamedTuple):
    """One way to compute a case."""

    name: str
    module: str
    can: Callable[[Case], bool]
    prepare: Callable[[Case], Call]  # imports the library, and returns the call to be timed
    difference: str = ""  # from our definition, in words
    most_operations: float = math.inf  # a call with more would take a second or longer
    levels: int = 0  # maximum difference of its pixels, in grey levels
    given_factors: bool = False  # of a Gaussian, which needs fewer operations
    margin: bool = False  # its border, half a kernel deep, differs and is not compared

    @property
    def library(self) -> str:
        return self.module.partition(".")[0]

    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.library) is not None

    def does(self, case: Case) -> bool:
        operations = case.operations
        if self.given_factors and case.kernel == GAUSSIAN:
            operations = 2 * math.prod(case.shape) * sum(case.kernel_shape)
        return self.can(case) and operations <= self.most_operations


def threads() -> int:
    """Number of threads for each side."""
    return cpu_limits.available_workers()


def _is_float(case: Case) -> bool:
    return np.issubdtype(case.dtype, np.floating)


def _is_random(case: Case) -> bool:
    return case.kernel == RANDOM and not case.is_picture


def _is_signal(case: Case) -> bool:
    return len(case.shape) == 1


def _is_rows(case: Case) -> bool:
    return len(case.shape) > len(case.kernel_shape) or case.own_kernels


def _has_channels(case: Case) -> bool:
    return len(case.shape) == 3 and len(case.kernel_shape) == 2


def _strided(call: Call, case: Case) -> Call:
    """Return a call that takes every stride-th result of another."""
    if case.stride == 1:
        return call
    places = tuple(slice(None, None, case.stride if axis in case.axes else 1) for axis in range(len(case.shape)))
    return lambda: call()[places]


def _padded_kernel(case: Case) -> NDArray:
    """Return the kernel with as many dimensions as the input."""
    kernel = data.dilated_kernel(case)
    if case.group == "rows":
        return kernel[:, np.newaxis] if case.axis == 0 else kernel[np.newaxis]
    return kernel[..., np.newaxis] if _has_channels(case) else kernel


# ---------------------------------------------------------------------------------------------------- fastconv


def _prepare_fastconv(case: Case) -> Call:
    image, kernel = data.inputs(case)
    if case.is_picture:
        return functools.partial(fastconv_image.filter, image, kernel, boundary=case.boundary)
    if case.kernel == GAUSSIAN and len(case.axes) > 2:
        blur: dict[str, Any] = {"boundary": case.boundary, "truncate": data.TRUNCATE, "axes": case.axes}
        return functools.partial(fastconv_image.gaussian_blur, image, data.sigma(case), **blur)
    if len(case.axes) > 2 or case.own_kernels or case.stride > 1 or case.dilation > 1:
        options: dict[str, Any] = {"boundary": case.boundary, "stride": case.stride, "dilation": case.dilation}
        return functools.partial(fastconv.convolve, image, kernel, case.mode, axes=case.axes, **options)
    if kernel.ndim == 1:
        return functools.partial(fastconv.convolve1d, image, kernel, case.mode, axis=case.axis, boundary=case.boundary)
    return functools.partial(fastconv.convolve2d, image, kernel, case.mode, axes=(0, 1), boundary=case.boundary)


FASTCONV = Side("fastconv", "fastconv", lambda case: True, _prepare_fastconv)

# ------------------------------------------------------------------------------------------------------- NumPy


def _prepare_numpy(case: Case) -> Call:
    return functools.partial(np.convolve, *data.inputs(case), mode=case.mode)


# ------------------------------------------------------------------------------------------------------- SciPy

_CONVOLVE2D_BOUNDARIES = {"zero": "fill", "reflect": "symm", "wrap": "wrap"}
_NDIMAGE_BOUNDARIES = {name: name for name in ("nearest", "reflect", "mirror", "wrap")} | {"zero": "constant"}


def _prepare_scipy_convolve(case: Case) -> Call:
    import scipy.fft
    import scipy.signal

    (image, kernel), workers = data.inputs(case), threads()

    def call() -> NDArray:
        with scipy.fft.set_workers(workers):
            return scipy.signal.convolve(image, kernel, mode=case.mode)

    return call


def _prepare_convolve2d(case: Case) -> Call:
    import scipy.signal

    boundary = _CONVOLVE2D_BOUNDARIES[case.boundary]
    return functools.partial(scipy.signal.convolve2d, *data.inputs(case), mode=case.mode, boundary=boundary)


def _prepare_fft(name: str, case: Case) -> Call:
    import scipy.fft
    import scipy.signal

    convolve, workers = getattr(scipy.signal, name), threads()
    image, kernel = data.inputs(case).image, _padded_kernel(case)

    def call() -> NDArray:
        with scipy.fft.set_workers(workers):
            return convolve(image, kernel, mode=case.mode, axes=case.axes)

    return _strided(call, case)


def _prepare_ndimage(case: Case) -> Call:
    import scipy.ndimage

    boundary = _NDIMAGE_BOUNDARIES[case.boundary]
    image, kernel = data.inputs(case)
    if kernel.ndim == 1:
        return functools.partial(scipy.ndimage.convolve1d, image, kernel, axis=case.axis, mode=boundary)
    return _strided(functools.partial(scipy.ndimage.convolve, image, _padded_kernel(case), mode=boundary), case)


def _prepare_gaussian_filter(case: Case) -> Call:
    import scipy.ndimage

    image, sigma = data.inputs(case).image, data.sigma(case)
    boundary = _NDIMAGE_BOUNDARIES[case.boundary]
    return functools.partial(
        scipy.ndimage.gaussian_filter, image, sigma, mode=boundary, truncate=data.TRUNCATE, axes=case.axes
    )


# ------------------------------------------------------------------------------------------------------ OpenCV


def _cv2() -> Any:
    import cv2

    cv2.setNumThreads(threads())
    return cv2


def _cv2_border(case: Case) -> int:
    cv2 = _cv2()
    return {
        "zero": cv2.BORDER_CONSTANT,
        "nearest": cv2.BORDER_REPLICATE,
        "reflect": cv2.BORDER_REFLECT,
        "mirror": cv2.BORDER_REFLECT_101,
        "wrap": cv2.BORDER_WRAP,
    }[case.boundary]


def _cv2_can(case: Case) -> bool:
    return case.mode == "same" and (_is_float(case) or case.is_picture) and len(case.axes) < 3 and not case.own_kernels


def _prepare_filter2d(case: Case) -> Call:
    cv2, border = _cv2(), _cv2_border(case)
    image, kernel = data.inputs(case).image, data.dilated_kernel(case)
    if _is_signal(case):
        image, kernel = image[np.newaxis], kernel[np.newaxis]
    elif kernel.ndim == 1:
        kernel = _padded_kernel(case)
    flipped = np.flip(kernel).copy()  # filter2D correlates
    if case.layout == "Fortran":  # not supported, but the transposed image is contiguous
        across = np.ascontiguousarray(flipped.T)
        return lambda: cv2.filter2D(image.T, -1, across, borderType=border).T
    if case.layout == "negative strides":
        return lambda: cv2.filter2D(image[::-1, ::-1], -1, kernel, borderType=border)[::-1, ::-1]
    if case.boundary == "wrap":
        return functools.partial(_cv2_wrapped, cv2, image, flipped)
    return _strided(functools.partial(cv2.filter2D, image, -1, flipped, borderType=border), case)


def _cv2_wrapped(cv2: Any, image: NDArray, flipped: NDArray) -> NDArray:
    """Pad the image, since filter2D does not wrap."""
    down, across = (taps // 2 for taps in flipped.shape)
    wide = cv2.copyMakeBorder(image, down, down, across, across, cv2.BORDER_WRAP)
    return cv2.filter2D(wide, -1, flipped)[down:-down, across:-across]


def _prepare_sep_filter2d(case: Case) -> Call:
    cv2, border = _cv2(), _cv2_border(case)
    image, kernel = data.inputs(case)
    if case.kernel == GAUSSIAN:
        along_x = along_y = data.gaussian_line(case)
    else:
        one, flipped = np.ones(1, kernel.dtype), np.flip(kernel).copy()
        along_x, along_y = (one, flipped) if case.axis == 0 else (flipped, one)
    return functools.partial(cv2.sepFilter2D, image, -1, along_x, along_y, borderType=border)


def _prepare_gaussian_blur(case: Case) -> Call:
    cv2, border = _cv2(), _cv2_border(case)
    image, sigma = data.inputs(case).image, data.sigma(case)
    return functools.partial(cv2.GaussianBlur, image, case.kernel_shape[::-1], sigma, sigmaY=sigma, borderType=border)


# ----------------------------------------------------------------------------------------------------- PyTorch

_TORCH_BOUNDARIES = {"nearest": "replicate", "mirror": "reflect", "wrap": "circular"}


# Types other than float32 are unfolded: a copy of the input for each tap.
_TORCH_UNFOLDED = 2**31


def _torch_can(case: Case) -> bool:
    unfolded = math.prod(case.shape) * math.prod(case.kernel_shape) * np.dtype(case.dtype).itemsize
    return (
        case.mode == "same"
        and (case.dtype is np.float32 or case.kernel == GAUSSIAN or unfolded < _TORCH_UNFOLDED)
        and not case.is_picture
        and case.layout != "negative strides"
        and case.boundary in ("zero", *_TORCH_BOUNDARIES)
    )


def _prepare_torch(case: Case) -> Call:
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads())
    image = torch.from_numpy(data.inputs(case).image)
    if case.kernel == GAUSSIAN:
        line = torch.from_numpy(data.gaussian_line(case))
        count = len(case.axes)
        kernels = [line.reshape([1, 1, *(-1 if k == axis else 1 for k in range(count))]) for axis in range(count)]
    elif case.own_kernels:
        lines = torch.from_numpy(np.flip(data.inputs(case).kernel, 1).copy())

        def convolve_lines() -> NDArray:
            with torch.inference_mode():
                padding = case.taps[0] // 2
                return functional.conv1d(image, lines[:, None], padding=padding, groups=len(lines)).numpy()

        return convolve_lines
    else:
        flipped = torch.from_numpy(np.flip(data.inputs(case).kernel).copy())
        if flipped.ndim == 1 and not _is_signal(case):
            flipped = flipped[:, None] if case.axis == 0 else flipped[None, :]
        kernels = [flipped[None, None]]
    channels = case.shape[2] if _has_channels(case) else 1
    # A batch of one; channels last, as the strides of the picture are.
    image = image.permute(2, 0, 1)[None] if channels > 1 else image[None, None]
    kernels = [kernel.expand(channels, *kernel.shape[1:]).contiguous() for kernel in kernels]
    dimensions = 2 if _is_rows(case) else len(case.axes)
    convolve = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[dimensions]
    pad = [width for taps in case.kernel_shape[::-1] for width in (taps // 2, taps // 2)]
    steps: dict[str, Any] = {"stride": case.stride, "dilation": case.dilation}
    # "same" has no stride.
    padding = [taps // 2 * case.dilation for taps in case.kernel_shape] if case.stride > 1 else "same"
    mode = _TORCH_BOUNDARIES.get(case.boundary)

    def call() -> NDArray:
        with torch.inference_mode():
            result = functional.pad(image, pad, mode) if mode else image
            for kernel in kernels:
                result = convolve(result, kernel, padding="valid" if mode else padding, groups=channels, **steps)
        return (result[0].permute(1, 2, 0) if channels > 1 else result[0, 0]).numpy()

    return call


# ------------------------------------------------------------------------------------------------------ Pillow


def _prepare_pillow(case: Case) -> Call:
    from PIL import Image, ImageFilter

    weights = np.fliplr(data.weights(case))  # correlates with the rows upside down
    kernel = ImageFilter.Kernel(case.kernel_shape[::-1], weights.ravel().tolist(), int(weights.sum()))
    return functools.partial(Image.fromarray(data.inputs(case).image).filter, kernel)


# ----------------------------------------------------------------------------------------------------- libvips

_VIPS_EXTENDS = {"zero": "black", "nearest": "copy", "reflect": "mirror", "wrap": "repeat"}


def _vips_can(case: Case) -> bool:
    if _is_signal(case) or case.mode != "same" or case.boundary not in _VIPS_EXTENDS or case.layout != "contiguous":
        return False
    return case.group not in ("rows", "volumes", "steps") and (_is_float(case) or case.is_picture)


def _prepare_vips(case: Case) -> Call:
    import pyvips

    if hasattr(pyvips, "concurrency_set"):  # older ones use as many threads as there are processors
        pyvips.concurrency_set(threads())
    image, kernel = data.inputs(case)
    height, width = image.shape[:2]
    bands = image.shape[2] if image.ndim == 3 else 1
    down, across = (taps // 2 for taps in case.kernel_shape)
    extend = _VIPS_EXTENDS[case.boundary]
    rounds = case.is_picture and case.kernel != WHOLE  # it returns floats
    kind = {np.float32: "float", np.float64: "double", np.uint8: "uchar"}[case.dtype]
    if case.kernel == GAUSSIAN:
        mask = pyvips.Image.new_from_array(data.gaussian_line(case)[np.newaxis].tolist())
        name, precision = "convsep", "float"
    elif case.kernel == WHOLE:
        weights = np.flip(data.weights(case))
        mask = pyvips.Image.new_from_array(weights.tolist(), scale=float(weights.sum()))
        name, precision = "conv", "integer"
    else:
        mask = pyvips.Image.new_from_array(np.flip(kernel).tolist())
        name, precision = "conv", "float"

    def call() -> NDArray:
        source = pyvips.Image.new_from_memory(image, width, height, bands, kind)
        if extend == "copy":  # its default
            result = getattr(source, name)(mask, precision=precision)
        else:
            wide = source.embed(across, down, width + 2 * across, height + 2 * down, extend=extend)
            result = getattr(wide, name)(mask, precision=precision).crop(across, down, width, height)
        return (result.rint().cast("uchar") if rounds else result).numpy()

    return call


# -------------------------------------------------------------------------------------- astropy, scikit-image

_ASTROPY_BOUNDARIES = {"zero": "fill", "nearest": "extend", "wrap": "wrap"}


def _prepare_astropy(case: Case) -> Call:
    from astropy.convolution import convolve

    boundary = _ASTROPY_BOUNDARIES[case.boundary]
    return functools.partial(
        convolve, *data.inputs(case), boundary=boundary, normalize_kernel=False, nan_treatment="fill"
    )


def _prepare_skimage(case: Case) -> Call:
    from skimage.filters import gaussian

    return functools.partial(
        gaussian, data.inputs(case).image, data.sigma(case), mode="nearest", truncate=data.TRUNCATE
    )


# ------------------------------------------------------------------------------------------------------- table


def _plain(case: Case) -> bool:
    """Return whether it is a float case with a random kernel of as many dimensions as the array."""
    is_whole = case.stride == case.dilation == 1 and not _is_rows(case)
    return _is_random(case) and _is_float(case) and is_whole


def _fft_can(case: Case) -> bool:
    return _is_random(case) and _is_float(case) and case.boundary == "zero" and case.stride == case.dilation == 1


RIVALS = [
    Side(
        "numpy.convolve",
        "numpy",
        lambda case: _plain(case) and _is_signal(case),
        _prepare_numpy,
        "'same' has the length of the longer input: here that is the signal; one thread",
        most_operations=3e10,
    ),
    Side(
        "scipy.signal.convolve",
        "scipy.signal",
        lambda case: _plain(case) and case.boundary == "zero",
        _prepare_scipy_convolve,
        "chooses between the definition, in one thread, and an FFT, whose error depends on the whole input",
    ),
    Side(
        "scipy.signal.convolve2d",
        "scipy.signal",
        lambda case: (
            not case.is_picture
            and len(case.shape) == len(case.axes) == 2
            and case.stride == case.dilation == 1
            and case.boundary in _CONVOLVE2D_BOUNDARIES
        ),
        _prepare_convolve2d,
        "one thread",
        most_operations=1.2e9,
    ),
    Side(
        "scipy.signal.fftconvolve",
        "scipy.signal",
        _fft_can,
        functools.partial(_prepare_fft, "fftconvolve"),
        "its error depends on the whole input",
    ),
    Side(
        "scipy.signal.oaconvolve",
        "scipy.signal",
        _fft_can,
        functools.partial(_prepare_fft, "oaconvolve"),
        "its error depends on the input within some kernel lengths",
    ),
    Side(
        "scipy.ndimage.convolve",
        "scipy.ndimage",
        lambda case: (
            _is_random(case)
            and _is_float(case)
            and case.mode == "same"
            and case.boundary in _NDIMAGE_BOUNDARIES
            and not case.own_kernels
        ),
        _prepare_ndimage,
        "sums in float64; one thread; along one axis it is convolve1d",
        most_operations=2.5e9,
    ),
    Side(
        "scipy.ndimage.gaussian_filter",
        "scipy.ndimage",
        lambda case: case.kernel == GAUSSIAN and not case.is_picture,
        _prepare_gaussian_filter,
        "sums in float64; one thread",
        given_factors=True,
    ),
    Side(
        "cv2.filter2D",
        "cv2",
        _cv2_can,
        _prepare_filter2d,
        "correlates: its kernel is flipped beforehand; a signal is an image of one row; from 12x12 (float32) or 8x8 "
        "(float64) on it uses a DFT; wrap is padded in the call; an image with unsupported strides is transposed or "
        "reversed as a view",
        levels=1,
    ),
    Side(
        "cv2.sepFilter2D",
        "cv2",
        lambda case: (case.kernel == GAUSSIAN and len(case.axes) == 2) or case.group == "rows",
        _prepare_sep_filter2d,
        "is given the two factors of the kernel",
        levels=1,
        given_factors=True,
    ),
    Side(
        "cv2.GaussianBlur",
        "cv2",
        lambda case: case.kernel == GAUSSIAN and len(case.axes) == 2,
        _prepare_gaussian_blur,
        "is given sigma; pictures are summed in fixed point",
        levels=2,
        given_factors=True,
    ),
    Side(
        "torch conv",
        "torch",
        _torch_can,
        _prepare_torch,
        "correlates: its kernel is flipped beforehand; borders other than zeros are padded in the call; is given "
        "the factors of a Gaussian",
        most_operations=6e8,
        given_factors=True,
    ),
    Side(
        "Pillow Kernel",
        "PIL",
        lambda case: case.is_picture and case.kernel == WHOLE and case.kernel_shape[0] <= 5,
        _prepare_pillow,
        "correlates with the rows upside down; rounds half up; copies the border; one thread",
        levels=1,
        margin=True,
    ),
    Side(
        "libvips conv",
        "pyvips",
        _vips_can,
        _prepare_vips,
        "for pictures it takes integer taps and a scale, in few bits: up to 3 grey levels off; a Gaussian "
        "is convsep in floats, given the factor of the kernel",
        most_operations=4e9,
        levels=3,
        given_factors=True,
    ),
    Side(
        "astropy",
        "astropy",
        lambda case: (
            _plain(case)
            and case.mode == "same"
            and case.layout == "contiguous"
            and case.dtype is np.float64
            and case.boundary in _ASTROPY_BOUNDARIES
        ),
        _prepare_astropy,
        "float64 only; checks for NaNs; one thread",
        most_operations=2e9,
    ),
    Side(
        "skimage.filters.gaussian",
        "skimage",
        lambda case: case.kernel == GAUSSIAN and not case.is_picture,
        _prepare_skimage,
        "is given sigma; one thread",
        given_factors=True,
    ),
]
