"""
All filters of ndimage, whole and in chunks
===========================================

`fastconv.compat.ndimage` has the functions of `scipy.ndimage`, most to the last bit, and `fastconv.compat.dask_image`
those of `dask_image.ndfilters`, for pictures that come in chunks.
"""

# sphinx_gallery_thumbnail_axes = 3
import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
import scipy.ndimage
from matplotlib.cbook import get_sample_data
from PIL import Image

from fastconv.compat import dask_image, ndimage

with get_sample_data("grace_hopper.jpg") as file:
    picture = np.asarray(Image.open(file).convert("L").crop((130, 40, 350, 240)), np.float64)
relief = np.array([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]])

results = {
    "convolve": ndimage.convolve(picture, relief),
    "correlate": ndimage.correlate(picture, relief),
    "gaussian_filter": ndimage.gaussian_filter(picture, 3),
    "gaussian_laplace": ndimage.gaussian_laplace(picture, 2),
    "gaussian_gradient_magnitude": ndimage.gaussian_gradient_magnitude(picture, 1.5),
    "laplace": ndimage.laplace(picture),
    "prewitt": ndimage.prewitt(picture),
    "sobel": ndimage.sobel(picture),
    "uniform_filter": ndimage.uniform_filter(picture, 9),
    "convolve1d": ndimage.convolve1d(picture, [-1.0, 0, 1]),
    "correlate1d": ndimage.correlate1d(picture, [-1.0, 0, 1]),
    "gaussian_filter1d": ndimage.gaussian_filter1d(picture, 5),
    "uniform_filter1d": ndimage.uniform_filter1d(picture, 15),
    "generic_laplace": ndimage.generic_laplace(
        picture, lambda x, axis, *rest: ndimage.correlate1d(x, [1, -2, 1], axis)
    ),
    "generic_gradient_magnitude": ndimage.generic_gradient_magnitude(
        picture, lambda x, axis, *rest: ndimage.sobel(x, axis)
    ),
}
for name, argument in {"gaussian_filter": 3, "gaussian_laplace": 2, "correlate": relief}.items():
    print(name, "as in SciPy:", np.array_equal(results[name], getattr(scipy.ndimage, name)(picture, argument)))

chunks = da.from_array(picture, chunks=80)
in_chunks = {
    "convolve": dask_image.convolve(chunks, relief),
    "correlate": dask_image.correlate(chunks, relief),
    "gaussian_filter": dask_image.gaussian_filter(chunks, 3),
    "gaussian_laplace": dask_image.gaussian_laplace(chunks, 2),
    "gaussian_gradient_magnitude": dask_image.gaussian_gradient_magnitude(chunks, 1.5),
    "laplace": dask_image.laplace(chunks),
    "prewitt": dask_image.prewitt(chunks),
    "sobel": dask_image.sobel(chunks),
    "uniform_filter": dask_image.uniform_filter(chunks, 9),
}
seams = {name: float(np.abs(lazy.compute() - results[name]).max()) for name, lazy in in_chunks.items()}
print(f"largest difference in chunks: {max(seams.values()):.0e}")

fig, axes = plt.subplots(3, 5, figsize=(11, 6.6), layout="constrained")
for ax, (name, result) in zip(axes.flat, results.items()):
    ax.imshow(result, cmap="gray", vmin=np.percentile(result, 1), vmax=np.percentile(result, 99))
    ax.set_title(name, fontsize=8)
    ax.set_axis_off()
plt.show()
