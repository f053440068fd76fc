"""Other libraries' functions over fastconv's engine.

`fastconv.compat.numpy`, `fastconv.compat.signal`, `fastconv.compat.ndimage` and `fastconv.compat.cv2` have functions
with the names, signatures, shapes, types and edges of `numpy`, `scipy.signal`, `scipy.ndimage` and `cv2`, and need none
of them but NumPy. `patch` puts them in place of the originals in a program that is as it is.
"""

from fastconv.compat._patch import Calls, Patch, patch
from fastconv.compat._unsupported import Unsupported

__all__ = ["Calls", "Patch", "Unsupported", "patch"]
