"""Read handwritten digits: LeNet-5 of 1998, trained with NumPy and `fastconv.layers` alone.

    python examples/read_digits.py [--out read-digits.png]

The network is that of Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86, 1998, with its table of connections in C3, its subsampling layers with one
coefficient and one bias for each map, and its scaled tanh. Two things differ: the outputs are a softmax instead of
distances to pictures of the digits, and the steps are those of gradient descent with momentum instead of an estimate of
the curvature. The digits are the 1797 of scikit-learn, 8x8 pixels, enlarged to 24x24 in a field of 32x32.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_digits
from tqdm import tqdm

from fastconv import layers

INK, PAPER, ACCENT = "#20242b", "#ffffff", "#2577e3"
# Which of the 6 maps of S2 each of the 16 maps of C3 sees: table I of the paper.
_SEEN = [
    *([k, k + 1, k + 2] for k in range(6)),
    *([k, k + 1, k + 2, k + 3] for k in range(6)),
    *([k, k + 1, k + 3, k + 4] for k in range(3)),
    range(6),
]
C3_CONNECTIONS = np.array([[any(s % 6 == m for s in seen) for m in range(6)] for seen in _SEEN])


class Convolution:
    """A layer of 5x5 kernels; without connections, all maps see all maps."""

    def __init__(self, random: np.random.Generator, channels: int, outputs: int, connections: np.ndarray | None = None):
        shape = outputs, channels, 5, 5
        self.mask = np.broadcast_to(True if connections is None else connections[:, :, None, None], shape)
        inputs = 25 * self.mask[:, :, :1, :1].sum(axis=1, keepdims=True)
        weights = random.uniform(-1.2, 1.2, shape) / np.sqrt(inputs) * self.mask
        self.parameters = [weights.astype(np.float32), np.zeros(outputs, np.float32)]

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return layers.conv2d(x, *self.parameters)

    def backward(self, slope: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        weights = layers.conv2d_weight_gradient(self.x, slope, (5, 5)) * self.mask
        slopes = [weights, layers.bias_gradient(slope)]
        return layers.conv2d_input_gradient(slope, self.parameters[0], self.x.shape), slopes


class Subsampling:
    """The mean of 2x2 pixels, times a coefficient and plus a bias for each map."""

    def __init__(self, channels: int):
        self.parameters = [np.ones((channels, 1, 1), np.float32), np.zeros((channels, 1, 1), np.float32)]

    def forward(self, x: np.ndarray) -> np.ndarray:
        number, channels, height, width = x.shape
        self.means = x.reshape(number, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
        coefficient, bias = self.parameters
        return self.means * coefficient + bias

    def backward(self, slope: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        slopes = [(slope * self.means).sum(axis=(0, 2, 3)), slope.sum(axis=(0, 2, 3))]
        spread = (slope * self.parameters[0] / 4).repeat(2, axis=2).repeat(2, axis=3)
        return spread, [part.reshape(-1, 1, 1) for part in slopes]


class Dense:
    """A layer of which each output sees all inputs."""

    def __init__(self, random: np.random.Generator, inputs: int, outputs: int):
        weights = random.uniform(-1.2, 1.2, (inputs, outputs)) / np.sqrt(inputs)
        self.parameters = [weights.astype(np.float32), np.zeros(outputs, np.float32)]

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        weights, bias = self.parameters
        return self.x @ weights + bias

    def backward(self, slope: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        return (slope @ self.parameters[0].T).reshape(self.shape), [self.x.T @ slope, slope.sum(axis=0)]


class Tanh:
    """The squashing function of the paper, 1.7159 tanh(2/3 x)."""

    parameters = ()

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.out = 1.7159 * np.tanh(x * np.float32(2 / 3))
        return self.out

    def backward(self, slope: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        return slope * (2 / 3 / 1.7159 * (1.7159**2 - self.out * self.out)).astype(np.float32), []


class LeNet5:
    """The network, from 32x32 pixels to a number for each digit."""

    def __init__(self, random: np.random.Generator):
        self.stages = [
            *(Convolution(random, 1, 6), Tanh(), Subsampling(6), Tanh()),  # C1, S2
            *(Convolution(random, 6, 16, C3_CONNECTIONS), Tanh(), Subsampling(16), Tanh()),  # C3, S4
            *(Convolution(random, 16, 120), Tanh()),  # C5
            *(Dense(random, 120, 84), Tanh(), Dense(random, 84, 10)),  # F6, outputs
        ]
        self.speeds = [[np.zeros_like(part) for part in stage.parameters] for stage in self.stages]

    def forward(self, x: np.ndarray) -> np.ndarray:
        for stage in self.stages:
            x = stage.forward(x)
        return x

    def read(self, x: np.ndarray) -> np.ndarray:
        """The digits that the network sees in images."""
        return np.concatenate([self.forward(x[k : k + 64]).argmax(axis=1) for k in range(0, len(x), 64)])

    def learn(self, x: np.ndarray, digits: np.ndarray, rate: float, momentum: float = 0.9) -> float:
        """Take a step down the gradient of the cross-entropy of a batch; return that before it."""
        numbers = self.forward(x)
        shares = np.exp(numbers - numbers.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        here = np.arange(len(x)), digits
        loss = -np.log(shares[here] + 1e-9).mean()
        shares[here] -= 1
        slope = shares / len(x)
        for stage, speeds in zip(self.stages[::-1], self.speeds[::-1]):
            slope, slopes = stage.backward(slope)
            for part, speed, change in zip(stage.parameters, speeds, slopes):
                speed *= momentum
                speed -= rate * change
                part += speed
        return float(loss)


def fields(pictures: np.ndarray) -> np.ndarray:
    """Pictures of 8x8 pixels of 0 .. 16 as fields of 32x32, from -0.1 for paper to 1.175 for ink, as in the paper."""
    found = np.empty((len(pictures), 1, 32, 32), np.float32)
    for picture, field in zip(pictures.astype(np.float32) / 16, found):
        large = np.asarray(Image.fromarray(picture).resize((24, 24), Image.Resampling.BICUBIC))
        field[0] = -0.1 + 1.275 * np.pad(large.clip(0, 1), 4)
    return found


def shifted(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A batch moved by up to two pixels, so that the network does not learn places by heart."""
    down, right = random.integers(-2, 3, 2)
    return np.roll(x, (down, right), axis=(2, 3))


