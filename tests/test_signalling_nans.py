"""Signalling NaNs in any argument cause no warning, and give the results of quiet NaNs.

NumPy warns when it adds, converts or compares them, or converts them to bools. A program that turns warnings or
floating-point errors into exceptions would fail far from its own data.
"""

import itertools
import types
from typing import Any, Callable, NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageFilter

import fastconv
from fastconv import compat, image, kernels
from fastconv.compat import cv2, ndimage, signal
from tests.oracle import BOUNDARIES, MODES

# Bits of a signalling NaN and of a quiet one, by the bytes of a float.
_BITS = {2: (0x7D00, 0x7E00), 4: (0x7FA00000, 0x7FC00000), 8: (0x7FF4 << 48, 0x7FF8 << 48)}
_FLOATS = ("f2", "f4", "f8", "c8", "c16")
_PLACES = ("first", "middle", "last")


def with_nan(array, place, signalling, payload=0):
    """A copy with a NaN; in a complex array, the first place is a real part, the last an imaginary one."""
    array = array.copy()
    part = np.empty(0, array.dtype).real.dtype.itemsize
    words = array.reshape(-1).view(np.dtype(f"u{part}").newbyteorder(array.dtype.byteorder))
    at = {"first": 0, "middle": words.size // 2, "last": words.size - 1}[place]
    words[at] = _BITS[part][not signalling] + payload
    return array


class Call(NamedTuple):
    """A function of arrays, and its arguments."""

    function: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]


_rng = np.random.default_rng(0)


def array_of(*shape, dtype="f8"):
    """Integers as `dtype`, none of them 0."""
    return _rng.integers(1, 5, shape).astype(dtype)


def outer_product(*shape, dtype="f8"):
    return np.multiply.outer(*(array_of(n) for n in shape)).astype(dtype)


