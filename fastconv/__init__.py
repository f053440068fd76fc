"""fastconv: convolution in one and two dimensions, near the limit of the processor, from Python alone.

``convolve1d``, ``convolve2d``, ``correlate1d`` and ``correlate2d`` work along the axes of any array;
``convolve`` and ``correlate`` take two signals or two images, and ``plan`` prepares a kernel for many arrays.
``warmup`` compiles ahead of time, ``clear_caches`` frees what is kept between calls, and ``show_config`` tells what
this installation is.
`fastconv.reference` has the definition as plain loops, `fastconv.kernels` has kernels by name, and `fastconv.image`
applies them to Pillow images.
"""

from fastconv._caches import clear_caches
from fastconv._version import VERSION
from fastconv.configuration import show_config
from fastconv.convolution import convolve, convolve1d, convolve2d, correlate, correlate1d, correlate2d
from fastconv.planning import plan
from fastconv.warming import warmup

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
