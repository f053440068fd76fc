"""Curvatures and bands: the Laplacian of Gaussian, differences of Gaussians, and edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastconv import kernels
from fastconv._model.arguments import as_finite
from fastconv._model.message_formatting import shown
from fastconv._model.separability import Separable
from fastconv._runtime import progress_reports
from fastconv.image._blurs import gaussian_kernel
from fastconv.image._filter import filtered
from fastconv.image._options import KeywordsOfMissing, Options, Picture, takes_missing
from fastconv.image._sums_of_zero import LEVEL, closed_floats, combine, derivative, of_floats, opened_for_sum_of_zero
from fastconv.kernels._checks import each, positive
from fastconv.kernels._profiles import curvature_profile, gaussian_profiles, not_negative

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes_missing
def laplacian_of_gaussian(
    image: Any, sigma: float | tuple[float, ...], *, truncate: float = 4.0, **options: Unpack[KeywordsOfMissing]
) -> NDArray[np.floating]:
    """Compute the Laplacian of a picture blurred with a Gaussian: edges are at its zero crossings.

    It is the sum of the second derivatives, as of `fastconv.kernels.log`, along each axis: exact for polynomials up to
    the third degree, and negative on a bright spot.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`; or a volume, with `axes`.
    sigma : float or tuple of float
        Standard deviation in pixels, or one for each axis, positive.
    truncate : float
        The cut-off in standard deviations: the radius is ``max(1, int(truncate * sigma + 0.5))`` pixels.
    shared keywords

    Returns
    -------
    ndarray of float32 (float64 where `filter` sums in it), shape (H, W) or (H, W, C)
        Signed, neither rounded nor saturated; 0 throughout an alpha channel.

    Raises
    ------
    ValueError, TypeError
        As `sobel_magnitude` and `fastconv.kernels.log`.

    See Also
    --------
    difference_of_gaussians : A similar filter.
    fastconv.kernels.log : The kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import laplacian_of_gaussian
    >>> dot = np.zeros((9, 9), np.uint8)
    >>> dot[4, 4] = 100
    >>> laplacian_of_gaussian(dot, 1.0)[4, 3:6].round(1)
    array([ -9.7, -31.9,  -9.7], dtype=float32)
    """
    source = of_floats(opened_for_sum_of_zero(image, Options.of(laplacian_of_gaussian, options), axes=None))
    count = len(source.axes)
    gaussian_profiles(sigma, truncate, count)  # checks both
    sigmas = [max(one, 0.1) for one in each(sigma, "sigma", positive, count)]  # as `kernels.log`
    radii = [max(1, int(positive(truncate, "truncate") * one + 0.5)) for one in sigmas]
    blurs = [gaussian_profiles(one, radius / one, 2)[0] for one, radius in zip(sigmas, radii)]
    total, level = None, Separable(tuple(blurs), source.sums)
    source.check_results(tuple(line.size for line in blurs))
    for axis in range(count):
        lines = list(blurs)
        lines[axis] = curvature_profile(sigmas[axis], radii[axis])
        with progress_reports.part(axis, count):
            part = derivative(source, Separable(tuple(lines), source.sums), level)
        if total is None:
            total = part
        else:
            combine(np.add, total.values, part.values, out=total.values)
            total = total.known_with(part)
    assert total is not None
    source.in_pixels(total.values)
    return closed_floats(source, total)


@takes_missing
def difference_of_gaussians(
    image: Any,
    low_sigma: float | tuple[float, ...],
    high_sigma: float | tuple[float, ...] | None = None,
    *,
    truncate: float = 4.0,
    **options: Unpack[KeywordsOfMissing],
) -> NDArray[np.floating]:
    """Subtract a wide Gaussian blur from a narrow one: a band-pass filter for details between the two scales.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`; or a volume, with `axes`.
    low_sigma : float or tuple of float
        Standard deviation of the narrow blur in pixels, or one for each axis, as in `gaussian_blur`.
    high_sigma : float or tuple of float, optional
        Standard deviation of the wide blur, or one for each axis. By default ``1.6 * low_sigma``, which is close to a
        Laplacian of a Gaussian [1]_. The modes 'full' and 'valid' are those of its kernel.
    truncate : float
        The radius at which both Gaussians are cut off, in standard deviations.
    shared keywords

    Returns
    -------
    ndarray of float32 (float64 where `filter` sums in it), shape (H, W) or (H, W, C)
        Signed, neither rounded nor saturated; 0 throughout an alpha channel.

    Raises
    ------
    ValueError
        If `high_sigma` is not larger than `low_sigma`, along each axis where one is not 0; and as `sobel_magnitude` and
        `fastconv.kernels.gaussian`.
    TypeError
        If one of them is not a number; and as `sobel_magnitude`.

    See Also
    --------
    gaussian_blur : One of the two blurs.
    fastconv.kernels.log : The Laplacian of a Gaussian.

    References
    ----------
    .. [1] Marr, D., Hildreth, E., "Theory of edge detection", Proceedings of the Royal Society of London B 207, 1980.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import difference_of_gaussians
    >>> dot = np.zeros((9, 9), np.uint8)
    >>> dot[4, 4] = 100
    >>> difference_of_gaussians(dot, 1.0)[4, 3:6].round(1)
    array([4.5, 9.7, 4.5], dtype=float32)
    """
    source = of_floats(opened_for_sum_of_zero(image, Options.of(difference_of_gaussians, options), axes=None))
    count = len(source.axes)
    low = each(low_sigma, "low_sigma", not_negative, count)
    high = tuple(1.6 * one for one in low) if high_sigma is None else each(high_sigma, "high_sigma", as_finite, count)
    if not any(high) or not all(wide > narrow or wide == narrow == 0 for wide, narrow in zip(high, low)):
        wanted = f"larger than low_sigma, {shown(low_sigma)}, along each axis where one is not 0"
        got = "1.6 times that" if high_sigma is None else shown(high_sigma)
        raise ValueError(f"high_sigma must be {wanted}; got {got}")
    wide = gaussian_kernel(high, truncate, source)
    narrow = gaussian_kernel(low, truncate, source)
    if source.options.mode != "same":
        around = [(outer - inner) // 2 for outer, inner in zip(wide.shape, narrow.shape)]
        narrow = narrow._replace(lines=tuple(np.pad(line, n) for line, n in zip(narrow.lines, around)))
    source.check_results(wide.shape)
    with progress_reports.part(0, 2):
        result = source.convolved(narrow, source.sums)
    other = source.convolved(wide, source.sums)
    combine(np.subtract, result.values, other.values, out=result.values)
    source.in_pixels(result.values)
    return closed_floats(source, result.known_with(other))


@takes_missing
def edges(image: Picture, **options: Unpack[KeywordsOfMissing]) -> Picture | Any:
    """Show edges: `filter` with `fastconv.kernels.edge`, a Laplacian of 8 neighbours.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind: what is brighter than its neighbours. With `dtype` it is signed.

    Raises
    ------
    ValueError, TypeError
        As `filter`.

    See Also
    --------
    sobel_magnitude : Edges by the gradient.
    fastconv.kernels.edge : The kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import edges
    >>> edges(np.array([[0, 0, 20, 20]] * 3, np.uint8))[1]
    array([ 0,  0, 60,  0], dtype=uint8)
    """
    source = opened_for_sum_of_zero(image, Options.of(edges, options))
    source.check_valid((3, 3))
    return filtered(source, kernels.edge(dtype=np.float64), level=LEVEL)