def _core_calls():
    """The convolutions: each method with each type, boundary and mode; small arrays and large ones."""
    for dtype in _FLOATS:
        for method in ("direct", "separable", "fft", "auto"):
            kernel = outer_product(3, 4, dtype="f4" if method == "separable" else dtype)
            for boundary in BOUNDARIES if dtype == "f4" else ("zero", "fill"):
                options = {"method": method, "boundary": boundary, "fill_value": int(boundary == "fill")}
                yield (
                    f"convolve2d, {dtype}, {method}, {boundary}",
                    lambda x, kernel, options=options: fastconv.convolve2d(x, kernel, "same", **options),
                    array_of(9, 17, dtype=dtype),
                    kernel,
                )
        for mode in MODES:
            for size, taps in ((20, 5), (5, 20), (3000, 40)):
                x, kernel = array_of(size, dtype=dtype), array_of(taps, dtype=dtype)
                for name in ("convolve", "convolve1d", "correlate", "correlate1d"):
                    function = getattr(fastconv, name)
                    yield (
                        f"{name}, {dtype}, {mode}, {size} by {taps}",
                        lambda x, k, f=function, m=mode: f(x, k, m),
                        x,
                        kernel,
                    )
        cube, block = array_of(3, 4, 17, dtype=dtype), array_of(2, 3, 2, dtype=dtype)
        for name, options in {
            "three axes": {},
            "strides": {"stride": (1, 2, 3)},
            "dilations": {"dilation": 2, "boundary": ("fill", "wrap", "zero"), "fill_value": 1},
            "starts": {"start": "last", "boundary": "mirror"},
        }.items():
            yield (
                f"convolve, {dtype}, {name}",
                lambda x, kernel, options=options: fastconv.convolve(x, kernel, "same", **options),
                cube,
                block,
            )
        for name in ("convolve3d", "correlate3d"):
            yield f"{name}, {dtype}", getattr(fastconv, name), cube, block
        yield (
            f"convolve, {dtype}, a kernel for each line",
            lambda x, kernel: fastconv.convolve(x, kernel, axes=(0, 2)),
            cube,
            array_of(2, 4, 3, dtype=dtype),
        )
        yield (
            f"correlate1d, {dtype}, lags",
            lambda x, kernel: fastconv.correlate1d(x, kernel, lags=(-2, 2)),
            array_of(20, dtype=dtype),
            array_of(9, dtype=dtype),
        )
        yield (
            f"correlate2d, {dtype}",
            lambda x, kernel: fastconv.correlate2d(x, kernel, boundary="wrap"),
            array_of(9, 17, dtype=dtype),
            outer_product(3, 4, dtype=dtype),
        )
        for name in ("convolve_bank", "correlate_bank"):
            for size, count in ((17, 3), (300, 32)):
                yield (
                    f"{name}, {dtype}, {size}",
                    lambda x, kernels, name=name: getattr(fastconv, name)(x, kernels, boundary="reflect"),
                    array_of(9, size, dtype=dtype),
                    array_of(count, 3, 4, dtype=dtype),
                )
        yield (
            f"convolve_bank, {dtype}, to float32",
            lambda x, kernels: fastconv.convolve_bank(x.real, kernels.real, dtype="f4"),
            array_of(9, 17, dtype=dtype),
            array_of(2, 3, 4, dtype=dtype),
        )
        yield (
            f"fit_kernel, {dtype}",
            lambda x, y, weights: fastconv.fit_kernel(x, y, 3, weights=weights).kernel,
            array_of(20, dtype=dtype),
            array_of(20, dtype=dtype),
            array_of(20, dtype=dtype),
        )
        # Kernels of a size for which zeros around them and factors are searched.
        around = np.pad(outer_product(5, 4), ((9, 8), (8, 9)))
        for name, kernel in (("zeros around", around), ("outer", outer_product(22, 21)), ("any", array_of(22, 21))):
            yield (
                f"convolve2d, {dtype}, large, {name}",
                lambda x, kernel: fastconv.convolve2d(x, kernel, "same"),
                array_of(90, 100, dtype=dtype),
                kernel.astype(dtype),
            )
            yield (
                f"plan, {dtype}, {name}",
                lambda x, kernel: fastconv.plan(kernel, x.shape, mode="same", boundary="reflect")(x),
                array_of(90, 100, dtype=dtype),
                kernel.astype(dtype),
            )
        yield (
            f"convolve1d, {dtype}, large",
            fastconv.convolve1d,
            array_of(30_000, dtype=dtype),
            array_of(3000, dtype=dtype),
        )
        swapped = np.dtype(dtype).newbyteorder(">")
        yield (
            f"convolve2d, {dtype}, big-endian",
            lambda x, kernel: fastconv.convolve2d(x, kernel, "same"),
            array_of(80, 90, dtype=dtype).astype(swapped),
            around.astype(swapped),
        )
        yield (
            f"out, {dtype}",
            lambda out: fastconv.convolve2d(np.ones_like(out), np.ones((3, 4), out.dtype), "same", out=out),
            array_of(9, 17, dtype=dtype),
        )
        for result in ("f4", "f8", "c8", "c16"):
            yield (
                f"convolve2d, {dtype} by {result}",
                lambda x, kernel: fastconv.convolve2d(x, kernel, "same"),
                array_of(60, 70, dtype=dtype),
                outer_product(9, 8, dtype=result),
            )
            yield (
                f"fill_value, {dtype}, to {result}",
                lambda value, r=result: fastconv.convolve1d(
                    np.ones(9, r), np.ones(3, r), boundary="fill", fill_value=value[0] if r[0] == "c" else value[0].real
                ),
                array_of(1, dtype=dtype),
            )
        yield f"integers, {dtype}", fastconv.convolve1d, array_of(20, dtype=dtype), array_of(5, dtype="i1")
        yield f"a list, {dtype}", lambda x: fastconv.convolve1d([*x, 1.0, 1j], x), array_of(9, dtype=dtype)


