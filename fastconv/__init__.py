"""Convolution and correlation along any number of axes, compiled by Numba for the host processor.

`convolve1d`, `convolve2d`, `convolve3d` and the same of `correlate` work along one to three axes of any array;
`convolve` and `correlate` along all axes of two arrays, or along some, with a kernel for each line; `correlation_lags`
are the lags of a correlation; `plan` prepares a convolution with one kernel for many arrays, and `convolve_bank` and
`correlate_bank` apply many kernels to one image. `fit_kernel` finds the kernel between two arrays. `warmup` compiles
ahead of time, `clear_caches` frees memory kept between calls, and `show_config` describes the installation.

Submodules, imported when first used: `fastconv.reference` is the definition as plain loops, `fastconv.kernels` has
named kernels, `fastconv.image` filters pictures, `fastconv.layers` has convolutional layers, `fastconv.dask` convolves
arrays larger than memory, `fastconv.xarray` labelled arrays, `fastconv.compat` has drop-ins for functions of other
libraries, and `fastconv.njit` is about calls from functions compiled by Numba.

Keywords
--------
A keyword has the same meaning in all functions. The differences are in defaults and in supported functions:

==============  ====================================  ==================================================
keyword         `convolve*`, `correlate*`, `plan`     `fastconv.image`
==============  ====================================  ==================================================
`mode`          'full', as in NumPy and SciPy         'same': a picture keeps its size
`boundary`      'zero', as in NumPy and SciPy         'reflect': borders do not darken
`axis`, `axes`  the last: batches come first          the first two: channels come last
`method`        'auto'                                the same
`correlate`     `plan` only                           `filter` only
`stride`        1; also `dilation` and `start`        not keywords
`dtype`         `plan` only: dtype of the arrays      of the result: 'float32' or 'float64', not rounded
`fill_value`    any value that the result can hold    any value that a pixel can have
`workers`       None: all that the process may use    the same
`out`           also when a plan is called            for arrays only
`progress`      also when a plan is called            the same
==============  ====================================  ==================================================

`convolve_bank`, `correlate_bank` and `fit_kernel` have the mode 'same' by default, and choose the method themselves.
`dtype` is that of a bank's result, and in `fastconv.kernels` that of the taps. The first argument is `x` in
one-dimensional and general functions, and `image` in two-dimensional ones.
"""

import sys
from typing import TYPE_CHECKING

from fastconv._runtime.bounded_cache import clear_caches
from fastconv._runtime.lazy_modules import submodules
from fastconv._version import VERSION
from fastconv.banks import convolve_bank, correlate_bank
from fastconv.configuration import show_config
from fastconv.convolution import (
    convolve,
    convolve1d,
    convolve2d,
    convolve3d,
    correlate,
    correlate1d,
    correlate2d,
    correlate3d,
    correlation_lags,
)
from fastconv.fitting import KernelFit, fit_kernel
from fastconv.planning import plan
from fastconv.warming import warmup

if TYPE_CHECKING:  # freezing tools follow these imports too
    from fastconv import compat as compat
    from fastconv import dask as dask
    from fastconv import image as image
    from fastconv import kernels as kernels
    from fastconv import layers as layers
    from fastconv import njit as njit
    from fastconv import reference as reference
    from fastconv import xarray as xarray
else:
    __getattr__, __dir__ = submodules(
        __name__, ("compat", "dask", "image", "kernels", "layers", "njit", "reference", "xarray")
    )
    if getattr(sys.modules.get("_fastconv_numba"), "called_by_numba", False):  # Numba has called its entry points
        __getattr__("njit").register()

__version__ = VERSION
__all__ = [
    "KernelFit",
    "clear_caches",
    "convolve",
    "convolve1d",
    "convolve2d",
    "convolve3d",
    "convolve_bank",
    "correlate",
    "correlate1d",
    "correlate2d",
    "correlate3d",
    "correlate_bank",
    "correlation_lags",
    "fit_kernel",
    "plan",
    "show_config",
    "warmup",
]
