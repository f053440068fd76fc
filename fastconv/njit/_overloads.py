"""Overloads of `convolve1d`, `convolve2d`, `correlate1d` and `correlate2d` for Numba."""

from __future__ import annotations

from typing import Callable

from numba.core import errors
from numba.extending import overload

from fastconv import convolution
from fastconv.njit._requests import PYTHON_ONLY, check_options, request_for


def _call(name: str, x, kernel, mode, axes, boundary, fill_value, workers, out, count, flip, others) -> Callable:
    """Check the types of a call; return the function that computes it."""
    request = request_for((name, "kernel"), x, kernel, mode, boundary, count, flip)
    check_options(request, x, axes, fill_value, workers, out, others)
    from fastconv.njit._lowering import call_of  # here, since most programs that use Numba compile no such call

    return call_of(request)


def _along_one_axis(flip: bool) -> Callable:
    def convolve(
        x,
        kernel,
        mode="full",
        axis=-1,
        boundary="zero",
        fill_value=0,
        stride=1,
        dilation=1,
        start=None,
        lags=None,
        method="auto",
        check=True,
        workers=1,
        out=None,
        progress=None,
        nan="propagate",
        weights=None,
        min_weight=0.0,
        return_weight=False,
        normalize=True,
        missing_value=None,
    ):
        others = {name: value for name, value in locals().items() if name in PYTHON_ONLY}
        call = _call("x", x, kernel, mode, axis, boundary, fill_value, workers, out, 1, flip, others)

        def compiled(
            x,
            kernel,
            mode="full",
            axis=-1,
            boundary="zero",
            fill_value=0,
            stride=1,
            dilation=1,
            start=None,
            lags=None,
            method="auto",
            check=True,
            workers=1,
            out=None,
            progress=None,
            nan="propagate",
            weights=None,
            min_weight=0.0,
            return_weight=False,
            normalize=True,
            missing_value=None,
        ):
            return call(x, kernel, mode, axis, boundary, fill_value, workers, out)

        return compiled

    return convolve


def _along_two_axes(flip: bool) -> Callable:
    def convolve(
        image,
        kernel,
        mode="full",
        axes=(-2, -1),
        boundary="zero",
        fill_value=0,
        stride=1,
        dilation=1,
        start=None,
        method="auto",
        check=True,
        workers=1,
        out=None,
        progress=None,
        nan="propagate",
        weights=None,
        min_weight=0.0,
        return_weight=False,
        normalize=True,
        missing_value=None,
    ):
        others = {name: value for name, value in locals().items() if name in PYTHON_ONLY}
        call = _call("image", image, kernel, mode, axes, boundary, fill_value, workers, out, 2, flip, others)

        def compiled(
            image,
            kernel,
            mode="full",
            axes=(-2, -1),
            boundary="zero",
            fill_value=0,
            stride=1,
            dilation=1,
            start=None,
            method="auto",
            check=True,
            workers=1,
            out=None,
            progress=None,
            nan="propagate",
            weights=None,
            min_weight=0.0,
            return_weight=False,
            normalize=True,
            missing_value=None,
        ):
            return call(image, kernel, mode, axes, boundary, fill_value, workers, out)

        return compiled

    return convolve


def _only_from_python(name: str) -> Callable:
    def refuse(*arguments, **options):
        raise errors.TypingError(
            f"fastconv.{name} is not supported in compiled code, but by calls from Python: "
            "only convolve1d, convolve2d, correlate1d and correlate2d are"
        )

    return refuse


# Registered once, by the import of this module.
function: Callable
for function, make, flip in (
    (convolution.convolve1d, _along_one_axis, True),
    (convolution.correlate1d, _along_one_axis, False),
    (convolution.convolve2d, _along_two_axes, True),
    (convolution.correlate2d, _along_two_axes, False),
):
    overload(function, prefer_literal=True)(make(flip))
for function in (convolution.convolve, convolution.correlate, convolution.convolve3d, convolution.correlate3d):
    overload(function)(_only_from_python(function.__name__))