def _picture_calls():
    for dtype in ("f4", "f8", ">f4"):
        for boundary in ("reflect", "fill"):
            for shape in ((9, 12), (40, 50, 3)):
                for size in (3, 21):
                    yield (
                        f"image.filter, {dtype}, {boundary}, {shape}, {size}",
                        lambda x, kernel, b=boundary: image.filter(x, kernel, boundary=b, scale=3, offset=1),
                        array_of(*shape, dtype=dtype),
                        outer_product(size, size, dtype=dtype),
                    )
        yield (
            f"image.filter, out, {dtype}",
            lambda out: image.filter(out.copy(), [[1.0]], out=out),
            array_of(9, 9, dtype=dtype),
        )
        for name in ("gaussian_blur", "sobel_magnitude", "sobel_direction", "unsharp_mask"):
            yield f"image.{name}, {dtype}", getattr(image, name), array_of(30, 40, dtype=dtype)
        for name in ("edges", "emboss", "motion_blur", "scharr_magnitude", "prewitt_magnitude"):
            yield f"image.{name}, {dtype}", getattr(image, name), array_of(30, 40, dtype=dtype)
        for name in ("gaussian_blur", "gaussian_gradient_magnitude", "laplacian_of_gaussian", "box_blur", "local_std"):
            for how in ({}, {"linear": True}, {"dtype": "f4"}, {"alpha_channel": -1}):
                yield (
                    f"image.{name}, {how}, {dtype}",
                    lambda x, name=name, how=how: getattr(image, name)(x, 9, **how),
                    array_of(30, 40, 3, dtype=dtype),
                )
        for name, size in itertools.product(("box_blur", "local_mean", "local_std"), (3, 17)):
            yield (
                f"image.{name}, {size}, {dtype}",
                lambda x, name=name, size=size: getattr(image, name)(x, size),
                array_of(30, 40, dtype=dtype),
            )
        yield (
            f"image.normalized_cross_correlation, {dtype}",
            lambda x, template: image.normalized_cross_correlation(x, template).scores,
            array_of(30, 40, dtype=dtype),
            array_of(4, 5, dtype=dtype),
        )
        yield f"threshold, {dtype}", lambda x: image.unsharp_mask(x, threshold=1), array_of(30, 40, dtype=dtype)
        yield (
            f"image.difference_of_gaussians, {dtype}",
            lambda x: image.difference_of_gaussians(x, 1),
            array_of(30, 40, dtype=dtype),
        )
        yield (
            f"pixel value, {dtype}",
            lambda v: image.filter(np.ones((9, 9), "f4"), np.ones((3, 3)), boundary="fill", fill_value=v[0]),
            array_of(1, dtype=dtype),
        )
        yield (
            f"scale, {dtype}",
            lambda v: image.filter(np.ones((9, 9), "f4"), [[1]], scale=v[0]),
            array_of(1, dtype=dtype),
        )
        yield (
            f"offset, {dtype}",
            lambda v: image.filter(np.ones((9, 9), "f4"), [[1]], offset=v[0]),
            array_of(1, dtype=dtype),
        )
    for size in (3, 21):
        yield (
            f"image.filter, a picture, {size}",
            lambda x, kernel: np.asarray(image.filter(Image.fromarray(x), kernel)),
            array_of(40, 50, dtype="f4"),
            outer_product(size, size, dtype="f4"),
        )
    for pixels in ("u1", "u2", "i2", "i4"):
        yield (
            f"kernel of pixels, {pixels}",
            lambda k, p=pixels: image.filter(array_of(9, 9, dtype=p), k),
            array_of(3, 3),
        )
    for dtype in ("f2", "f4", "f8"):
        for name in ("gaussian", "log", "unsharp"):
            yield f"kernels.{name}, {dtype}", getattr(kernels, name), array_of(2, dtype=dtype)
        for name in ("disk", "motion", "gabor"):
            yield (
                f"kernels.{name}, {dtype}",
                lambda v, name=name: getattr(kernels, name)(v[0]),
                array_of(1, dtype=dtype),
            )
        yield f"kernels.from_pillow, {dtype}", _from_pillow, array_of(9, dtype=dtype)


def _from_pillow(taps):
    return kernels.from_pillow(ImageFilter.Kernel((3, 3), list(taps), scale=1))["kernel"]