def figure_of(network: LeNet5, x: np.ndarray, digits: np.ndarray, accuracies: list[float]) -> Figure:
    """Draw the kernels of C1, what they see in a digit of each kind, and how reading improves."""
    found = network.read(x)
    wrong = np.flatnonzero(found != digits)
    right = found == digits
    chosen = [max(np.flatnonzero(digits == digit), key=lambda k: right[k]) for digit in range(10)]
    c1, squash = network.stages[:2]
    maps = squash.forward(c1.forward(x[chosen]))
    figure = Figure(figsize=(13.2, 11.2), facecolor=PAPER)
    figure.text(0.04, 0.962, "LeNet-5 reads digits", fontsize=16, color=INK, weight="bold")
    words = f"{100 * accuracies[-1]:.1f} % of {len(x)} digits that it has not seen, after {len(accuracies)} rounds"
    figure.text(0.04, 0.938, words, fontsize=10.5, color=INK)

    grid = figure.add_gridspec(7, 11, hspace=0.08, wspace=0.08, left=0.04, right=0.985, top=0.905, bottom=0.30)

    def cell(place, picture: np.ndarray, **options) -> None:
        axes = figure.add_subplot(place)
        axes.imshow(picture, **options)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color("#c9ccd1")

    corner = figure.add_subplot(grid[0, 0])
    corner.axis("off")
    corner.text(0.5, 0.5, "digits →\n\nkernels\n↓", ha="center", va="center", fontsize=10, color=INK)
    for digit, picture in enumerate(x[chosen, 0]):
        cell(grid[0, digit + 1], picture, cmap="gray_r")
    kernels = c1.parameters[0][:, 0]
    limit = np.abs(kernels).max()
    for row, kernel in enumerate(kernels):
        cell(grid[row + 1, 0], kernel, cmap="RdBu", vmin=-limit, vmax=limit)
        for digit in range(10):
            cell(grid[row + 1, digit + 1], maps[digit, row], cmap="RdBu", vmin=-1.72, vmax=1.72)
    note = (
        "Each row: a learnt 5x5 kernel of the first layer, and its map of each digit; blue is positive, red negative."
    )
    figure.text(0.04, 0.276, note, fontsize=9.5, color=INK)

    axes = figure.add_subplot(figure.add_gridspec(1, 1, left=0.075, right=0.45, top=0.235, bottom=0.06)[0])
    rounds = np.arange(1, len(accuracies) + 1)
    misread = np.maximum(1 - np.array(accuracies), 0.5 / len(x))  # on a scale without 0
    axes.plot(rounds, 100 * misread, color=ACCENT, lw=2, marker="o", ms=4)
    axes.set(yscale="log")
    marks = (0.5, 1, 2, 5, 10, 20, 50)
    axes.set_yticks(marks, [f"{mark:g}" for mark in marks])
    axes.minorticks_off()
    axes.set_xticks([turn for turn in rounds if turn % 5 == 0 or turn in (1, len(rounds))])
    axes.set_xlabel("round through the training digits", color=INK)
    axes.set_ylabel("misread, in %", color=INK)
    axes.spines[["top", "right"]].set_visible(False)

    shown = wrong[:6]
    if len(shown):
        words = "misread:" if len(wrong) == len(shown) else f"{len(shown)} of the {len(wrong)} misread:"
        figure.text(0.52, 0.232, words, fontsize=9.5, color=INK)
        row = figure.add_gridspec(1, 6, wspace=0.1, left=0.52, right=0.985, top=0.222, bottom=0.1)
        for place, k in enumerate(shown):
            cell(row[0, place], x[k, 0], cmap="gray_r")
            figure.axes[-1].set_xlabel(f"{digits[k]}, read as {found[k]}", fontsize=9, color=INK)
            figure.axes[-1].set_anchor("N")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("read-digits.png"), help="the figure to write")
    parser.add_argument("--rounds", type=int, default=20, help="through the training digits")
    parser.add_argument("--seed", type=int, default=3, help="of weights, order and shifts, and of the held-out digits")
    parser.add_argument("--quick", action="store_true", help="three rounds: reads worse")
    options = parser.parse_args()
    rounds, batch = 3 if options.quick else options.rounds, 32

    start = time.perf_counter()
    data = load_digits()
    x, digits = fields(data.images), data.target
    random = np.random.default_rng(options.seed)
    order = random.permutation(len(x))
    held, train = order[: len(x) // 4], order[len(x) // 4 :]
    network, accuracies = LeNet5(random), []
    steps = len(train) // batch
    with tqdm(total=rounds * steps, unit="batch") as bar:
        for turn in range(rounds):
            rate = 0.02 * 0.5 * (1 + np.cos(np.pi * turn / rounds))
            shuffled = random.permutation(train)[: steps * batch].reshape(steps, batch)
            for chosen in shuffled:
                loss = network.learn(shifted(x[chosen], random), digits[chosen], rate)
                bar.update()
            accuracies.append(float((network.read(x[held]) == digits[held]).mean()))
            bar.set_postfix(loss=f"{loss:.3f}", held_out=f"{100 * accuracies[-1]:.1f} %")
    print(f"read {100 * accuracies[-1]:.1f} % of {len(held)} held-out digits, {time.perf_counter() - start:.0f} s")
    figure_of(network, x[held], digits[held], accuracies).savefig(options.out, dpi=110)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
