"""fastconv: convolution in one and two dimensions, near the limit of the processor, from Python alone.

``convolve1d``, ``convolve2d``, ``correlate1d`` and ``correlate2d`` work along the axes of any array;
``convolve`` and ``correlate`` take two signals or two images, and ``plan`` prepares a kernel for many arrays.
``warmup`` compiles ahead of time, ``clear_caches`` frees what is kept between calls, and ``show_config`` tells what
this installation is.
`fastconv.reference` has the definition as plain loops, `fastconv.kernels` has kernels by name, `fastconv.image` applies
them to Pillow images, and `fastconv.compat` has the functions of other libraries. These modules are imported when they
are first used.
"""

from typing import TYPE_CHECKING

from fastconv._runtime.lazy_modules import submodules
from fastconv._runtime.result_cache import clear_caches
from fastconv._version import VERSION
from fastconv.configuration import show_config
from fastconv.convolution import convolve, convolve1d, convolve2d, correlate, correlate1d, correlate2d
from fastconv.planning import plan
from fastconv.warming import warmup

if TYPE_CHECKING:  # freezers follow these imports too
    from fastconv import compat as compat
    from fastconv import image as image
    from fastconv import kernels as kernels
    from fastconv import reference as reference
else:
    __getattr__, __dir__ = submodules(__name__, ("compat", "image", "kernels", "reference"))

__version__ = VERSION
__all__ = [
    "clear_caches",
    "convolve",
    "convolve1d",
    "convolve2d",
    "correlate",
    "correlate1d",
    "correlate2d",
    "plan",
    "show_config",
    "warmup",
]