def _numpy_and_signal_calls():
    for dtype in _FLOATS:
        for mode in MODES:
            for size, taps in ((20, 5), (5, 20), (3000, 200)):
                x, kernel = array_of(size, dtype=dtype), array_of(taps, dtype=dtype)
                for module in (compat.numpy, signal):
                    for name in ("convolve", "correlate"):
                        function = getattr(module, name)
                        where = f"{module.__name__}.{name}, {dtype}, {mode}, {size} by {taps}"
                        yield where, lambda x, k, f=function, m=mode: f(x, k, m), x, kernel
        for shape, taps in (((9, 17), (3, 4)), ((70, 80), (25, 26)), ((5, 6, 7), (2, 3, 3))):
            x, kernel = array_of(*shape, dtype=dtype), array_of(*taps, dtype=dtype)
            names = ("convolve", "correlate", "fftconvolve", "oaconvolve")
            for name in (*names, "convolve2d", "correlate2d") if len(shape) == 2 and dtype != "f2" else names:
                yield f"signal.{name}, {dtype}, {shape}", getattr(signal, name), x, kernel
            if dtype != "f2":
                direct = f"signal.convolve, direct, {dtype}, {shape}"
                yield direct, lambda x, k: signal.convolve(x, k, method="direct"), x, kernel
        yield (
            f"signal.fftconvolve, a kernel for each line, {dtype}",
            lambda x, kernel: signal.fftconvolve(x, kernel, axes=1),
            array_of(4, 50, dtype=dtype),
            array_of(4, 6, dtype=dtype),
        )
        yield (
            f"signal.choose_conv_method, {dtype}",
            signal.choose_conv_method,
            array_of(30, dtype=dtype),
            array_of(3, dtype=dtype),
        )
        if dtype != "f2":
            yield (
                f"signal.convolve2d, fillvalue, {dtype}",
                lambda v: signal.convolve2d(np.ones((9, 9), v.dtype), np.ones((3, 3)), fillvalue=v),
                array_of(1, dtype=dtype),
            )
        for function in (signal.convolve, signal.correlate, signal.fftconvolve):
            yield (
                f"signal.{function.__name__}, scalars, {dtype}",
                lambda v, f=function: f(v[0], v[0]),
                array_of(1, dtype=dtype),
            )


def _generic(function, x, bits=True, **options):
    return function(x, ndimage.sobel, extra_keywords={"bits": bits}, **options)


_LINES = {
    "uniform_filter": lambda x, **options: ndimage.uniform_filter(x, 5, **options),
    "uniform_filter1d": lambda x, **options: ndimage.uniform_filter1d(x, 5, **options),
    "gaussian_filter": lambda x, **options: ndimage.gaussian_filter(x, 1.5, **options),
    "gaussian_filter, 0": lambda x, **options: ndimage.gaussian_filter(x, 0, **options),
    "gaussian_filter1d": lambda x, **options: ndimage.gaussian_filter1d(x, 1.5, **options),
    "gaussian_gradient_magnitude": lambda x, **options: ndimage.gaussian_gradient_magnitude(x, 1.5, **options),
    "gaussian_laplace": lambda x, **options: ndimage.gaussian_laplace(x, 1.5, **options),
    "gaussian_laplace, no axes": lambda x, **options: ndimage.gaussian_laplace(x, (), axes=(), **options),
    "generic_gradient_magnitude": lambda x, **options: _generic(ndimage.generic_gradient_magnitude, x, **options),
    "generic_laplace": lambda x, **options: _generic(ndimage.generic_laplace, x, **options),
    "laplace": ndimage.laplace,
    "laplace, no axes": lambda x, **options: ndimage.laplace(x, axes=(), **options),
    "prewitt": ndimage.prewitt,
    "sobel": ndimage.sobel,
}


