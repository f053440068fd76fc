"""
Whales in a long recording
==========================

A hydrophone records for days, and nobody holds that in memory; here it is an hour. `fastconv.dask` takes the recording
in chunks: a band-pass, and a correlation with the call of a whale; what is kept is the best match of each second.
"""

# sphinx_gallery_thumbnail_axes = 1
import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import firwin

import fastconv.dask

rate, seconds = 250, 3600
calls = np.array([400, 1010, 1650, 2230, 2900, 3300])
t = np.arange(10 * rate) / rate
call = np.hanning(t.size) * np.sin(2 * np.pi * (26 * t - 0.5 * t**2))  # falls from 26 to 16 Hz


def recorded(block_info):
    """Return a chunk of noise with calls in it."""
    ((first, last),) = block_info[None]["array-location"]
    noise = np.random.default_rng(first).normal(0, 1.5, last - first)
    for start in calls * rate:
        if first <= start < last:
            noise[start - first : start - first + call.size] += call
    return noise


recording = da.map_blocks(recorded, chunks=((60 * rate,) * 60,), dtype=float)
band = fastconv.dask.convolve1d(recording, firwin(501, [14, 30], fs=rate, pass_zero=False), "same")
match = fastconv.dask.correlate1d(band, call, "same", start="last") / np.sum(call**2)
best, piece = da.compute(np.abs(match).reshape(seconds, rate).max(axis=1), recording[400 * rate : 410 * rate])
found = np.flatnonzero(best > 0.6)
print("calls at these seconds:", *found)

fig, (above, below) = plt.subplots(2, 1, figsize=(8, 4.4), layout="constrained")
above.plot(400 + t, piece, lw=0.4, color="grey", label="recorded")
above.plot(400 + t, call, lw=0.8, label="the call in it")
above.legend(loc="upper right")
below.plot(best, lw=0.7, color="tab:green")
below.plot(calls, np.ones(len(calls)), "v", color="tab:red", label="calls")
below.set(xlabel="seconds", ylabel="best match", ylim=(0, 1.5))
below.legend(loc="upper right")
plt.show()
