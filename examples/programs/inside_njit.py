"""
Inside a compiled loop
======================

When does each of many seismographs feel a quake? The answer is a loop with a decision in it, which Numba compiles.
`fastconv.correlate1d` may be called inside of it, and each trace is matched and picked in one go.
"""

# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numba
import numpy as np

import fastconv

fastconv.njit.register()  # not needed where fastconv is installed


@numba.njit
def first_arrivals(traces, wavelet, share):
    """Return the first sample of each trace whose match is a share of the best one."""
    arrivals = np.empty(len(traces), np.int64)
    for station in range(len(traces)):
        match = np.abs(fastconv.correlate1d(traces[station], wavelet, "same"))
        threshold = share * match.max()
        sample = 0
        while match[sample] < threshold:
            sample += 1
        arrivals[station] = sample
    return arrivals


rng = np.random.default_rng(7)
t = np.arange(-40, 41) / 100
wavelet = (1 - 2 * (np.pi * 4 * t) ** 2) * np.exp(-((np.pi * 4 * t) ** 2))  # Ricker's, of 4 Hz
place = np.linspace(-60, 60, 120)  # of the stations, in km
delay = np.round(100 * (2 + np.hypot(place - 15, 20) / 6)).astype(int)  # 6 km/s, from a depth of 20 km
traces = rng.normal(0, 0.4, (120, 2000))
for trace, sample in zip(traces, delay):
    trace[sample - 40 : sample + 41] += wavelet

picked = first_arrivals(traces, wavelet, 0.8)
print(f"{np.mean(np.abs(picked - delay) <= 5):.0%} within 50 ms")

fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
ax.imshow(traces.T, extent=(-60, 60, 20, 0), aspect="auto", cmap="RdBu", vmin=-1.5, vmax=1.5)
ax.plot(place, picked / 100, "o", mfc="none", color="black", ms=6, label="picked")
ax.set(xlabel="kilometres", ylabel="seconds", ylim=(15, 3))
ax.legend()
plt.show()

# %%
# Compiled code that calls `numpy.convolve` may go on doing so: while `replace_numpy` is on, fastconv computes it.

fastconv.njit.replace_numpy()
smooth = numba.njit(lambda trace, taps: np.convolve(trace, taps))(traces[0], np.hanning(9))
fastconv.njit.replace_numpy(False)
print(np.allclose(smooth, np.convolve(traces[0], np.hanning(9))))