def _ndimage_calls():
    for dtype in ("f4", "f8", "c8", "c16", ">f4"):
        for shape in ((40, 50), (6, 7, 8)):
            x = array_of(*shape, dtype=dtype)
            for name, function in _LINES.items():
                yield f"ndimage.{name}, {dtype}, {shape}", function, x
                where = f"ndimage.{name}, without SciPy's bits, {dtype}, {shape}"
                yield where, lambda x, f=function: f(x, bits=False), x
                yield (
                    f"ndimage.{name}, cval, {dtype}, {shape}",
                    lambda x, f=function: f(x, mode="constant", cval=2.0),
                    x,
                )
                results = ("c8", "c16") if x.dtype.kind == "c" else ("f4", "f8", "u1", "i4", "i8", "u8", "?")
                for result in results:
                    yield (
                        f"ndimage.{name}, {dtype}, {shape} to {result}",
                        lambda x, f=function, r=result: f(x, output=np.dtype(r)),
                        x,
                    )
            for name in ("convolve", "correlate"):
                function = getattr(ndimage, name)
                sizes = (3, 3, 3)[: len(shape)]
                sparse = np.eye(3) if len(shape) == 2 else np.ones(sizes)
                for kind, kernel in (("any", array_of(*sizes)), ("sparse", sparse)):
                    yield f"ndimage.{name}, {dtype}, {shape}, {kind}", function, x, kernel.astype(dtype)
                if x.dtype.kind != "c":
                    where = f"ndimage.{name}, {dtype}, {shape} to int"
                    yield where, lambda x, k, f=function: f(x, k, output=np.int16), x, array_of(*sizes, dtype=dtype)
            for name in ("convolve1d", "correlate1d"):
                yield f"ndimage.{name}, {dtype}, {shape}", getattr(ndimage, name), x, array_of(5, dtype=dtype)
        large = np.pad(array_of(5, 5), 15).astype(dtype)
        for bits in (True, False):
            where = f"ndimage.correlate, zeros around, bits={bits}, {dtype}"
            yield where, lambda x, k, b=bits: ndimage.correlate(x, k, bits=b), array_of(90, 100, dtype=dtype), large
        yield (
            f"ndimage.correlate, output, {dtype}",
            lambda out: ndimage.correlate(np.ones((9, 9), out.dtype), np.ones((3, 3)), output=out),
            array_of(9, 9, dtype=dtype),
        )
        yield (
            f"ndimage.correlate, cval, {dtype}",
            lambda v: ndimage.correlate(np.ones((9, 9), v.dtype), np.ones((3, 3)), mode="constant", cval=v[0]),
            array_of(1, dtype=dtype),
        )
        for name in ("gaussian_filter", "gaussian_filter1d"):
            yield (
                f"ndimage.{name}, sigma, {dtype}",
                lambda v, name=name: getattr(ndimage, name)(np.ones(9), v[0].real),
                array_of(1, dtype=dtype),
            )


