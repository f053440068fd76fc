"""Other libraries' functions over fastconv's engine.

`fastconv.compat.numpy`, `fastconv.compat.signal`, `fastconv.compat.ndimage` and `fastconv.compat.cv2` have functions
with the names, signatures, shapes, types and edges of `numpy`, `scipy.signal`, `scipy.ndimage` and `cv2`, and need none
of them but NumPy. They are imported when they are first used. `patch` puts them in place of the originals in a program
that is as it is.
"""

from typing import TYPE_CHECKING

from fastconv._runtime.lazy_modules import submodules
from fastconv.compat._patch import Calls, Patch, patch
from fastconv.compat._unsupported import Unsupported

if TYPE_CHECKING:  # freezers follow these imports too
    from fastconv.compat import cv2 as cv2
    from fastconv.compat import ndimage as ndimage
    from fastconv.compat import numpy as numpy
    from fastconv.compat import signal as signal
else:
    __getattr__, __dir__ = submodules(__name__, ("cv2", "ndimage", "numpy", "signal"))

__all__ = ["Calls", "Patch", "Unsupported", "patch"]
