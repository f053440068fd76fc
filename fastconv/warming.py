"""Compilation ahead of time, for servers and for container images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from fastconv._model.arguments import as_bool, as_dtypes
from fastconv._model.layer_problem import Geometry
from fastconv._planning import engine_loader
from fastconv._planning.layers import forward_pass, layer_gradients
from fastconv._planning.layers.layer_weights import Weights
from fastconv._planning.pictures import magnitudes, picture_plans, windows
from fastconv._planning.plans import find
from fastconv._runtime.cpu_limits import check_variable

# Pixel types; pictures with an alpha channel have 8 bits.
_PIXELS = tuple(map(np.dtype, ("uint8", "uint16", "int16", "int32", "float32", "float64")))
_WITH_ALPHA = np.dtype(np.uint8)


def warmup(dtypes: DTypeLike | Sequence[DTypeLike] = ("float32", "float64", "uint8"), *, volumes: bool = False) -> None:
    """Compile, or load from the cache, everything that convolutions along one and two axes of these types need.

    The first call of a type compiles what it needs, which takes some seconds, and keeps it in the user's cache folder.
    After `warmup` none of these calls of this process compiles anything, nor does, if there is a cache folder, one of
    any later process. `warmup` returns when everything is compiled.

    Of the layers in `fastconv.layers` it compiles those of float32 and float64: everything but some microkernels, since
    each number of columns up to a tile's, and some numbers of channels and taps, have their own, which take 0.2 s.

    Parameters
    ----------
    dtypes : dtype or sequence of dtype
        The types of arrays and kernels, in all combinations; and of pictures, input and output, for the types that
        `fastconv.image` takes.
    volumes : bool, optional
        Whether to compile what convolutions along more axes, with strides or dilations, or with a kernel for each line
        need as well; by default not.

    Raises
    ------
    TypeError
        For anything but numeric types.
    ValueError
        For an empty sequence, and a ``FASTCONV_NUM_THREADS`` that is not a positive integer.

    See Also
    --------
    show_config : Where compiled kernels are kept, and how many there are.

    Notes
    -----
    ``python -m fastconv warmup`` does the same, for the build of a container image, and fails if the results cannot be
    saved. The cache folder is created for one user; ``chmod -R a+rX`` lets others read it. Its files are valid for one
    processor and one version of Python, Numba and fastconv; others compile their own. If an image is built on another
    processor than it will run on, set ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` to the latter in both places.

    Compiled on their first call are convolutions along more axes, with strides or dilations, and with a kernel for each
    line, unless `volumes`; those where samples are missing; functions of `fastconv.compat` that use further types;
    banks of kernels; and calls in functions compiled by Numba.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.warmup("float32")
    """
    types = as_dtypes(dtypes)
    check_variable()
    shapes = ((3,), (3, 3), (3, 1), (3, 3, 3)) if as_bool(volumes, "volumes") else ((3,), (3, 3), (3, 1))
    for x_dtype, kernel_dtype in itertools.product(types, types):
        for kernel_shape in shapes:
            for boundary in ("zero", "fill"):
                _arrays(x_dtype, np.ones(kernel_shape, kernel_dtype), boundary)
    for dtype in types:
        if dtype in _PIXELS:
            # Derivatives are computed in floats for all types of pixels.
            floats = (other for other in types if other.kind == "f" and other.itemsize >= 4)
            for result in {dtype, np.result_type(dtype, np.float32), *floats}:
                _picture(dtype, result)
            _windows(dtype)
            magnitudes.compile_all()
        if dtype.kind == "f" and dtype.itemsize in (4, 8):
            _layers(dtype)
    engines = engine_loader.load()
    if engines.layout.supports(np.dtype(np.float32)):  # otherwise nothing is ever compiled
        engines.scheduler.epoch_waiter()


def _arrays(x_dtype: np.dtype, kernel: np.ndarray, boundary: str) -> None:
    axes = tuple(range(kernel.ndim))
    find(
        "x", x_dtype, (64,) * kernel.ndim, kernel.dtype, kernel.shape, "same", axes, boundary, 0, "auto", True
    ).compile_all()


# Channels, outputs, groups, columns and taps of layers that take all engines.
_LAYERS = (
    (64, 64, 1, 28, 3),
    (3, 64, 1, 64, 3),
    (64, 3, 1, 64, 3),
    (64, 64, 64, 56, 3),
    (64, 64, 16, 14, 3),
    (32, 32, 1, 48, 15),
    (32, 32, 32, 64, 41),
)


def _layers(dtype: np.dtype) -> None:
    for (channels, outputs, groups, size, taps), last in itertools.product(_LAYERS, (False, True)):
        shapes = (1, channels, size, size), (1, outputs, size, size)
        if last:
            x, out = (np.zeros((shape[0], *shape[2:], shape[1]), dtype).transpose(0, 3, 1, 2) for shape in shapes)
        else:
            x, out = (np.zeros(shape, dtype) for shape in shapes)
        weights = np.ones((outputs, channels // groups, taps, taps), dtype)
        geometry = Geometry((-(taps // 2),) * 2, groups=groups)
        forward_pass.apply(Weights(weights), x, out, geometry, None)
        layer_gradients.input_gradient(Weights(weights), out, x, geometry, None)
        layer_gradients.weight_gradient(x, out, weights, geometry, None)
    if engine_loader.load().layout.supports(dtype):
        engine_loader.load().layer_engine.compile_all(dtype)
        engine_loader.load().spectral_engine.compile_all(dtype)


def _picture(dtype: np.dtype, result: np.dtype) -> None:
    for boundary, scale, premultiplied in itertools.product(("zero", "fill"), (1.0, 2.0), (False, True)):
        if premultiplied and dtype != _WITH_ALPHA:
            continue
        request = picture_plans.Request(
            x_dtype=dtype,
            x_shape=(64, 64, 4),
            dtype=result,
            mode="same",
            axes=(0, 1),
            boundary=boundary,
            fill_value=0,
            scale=scale,
            offset=0.0,
            flip=True,
            premultiplied=premultiplied,
        )
        picture_plans.compile_all(request)


def _windows(dtype: np.dtype) -> None:
    sums = np.result_type(dtype, np.float32)
    # Larger windows of integers have sums of more bits, and pixels of several channels move along in steps of them.
    sizes: tuple[tuple[int, int], ...] = ((2, 1),)
    channels: tuple[int, ...] = (1,)
    if dtype.kind != "f":
        sizes, channels = (*sizes, (2, 300), (250, 300), (300, 1), (1000, 1), (70_000, 1)), (1, 3, 4)
    requests = [
        windows.Request(dtype, (2, 2, count), (0, 1), size, "same", "zero", 0, result)
        for size, count, result in itertools.product(sizes, channels, {dtype, sums})
    ]
    # Small windows, of one channel, of any number and of three, and magnitudes of gradients.
    requests += [
        windows.Request(dtype, (2, 90, count), (0, 1), (size, size), "same", "zero", 0, dtype)
        for size, count in itertools.product((3, 5), (1, 2, 3))
    ]
    if windows.takes_gradients(dtype):
        requests.append(requests[-1]._replace(window=(3, 3), gradient=(1, 2, 4)))
    double, last = np.dtype(np.float64), requests[0]._replace(dtype=sums)
    requests += [last._replace(x_dtype=double, dtype=double), last._replace(deviations=True)]
    for request in requests:
        windows.compute(request, np.zeros(request.x_shape, request.x_dtype), 1)