def _cv2_calls():
    for dtype in ("f4", "f8", ">f4"):
        for shape in ((9, 12), (30, 40, 3)):
            x, name = array_of(*shape, dtype=dtype), f"{dtype}, {shape}"
            yield f"cv2.filter2D, {name}", lambda x, k: cv2.filter2D(x, -1, k), x, array_of(3, 3, dtype=dtype)
            yield (
                f"cv2.sepFilter2D, {name}",
                lambda x, a, b: cv2.sepFilter2D(x, -1, a, b),
                x,
                array_of(3, dtype=dtype),
                array_of(3, dtype=dtype),
            )
            yield f"cv2.blur, {name}", lambda x: cv2.blur(x, (3, 3)), x
            yield f"cv2.boxFilter, {name}", lambda x: cv2.boxFilter(x, -1, (3, 3), normalize=False), x
            yield f"cv2.GaussianBlur, {name}", lambda x: cv2.GaussianBlur(x, (5, 5), 0), x
            yield f"cv2.Sobel, {name}", lambda x: cv2.Sobel(x, -1, 1, 0, scale=0.5), x
            yield f"cv2.Scharr, {name}", lambda x: cv2.Scharr(x, -1, 1, 0), x
            yield f"cv2.Laplacian, {name}", lambda x: cv2.Laplacian(x, -1, ksize=5), x
            yield f"cv2.pyrDown, {name}", cv2.pyrDown, x
            yield f"cv2.pyrUp, {name}", cv2.pyrUp, x
            yield f"cv2.matchTemplate, {name}", lambda x: cv2.matchTemplate(x, x[:3, :4].copy(), 5), x
            yield f"cv2.filter2D, dst, {name}", lambda out: cv2.filter2D(np.ones_like(out), -1, np.ones((3, 3)), out), x
        for name in ("delta", "scale"):
            yield (
                f"cv2.Sobel, {name}, {dtype}",
                lambda v, n=name: cv2.Sobel(np.ones((9, 9), "f4"), -1, 1, 0, **{n: v[0]}),
                array_of(1, dtype=dtype),
            )
        yield (
            f"cv2.getGaborKernel, {dtype}",
            lambda v: cv2.getGaborKernel((5, 5), 1, v[0], 3, 1),
            array_of(1, dtype=dtype),
        )
        yield f"cv2.getGaussianKernel, {dtype}", lambda v: cv2.getGaussianKernel(5, v[0]), array_of(1, dtype=dtype)
        yield (
            f"cv2.getDerivKernels, {dtype}",
            lambda kx, ky: np.array(cv2.getDerivKernels(1, 0, 3, kx, ky)),
            array_of(3, 1, dtype=dtype),
            array_of(3, 1, dtype=dtype),
        )
    pixels = array_of(9, 12, dtype="u1")
    yield (
        "cv2.sepFilter2D, u1 to i2",
        lambda a, b: cv2.sepFilter2D(pixels, cv2.CV_16S, a, b, delta=0.5),
        array_of(3),
        array_of(3),
    )
    yield "cv2.filter2D, u1", lambda k: cv2.filter2D(pixels, -1, k), array_of(3, 3)


_MAKERS = (_core_calls, _picture_calls, _numpy_and_signal_calls, _ndimage_calls, _cv2_calls)
CALLS: dict[str, Call] = {}
for make in _MAKERS:
    for name, function, *arrays in make():
        assert name not in CALLS
        CALLS[name] = Call(function, arrays)


def outcome(function, arrays):
    """The result, or the type and message of an error."""
    try:
        return function(*arrays)
    except (ValueError, TypeError, OverflowError, RuntimeError, compat.Unsupported, cv2.error) as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", CALLS)
def test_signalling_nans_give_the_result_of_quiet_ones_without_warnings(name):
    function, arrays = CALLS[name]
    for number, array in enumerate(arrays):
        if array.dtype.kind not in "fc":
            continue
        for place in _PLACES:

            def given(*kind, number=number, array=array, place=place):
                return [*arrays[:number], with_nan(array, place, *kind), *arrays[number + 1 :]]

            with np.errstate(all="ignore"):
                wanted = outcome(function, given(False))
            found = [outcome(function, given(True))]
            with np.errstate(all="raise"):
                found.append(outcome(function, given(True, 1)))  # another payload: the kernel is not cached
            for one in found:
                if isinstance(wanted, (np.ndarray, np.generic)):
                    assert type(one) is type(wanted), one
                    assert one.dtype == wanted.dtype
                    if wanted.dtype.kind in "fc":  # integers made of a NaN are arbitrary
                        np.testing.assert_array_equal(one, wanted)
                else:
                    assert one == wanted


def test_calls_cover_every_public_function_of_arrays():
    modules = {
        "": fastconv,
        "image.": image,
        "numpy.": compat.numpy,
        "signal.": signal,
        "ndimage.": ndimage,
        "cv2.": cv2,
    }
    without_arrays = {"warmup", "clear_caches", "show_config", "correlation_lags"}
    called = "\n" + "\n".join(name.removeprefix("fastconv.compat.") for name in CALLS)
    for prefix, module in modules.items():
        for name in module.__all__:
            if isinstance(getattr(module, name), types.FunctionType) and name not in without_arrays:
                assert f"\n{prefix}{name}" in called, f"{prefix}{name}"
