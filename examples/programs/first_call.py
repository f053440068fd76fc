"""
A service whose first answer is fast
====================================

The first call of a type compiles what it needs, once per machine, and loads it once per process. A service calls
`warmup` before it takes requests, and a plan leaves only the sums for each of them.
"""

# sphinx_gallery_thumbnail_axes = 0
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

import fastconv
from fastconv import kernels

fastconv.warmup("float32")
config = fastconv.show_config("dicts")
print(*config)

request = np.random.default_rng(12).random((200, 300), np.float32)
kernel = kernels.gaussian(3)
blur = fastconv.plan(kernel, request.shape, mode="same", boundary="reflect")


def times(call, count=30):
    """Return the milliseconds that each call takes."""
    found = []
    for _ in range(count):
        start = perf_counter()
        call()
        found.append(1e3 * (perf_counter() - start))
    return found


by_function = times(lambda: fastconv.convolve2d(request, kernel, "same", boundary="reflect"))
by_plan = times(lambda: blur(request))
fastconv.clear_caches()  # the memory that calls keep for later ones, such as spectra of kernels
after_clearing = times(lambda: fastconv.convolve2d(request, kernel, "same", boundary="reflect"))

fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for label, found in {"function": by_function, "plan": by_plan, "after clear_caches": after_clearing}.items():
    ax.plot(range(1, len(found) + 1), found, "o-", ms=3, label=label)
ax.set(xlabel="call", ylabel="milliseconds", ylim=(0, None))
ax.legend()
plt.show()
