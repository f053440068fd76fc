"""
A sound in a room
=================

The answer of a room to a clap contains all that the room does to a sound: any sound, convolved with it, is heard in
that room. Two seconds at 16 kHz are 32,000 taps, for which `fastconv.convolve1d` takes transforms.
"""

# sphinx_gallery_thumbnail_axes = 2
import matplotlib.pyplot as plt
import numpy as np

import fastconv

rate = 16000
rng = np.random.default_rng(6)

# A melody of plucked strings (Karplus and Strong): noise in a loop, smoothed by each round.
notes = []
for frequency in (262, 330, 392, 523):
    loop = rng.uniform(-1, 1, rate // frequency)
    rounds = [loop := fastconv.convolve1d(loop, [0.5, 0.5], "same", boundary="wrap") for _ in range(frequency // 3)]
    notes.append(np.concatenate(rounds))
melody = np.concatenate(notes)

# A hall: sound itself, some early echoes, and a decay of 60 dB in 1.8 s.
t = np.arange(2 * rate) / rate
hall = 0.15 * rng.normal(size=len(t)) * 10 ** (-3 * t / 1.8) * (t > 0.03)
hall[0] = 1
for delay, level in [(0.011, 0.6), (0.017, 0.5), (0.023, 0.4)]:
    hall[int(delay * rate)] = level

heard = fastconv.convolve1d(melody, hall)
print(fastconv.plan(hall, len(melody), melody.dtype).method)

fig, axes = plt.subplots(3, 1, figsize=(8, 5.5), sharex=True, layout="constrained")
for ax, sound, title in zip(axes, [melody, hall, heard], ["melody", "response of the hall", "melody in the hall"]):
    ax.plot(np.arange(len(sound)) / rate, sound, lw=0.4)
    ax.set_title(title, loc="left")
axes[-1].set_xlabel("seconds")
plt.show()
