"""
A small network that learns
===========================

One layer of eight kernels, the mean of what each finds in quarters of a picture, and a linear classifier learn to read
digits of 8 x 8 pixels. `fastconv.layers` computes the layer and the gradient to its kernels; the rest is NumPy.
"""

# sphinx_gallery_thumbnail_axes = 2
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastconv import layers

digits, labels = load_digits(return_X_y=True)
images = (digits.reshape(-1, 1, 8, 8) / 8 - 1).astype(np.float32)
rng = np.random.default_rng(0)
order = rng.permutation(len(images))
train, test = order[:1400], order[1400:]

kernels = rng.normal(0, 0.3, (8, 1, 3, 3)).astype(np.float32)
classes = rng.normal(0, 0.1, (8 * 16, 10)).astype(np.float32)


def features(x):
    """Return what the kernels find, and its means over 2 x 2 pixels."""
    maps = layers.conv2d(x, kernels, padding="same", activation="relu")
    return maps, maps.reshape(len(x), 8, 4, 2, 4, 2).mean(axis=(3, 5)).reshape(len(x), -1)


correct = []
for _ in range(25):
    for batch in np.array_split(rng.permutation(train), 28):
        maps, found = features(images[batch])
        scores = found @ classes
        slopes = np.exp(scores - scores.max(axis=1, keepdims=True))
        slopes /= slopes.sum(axis=1, keepdims=True)
        slopes[np.arange(len(batch)), labels[batch]] -= 1
        slopes /= len(batch)
        back = (slopes @ classes.T).reshape(-1, 8, 4, 1, 4, 1) / 4
        back = np.broadcast_to(back, (len(batch), 8, 4, 2, 4, 2)).reshape(maps.shape) * (maps > 0)
        kernels -= 0.5 * layers.conv2d_weight_gradient(images[batch], back, (3, 3), padding="same")
        classes -= 0.5 * found.T @ slopes
    correct.append(((features(images[test])[1] @ classes).argmax(axis=1) == labels[test]).mean())
print(f"{correct[-1]:.1%} of {len(test)} digits that it has not seen")

fig, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
left.plot(range(1, 26), correct, "o-")
left.set(xlabel="round", ylabel="read correctly", ylim=(0.5, 1))
middle.imshow(
    np.pad(kernels[:, 0], ((0, 0), (0, 1), (0, 1))).reshape(2, 4, 4, 4).swapaxes(1, 2).reshape(8, 16), cmap="RdBu"
)
middle.set_title("the kernels")
seen = np.pad(images[test[:12], 0], ((0, 0), (1, 1), (1, 1)), constant_values=-1)
right.imshow(seen.reshape(3, 4, 10, 10).swapaxes(1, 2).reshape(30, 40), cmap="gray_r")
right.set_title("some of the digits")
for ax in (middle, right):
    ax.set_axis_off()
plt.show()
