"""fastconv: convolution in one and two dimensions, near the limit of the processor, from Python alone.

``convolve1d``, ``convolve2d``, ``correlate1d`` and ``correlate2d`` work along the axes of any array;
``convolve`` and ``correlate`` take two signals or two images, and ``plan`` prepares a kernel for many arrays.
`fastconv.reference` has the definition as plain loops, `fastconv.kernels` has kernels by name, and `fastconv.image`
applies them to Pillow images.
"""

from fastconv.convolution import convolve, convolve1d, convolve2d, correlate, correlate1d, correlate2d
from fastconv.planning import plan

__version__ = "0.1.0"
__all__ = ["convolve", "convolve1d", "convolve2d", "correlate", "correlate1d", "correlate2d", "plan"]
