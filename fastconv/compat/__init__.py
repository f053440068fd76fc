"""Drop-in replacements for the convolutions of other libraries.

`fastconv.compat.numpy`, `fastconv.compat.signal`, `fastconv.compat.ndimage`, `fastconv.compat.cv2`,
`fastconv.compat.astropy` and `fastconv.compat.dask_image` have functions with the names, signatures, shapes, types and
boundaries of `numpy`, `scipy.signal`, `scipy.ndimage`, `cv2`, `astropy.convolution` and `dask_image.ndfilters`. Of
these libraries only NumPy is required, and dask for the last one. Other names of the modules are looked up in the
originals, where those are installed. The modules are imported at first use. `patch` replaces the originals in a program
without changing it.
"""

from typing import TYPE_CHECKING

from fastconv._runtime.lazy_modules import submodules
from fastconv.compat._patch import Calls, Patch, patch
from fastconv.compat._unsupported import Unsupported

if TYPE_CHECKING:  # freezing tools follow these imports too
    from fastconv.compat import astropy as astropy
    from fastconv.compat import cv2 as cv2
    from fastconv.compat import dask_image as dask_image
    from fastconv.compat import ndimage as ndimage
    from fastconv.compat import numpy as numpy
    from fastconv.compat import signal as signal
else:
    __getattr__, __dir__ = submodules(__name__, ("astropy", "cv2", "dask_image", "ndimage", "numpy", "signal"))

__all__ = ["Calls", "Patch", "Unsupported", "patch"]
