"""Drop-in replacements for `convolve`, `convolve_fft` and `interpolate_replace_nans` of `astropy.convolution`.

Arguments, values, types, warnings and errors are those of Astropy 8: NaNs are interpolated or filled, kernels
normalized, and `NDData`, masked arrays, arrays with units and kernel objects are taken as there. Astropy is not
imported: its objects bring it along. Sums are of float64, as in Astropy.

- `convolve_fft` computes no Fourier transform of the whole array: zeros stay zeros, no sum of distant samples is
  rounded, and no memory is needed for it, so that only the first of Astropy's two checks of sizes is made. `fftn`,
  `ifftn`, `fft_pad` and `dealias` make no difference. NaNs that come of a fill value, or of a kernel of zeros, are
  returned, where Astropy raises an error.
- `fastconv.compat.Unsupported` is raised for `return_fft`, ``crop=False``, ``psf_pad=False`` but with ``"wrap"``,
  another `complex_dtype`, complex kernels, a kernel that is larger than an array that wraps, a kernel with a NaN or an
  infinity in `convolve`, and arrays of 0 or, in `convolve`, of more than 3 dimensions.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from fastconv.compat._namespaces import completed, nativeness
from fastconv.compat._unsupported import Unsupported
from fastconv.convolution import Boundary
from fastconv.convolution import convolve as convolve_along_all_axes

__all__ = ["convolve", "convolve_fft", "interpolate_replace_nans"]
__getattr__, __dir__ = completed(__name__, "astropy.convolution")
is_native = nativeness(__name__)

# As `astropy.convolution.core.MAX_NORMALIZATION`.
_MAX_NORMALIZATION = 100
_BOUNDARIES: dict[str, Boundary] = {"fill": "fill", "wrap": "wrap", "extend": "nearest"}


class _KernelSizeError(Exception):
    """Raised for even kernels if Astropy, whose own class it replaces, is not imported."""


def convolve(
    array,
    kernel,
    boundary="fill",
    fill_value=0.0,
    nan_treatment="interpolate",
    normalize_kernel=True,
    mask=None,
    preserve_nan=False,
    normalization_zero_tol=1e-8,
) -> Any:
    """Convolve an array with a kernel, and replace or leave out NaNs, as `astropy.convolution.convolve` does.

    Parameters
    ----------
    array : array_like, `astropy.nddata.NDData` or `astropy.convolution.Kernel`
        The samples, along one to three axes. Masked ones are NaNs.
    kernel : array_like or `astropy.convolution.Kernel`
        The taps, of odd extents.
    boundary : {'fill', 'wrap', 'extend', None}
        How the array continues outside: with `fill_value`, periodically, or with the nearest sample. With None results
        whose kernel reaches outside are 0.
    fill_value : float
        The value outside; NaN for nothing.
    nan_treatment : {'interpolate', 'fill'}
        'interpolate' leaves NaNs out, and divides by the sum of the taps over the rest; 'fill' replaces them by
        `fill_value`.
    normalize_kernel : bool
        Divide by the sum of the taps.
    mask : array_like, optional
        NaNs are taken where it is not 0.
    preserve_nan : bool
        Return NaN where the array has one.
    normalization_zero_tol : float
        The sum of the taps up to which it counts as 0.

    Returns
    -------
    ndarray
        Of the shape of `array`, and of its dtype if that is a float, else float64; with the unit of `array`, and a
        `astropy.convolution.Kernel` for a kernel.

    Raises
    ------
    ValueError
        For unknown options, a kernel with masked taps, one whose sum must not be 0, and arrays that do not fit.
    TypeError
        For input that is not numeric.
    KernelSizeError
        For a kernel of even extents, and one larger than the array with ``boundary=None``.
    Unsupported
        See the module docstring.

    See Also
    --------
    fastconv.convolve : The function for new programs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import astropy
    >>> astropy.convolve([1, 2, np.nan, 1, 2], [0.25, 0.5, 0.25], boundary="extend")
    array([1.25      , 1.66666667, 1.5       , 1.33333333, 1.75      ])
    """
    if _is_nddata(array):
        return _of_nddata(convolve)(
            array, kernel, boundary, fill_value, nan_treatment, normalize_kernel, mask, preserve_nan,
            normalization_zero_tol,
        )  # fmt: skip
    if boundary not in (None, *_BOUNDARIES):
        raise ValueError(f"Invalid boundary option: must be one of {[None, *_BOUNDARIES]}")
    if nan_treatment not in ("interpolate", "fill"):
        raise ValueError("nan_treatment must be one of 'interpolate','fill'")
    _check_taps(kernel)
    samples = _as_floats(array, float, nan_treatment == "fill", mask)
    taps = _as_floats(kernel, float)
    dtype = getattr(array, "dtype", samples.dtype)
    if any(extent % 2 == 0 for extent in taps.shape):
        raise _class("KernelSizeError", _KernelSizeError)("Kernel size must be odd in all axes.")
    if _is_kernel(array) and _is_kernel(kernel):
        _warn(
            "Both array and kernel are Kernel instances, hardwiring the following parameters: boundary='fill', "
            "fill_value=0, normalize_Kernel=True, nan_treatment='interpolate'"
        )
        boundary, fill_value, normalize_kernel, nan_treatment = "fill", 0, True, "interpolate"
    if samples.ndim == 0:
        raise ValueError("cannot convolve 0-dimensional arrays")
    if samples.ndim > 3:
        raise Unsupported("convolve only supports 1, 2, and 3-dimensional arrays at this time")
    if samples.ndim != taps.ndim:
        raise ValueError("array and kernel have differing number of dimensions.")
    if samples.size == 0:
        raise ValueError("cannot convolve empty array")
    if boundary is None and any(extent < count for extent, count in zip(samples.shape, taps.shape)):
        raise _class("KernelSizeError", _KernelSizeError)(
            "for boundary=None all kernel axes must be smaller than array's - "
            "use boundary in ['fill', 'extend', 'wrap'] instead."
        )
    if not np.isfinite(taps).all():
        raise Unsupported("a kernel that is not finite")
    with np.errstate(all="ignore"):
        fill = float(fill_value)
        interpolates = nan_treatment == "interpolate" and (
            (boundary == "fill" and np.isnan(fill)) or bool(np.isnan(samples.sum()))
        )
        total = taps.sum()
        if normalize_kernel or interpolates:
            _check_total(total, normalization_zero_tol, interpolates)
        missing = np.isnan(samples) if preserve_nan or nan_treatment == "fill" else None
        if nan_treatment == "fill":
            samples[missing] = fill
        if interpolates:
            result = _interpolated(samples, taps, boundary, fill)
            if not normalize_kernel:
                result *= total
        else:
            result = _sums(samples, taps, boundary, fill)
            if normalize_kernel:
                result /= total
        if interpolates and not preserve_nan and np.isnan(result.sum()):
            _warn(
                "nan_treatment='interpolate', however, NaN values detected post convolution. A contiguous region of "
                "NaN values, larger than the kernel size, are present in the input array. Increase the kernel size to "
                "avoid this."
            )
        if preserve_nan:
            result[missing] = np.nan
        unit = getattr(array, "unit", None)
        if unit is not None:
            result = result << unit
        if _is_kernel(array):
            return _as_kernel(result, array, kernel)
        return result.astype(dtype, copy=False) if dtype.kind == "f" else result


def convolve_fft(
    array,
    kernel,
    boundary="fill",
    fill_value=0.0,
    nan_treatment="interpolate",
    normalize_kernel=True,
    normalization_zero_tol=1e-8,
    preserve_nan=False,
    mask=None,
    crop=True,
    return_fft=False,
    fft_pad=None,
    psf_pad=None,
    min_wt=0.0,
    allow_huge=False,
    fftn=np.fft.fftn,
    ifftn=np.fft.ifftn,
    complex_dtype=complex,
    dealias=False,
) -> Any:
    """Convolve an array with a kernel, and replace or leave out NaNs, as `astropy.convolution.convolve_fft` does.

    Parameters
    ----------
    array : array_like or `astropy.nddata.NDData`
        The samples, along any number of axes. Infinities, and masked samples, are NaNs.
    kernel : array_like or `astropy.convolution.Kernel`
        The taps. Of even extents, the one behind the middle is the centre. Taps that are not finite are 0.
    boundary : {'fill', 'wrap', None}
        How the array continues outside: with `fill_value`, also with None, or periodically.
    fill_value : float
        The value outside; NaN for nothing.
    nan_treatment : {'interpolate', 'fill'}
        As for `convolve`.
    normalize_kernel : bool or callable
        Divide by the sum of the taps; a function of the kernel returns another divisor of the weights.
    normalization_zero_tol : float
        The sum of the taps up to which it counts as 0.
    preserve_nan : bool
        Return NaN where the array has one.
    mask : array_like, optional
        NaNs are taken where it is not 0.
    crop, return_fft, complex_dtype : optional
        Only the defaults are supported.
    fft_pad, psf_pad, dealias : optional
        Checked against `boundary`.
    min_wt : float
        The share of the taps below which a result is NaN; where it is 0, results without a known sample are 0.
    allow_huge : bool
        Whether to take arrays of more than 62.5 million samples.
    fftn, ifftn : callable
        Not used.

    Returns
    -------
    ndarray of float64
        Of the shape of `array`.

    Raises
    ------
    ValueError
        As `convolve`, for a huge array, and for paddings that do not go with `boundary`.
    TypeError
        For input that is not numeric, and two kernels.
    NotImplementedError
        For ``boundary='extend'``.
    Unsupported
        See the module docstring.

    See Also
    --------
    fastconv.convolve : The function for new programs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import astropy
    >>> astropy.convolve_fft([1, np.nan, 3], [1, 1, 1])
    array([0.5, 2. , 1.5])
    """
    if _is_nddata(array):
        return _of_nddata(convolve_fft)(
            array, kernel, boundary, fill_value, nan_treatment, normalize_kernel, normalization_zero_tol, preserve_nan,
            mask, crop, return_fft, fft_pad, psf_pad, min_wt, allow_huge, fftn, ifftn, complex_dtype, dealias,
        )  # fmt: skip
    _check_taps(kernel)
    if _is_kernel(kernel) and _is_kernel(array):
        raise TypeError("Can't convolve two kernels with convolve_fft.  Use convolve instead.")
    if nan_treatment not in ("interpolate", "fill"):
        raise ValueError("nan_treatment must be one of 'interpolate','fill'")
    samples = _as_floats(array, complex, nan_treatment == "fill", mask)
    taps = _as_floats(kernel, complex)
    if samples.ndim != taps.ndim:
        raise ValueError("Image and kernel must have same number of dimensions")
    if return_fft or not crop or np.dtype(complex_dtype) != np.complex128 or samples.ndim == 0 or taps.imag.any():
        raise Unsupported("transforms, uncropped results, other complex types, complex kernels, and scalars")
    if 16 * samples.size > 1e9 and not allow_huge:
        raise ValueError(
            f"Size Error: Arrays will be {16e-9 * samples.size:.1f}G.  Use allow_huge=True to override this exception."
        )
    with np.errstate(all="ignore"):
        missing, samples, taps = ~np.isfinite(samples), samples.real, taps.real.copy()
        taps[~np.isfinite(taps)] = 0
        total = taps.sum()
        if normalize_kernel is True:
            if total < 1.0 / _MAX_NORMALIZATION:
                raise Exception(_NOT_NORMALIZABLE)
            scale, factor = total, 1 / total
        elif normalize_kernel:
            scale, factor = normalize_kernel(taps.astype(complex)).real, 1.0
        else:
            scale, factor = total, 1.0
            if abs(total) < normalization_zero_tol:
                if nan_treatment == "interpolate":
                    raise ValueError("Cannot interpolate NaNs with an unnormalizable kernel")
                scale = 1.0
        _check_padding(boundary, fft_pad, psf_pad, dealias)
        fill = float(fill_value)
        if boundary == "wrap" and any(extent < count for extent, count in zip(samples.shape, taps.shape)):
            raise Unsupported("a kernel larger than an array that wraps")
        # The tap at half the extent is the centre: with one more zero, the middle.
        taps = np.pad(taps, [(0, 1 - extent % 2) for extent in taps.shape])
        samples = np.where(missing, fill if nan_treatment == "fill" else np.nan, samples)
        fill = 0.0 if boundary == "wrap" else fill
        outside = "wrap" if boundary == "wrap" else "fill"
        if nan_treatment == "fill":
            if np.isnan(samples).any():
                raise ValueError("Encountered NaNs in convolve.  This is disallowed.")
            result = _sums(samples, taps, outside, fill if np.isfinite(fill) else 0.0)
            result *= factor
        else:
            result, weights = _divided(samples, taps, outside, fill if np.isfinite(fill) else np.nan)
            weights /= scale
            result *= scale * factor
            if min_wt > 0:
                result[weights < min_wt] = np.nan
            else:
                result[weights < 10 * np.finfo(float).eps] = 0
        if preserve_nan:
            result[missing] = np.nan
        unit = getattr(array, "unit", None)
        return result if unit is None else result << unit


def interpolate_replace_nans(array, kernel, convolve=convolve, **kwargs) -> Any:
    """Replace the NaNs of an array by what a convolution gives there, as `astropy.convolution` does.

    Parameters
    ----------
    array : array_like
        The samples.
    kernel : array_like or `astropy.convolution.Kernel`
        The taps.
    convolve : callable
        Either `convolve` or `convolve_fft`.
    **kwargs
        Further arguments of that function.

    Returns
    -------
    ndarray
        A copy of `array`, with other values where it has NaNs.

    Raises
    ------
    ValueError, TypeError, Unsupported
        As that function.

    See Also
    --------
    fastconv.convolve : The function for new programs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import astropy
    >>> astropy.interpolate_replace_nans(np.array([1, np.nan, 4.0]), [1, 1, 1])
    array([1. , 2.5, 4. ])
    """
    missing = np.isnan(array)
    result = array.copy()
    if missing.any():
        convolved = convolve(
            array, kernel, nan_treatment="interpolate", normalize_kernel=True, preserve_nan=False, **kwargs
        )
        result[missing] = convolved[missing]
    return result


_NOT_NORMALIZABLE = (
    "The kernel can't be normalized, because its sum is close to zero. The sum of the given kernel is < "
    f"{1.0 / _MAX_NORMALIZATION:.2f}. For a zero-sum kernel, set normalize_kernel=False or pass a custom normalization "
    "function to normalize_kernel."
)


def _check_total(total, tolerance, interpolates) -> None:
    """Refuse the sum of a kernel that cannot be normalized."""
    if total < 1.0 / _MAX_NORMALIZATION or np.isclose(total, 0, atol=tolerance):
        if interpolates:
            raise ValueError(
                "Setting nan_treatment='interpolate' requires the kernel to be normalized, but the input kernel has a "
                "sum close to zero. For a zero-sum kernel and data with NaNs, set nan_treatment='fill'."
            )
        raise ValueError(_NOT_NORMALIZABLE)


def _check_padding(boundary, fft_pad, psf_pad, dealias) -> None:
    """Check the paddings of `convolve_fft`."""
    if boundary == "extend":
        raise NotImplementedError("The 'extend' option is not implemented for fft-based convolution")
    if boundary == "wrap":
        for name, value in (("psf_pad", psf_pad), ("fft_pad", fft_pad), ("dealias", dealias)):
            if value:
                raise ValueError(f"With boundary='wrap', {name} cannot be enabled.")
        return
    if boundary not in (None, "fill") or (psf_pad is not None and not psf_pad):
        raise Unsupported("an array that is not padded")
    if boundary is None:
        _warn(
            "The convolve_fft version of boundary=None is equivalent to the convolve boundary='fill'.  There is no FFT "
            "equivalent to convolve's zero-if-kernel-leaves-boundary"
        )


def _check_taps(kernel) -> None:
    if np.ma.is_masked(kernel):
        raise ValueError(
            "The kernel is a masked array with masked values. Use kernel.filled(fill_value) to fill masked values "
            "before passing to convolve."
        )


def _as_floats(given, dtype, copies=False, mask=None) -> np.ndarray:
    """Convert to a plain array of floats or complex numbers, with NaNs where elements are masked."""
    given = given.array if _is_kernel(given) else given
    given = given.value if hasattr(given, "unit") else given
    try:
        if copies or np.ma.is_masked(given) or mask is not None:
            if np.ma.is_masked(given):
                found = np.asanyarray(given, dtype).filled(np.nan)
            else:
                found = np.array(given, dtype)
            if mask is not None:
                found[mask != 0] = np.nan
            return found
        return np.asarray(given, dtype)
    except (TypeError, ValueError) as error:
        raise TypeError("input should be a Numpy array or something convertible into a float array", error) from error


def _interpolated(samples, taps, boundary, fill) -> np.ndarray:
    """Sums of known samples, divided by that of the taps over them; where that is 0, the samples themselves."""
    result, weights = _divided(samples, taps, boundary, fill)
    nothing = weights == 0
    if boundary is None:
        nothing &= ~_outside(samples.shape, taps.shape)
    np.copyto(result, samples, where=nothing)
    return result


def _divided(samples, taps, boundary, fill) -> tuple[np.ndarray, np.ndarray]:
    """Sums of samples but NaNs, divided by the sum of the taps over them; and these sums."""
    if boundary is not None and (taps >= 0).all() and taps.any():
        options: dict[str, Any] = {"fill_value": fill} if boundary == "fill" else {}
        result, shares = convolve_along_all_axes(
            samples, taps, "same", boundary=_BOUNDARIES[boundary], nan="ignore", return_weight=True, **options
        )
        total = taps.sum()
        result /= total
        shares *= total
        return result, shares
    missing, fills = np.isnan(samples), not np.isnan(fill)
    weights = _sums((~missing).astype(float), taps, boundary, 1.0 if fills else 0.0)
    result = _sums(np.where(missing, 0, samples), taps, boundary, fill if fills else 0.0)
    result /= weights
    if boundary is None:
        result[_outside(samples.shape, taps.shape)] = 0
    return result, weights


def _sums(samples, taps, boundary, fill) -> np.ndarray:
    """Plain sums, one for each sample; with no boundary 0 where the kernel reaches outside."""
    if boundary is None:
        found = convolve_along_all_axes(samples, taps, "valid")
        return np.pad(found, [(extent // 2, extent // 2) for extent in taps.shape])
    options: dict[str, Any] = {"fill_value": fill} if boundary == "fill" else {}
    return convolve_along_all_axes(samples, taps, "same", boundary=_BOUNDARIES[boundary], **options)


def _outside(shape, extents) -> np.ndarray:
    """Where a kernel of these extents reaches beyond an array of this shape."""
    inside = np.zeros(shape, bool)
    inside[tuple(slice(count // 2, extent - count // 2) for extent, count in zip(shape, extents))] = True
    return ~inside


# ------------------------------------------------------------------------------------------------ Astropy's objects


def _class(name: str, otherwise: Any, module: str = "astropy.convolution.utils") -> Any:
    """A class of Astropy if its module is imported."""
    return getattr(sys.modules.get(module), name, otherwise)


def _is_kernel(value) -> bool:
    kind = _class("Kernel", None, "astropy.convolution.core")
    return kind is not None and isinstance(value, kind)


def _is_nddata(value) -> bool:
    kind = _class("NDData", None, "astropy.nddata")
    return kind is not None and isinstance(value, kind)


def _of_nddata(function):
    """A function that takes the mask of an `NDData`, and warns of what else it holds, as Astropy's own do."""
    return sys.modules["astropy.nddata"].support_nddata(data="array")(function)


def _warn(message: str) -> None:
    warnings.warn(message, _class("AstropyUserWarning", UserWarning, "astropy.utils.exceptions"), stacklevel=3)


def _as_kernel(result: np.ndarray, array: Any, kernel: Any) -> Any:
    """Return a result as a kernel of as many axes as `array`."""
    core = sys.modules["astropy.convolution.core"]
    for kind in (core.Kernel1D, core.Kernel2D):
        if isinstance(array, kind):
            found = kind(array=result)
            found._is_bool = False
            found._separable = array._separable
            if _is_kernel(kernel):
                found._separable = found._separable and kernel._separable
            return found
    raise TypeError("Only 1D and 2D Kernels are supported.")
