"""Convolution and correlation in one and two dimensions, compiled by Numba for the host processor.

`convolve1d`, `convolve2d`, `correlate1d` and `correlate2d` work along the axes of any array; `convolve` and `correlate`
take two signals or two images; `plan` prepares a convolution with one kernel for many arrays, and `convolve_bank` and
`correlate_bank` apply many kernels to one image. `warmup` compiles ahead of time, `clear_caches` frees memory kept
between calls, and `show_config` describes the installation.

Submodules, imported when first used: `fastconv.reference` is the definition as plain loops, `fastconv.kernels` has
named kernels, `fastconv.image` filters pictures, `fastconv.layers` has convolutional layers, and `fastconv.compat` has
drop-ins for functions of other libraries.

Keywords
--------
A keyword has the same meaning in all functions. The differences are in defaults and in supported functions:

==============  ====================================  ==================================================
keyword         `convolve*`, `correlate*`, `plan`     `fastconv.image`
==============  ====================================  ==================================================
`mode`          'full', as in NumPy and SciPy         'same': a picture keeps its size
`boundary`      'zero', as in NumPy and SciPy         'reflect': borders do not darken
`axis`, `axes`  the last: batches come first          the first two: channels come last
`method`        'auto'                                not a keyword: always the fastest
`correlate`     `plan` only                           `filter` only
`dtype`         `plan` only: dtype of the arrays      `filter` only: dtype of the result
`fill_value`    any value that the result can hold    any value that a pixel can have
`workers`       None: all that the process may use    the same
`out`           also when a plan is called            `filter` and `gaussian_blur` only, for arrays
==============  ====================================  ==================================================

In `fastconv.kernels`, `dtype` is that of the taps. The first argument is `x` in one-dimensional and general functions,
and `image` in two-dimensional ones.
"""

from typing import TYPE_CHECKING

from fastconv._runtime.bounded_cache import clear_caches
from fastconv._runtime.lazy_modules import submodules
from fastconv._version import VERSION
from fastconv.banks import convolve_bank, correlate_bank
from fastconv.configuration import show_config
from fastconv.convolution import convolve, convolve1d, convolve2d, correlate, correlate1d, correlate2d
from fastconv.planning import plan
from fastconv.warming import warmup

if TYPE_CHECKING:  # freezing tools follow these imports too
    from fastconv import compat as compat
    from fastconv import image as image
    from fastconv import kernels as kernels
    from fastconv import layers as layers
    from fastconv import reference as reference
else:
    __getattr__, __dir__ = submodules(__name__, ("compat", "image", "kernels", "layers", "reference"))

__version__ = VERSION
__all__ = [
    "clear_caches",
    "convolve",
    "convolve1d",
    "convolve2d",
    "convolve_bank",
    "correlate",
    "correlate1d",
    "correlate2d",
    "correlate_bank",
    "plan",
    "show_config",
    "warmup",
]
