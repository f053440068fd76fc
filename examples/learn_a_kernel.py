"""Learn an edge kernel from a picture and its edges: by gradient descent, and by least squares.

    python examples/learn_a_kernel.py [--out learn-a-kernel.png] [--image photo.jpg]

The edges are those of a kernel written by hand, Sobel's, with some noise. A layer of one kernel begins with random taps
and descends along the gradient of its squared error, which `fastconv.layers` computes; `fastconv.fit_kernel` finds the
same kernel in one step. The figure shows how the kernel develops, and what it makes of the picture meanwhile.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

import fastconv
from fastconv import layers
from fastconv.cli.sample_picture import sample

BOUNDARY = {"padding": "same", "padding_mode": "reflect"}
INK, PAPER, LEARNT, FITTED = "#20242b", "#ffffff", "#2577e3", "#d4482f"


def descend(x: np.ndarray, y: np.ndarray, start: np.ndarray, steps: int) -> tuple[list[np.ndarray], list[float]]:
    """Return the kernel before each step and after the last, and the mean squared error of each.

    Nesterov's accelerated gradient: the step is as large as the largest curvature allows, which is at most the sum of
    the absolute correlations of the samples under two taps.
    """
    images, wanted = x[np.newaxis], y[np.newaxis]
    size = start.shape[-2:]

    def slope(kernel: np.ndarray) -> tuple[np.ndarray, float]:
        residuals = layers.conv2d(images, kernel[np.newaxis, np.newaxis], **BOUNDARY) - wanted
        gradient = layers.conv2d_weight_gradient(images, residuals, size, **BOUNDARY)[0, 0]
        return 2 * gradient / y.size, float(np.square(residuals).mean())

    middle = layers.conv2d_weight_gradient(images, x[np.newaxis], size, **BOUNDARY)[0, 0]
    rate = y.size / (2 * np.abs(middle).sum())
    kernel = ahead = start
    kernels, errors = [start], [slope(start)[1]]
    for step in tqdm(range(steps), desc="descending", unit="step"):
        before, kernel = kernel, ahead - rate * slope(ahead)[0]
        ahead = kernel + step / (step + 3) * (kernel - before)
        kernels.append(kernel)
        errors.append(slope(kernel)[1])
    return kernels, errors


def draw_kernel(axes: Axes, kernel: np.ndarray, title: str, colour: str = INK) -> None:
    """Draw the taps as colours, with their values."""
    axes.imshow(kernel, cmap="RdBu", vmin=-2.4, vmax=2.4)
    for (row, column), tap in np.ndenumerate(kernel):
        axes.text(
            column,
            row,
            f"{tap:.2f}".replace("-0.00", "0.00"),
            ha="center",
            va="center",
            fontsize=7.5,
            color=PAPER if abs(tap) > 1.5 else INK,
        )
    axes.set_title(title, fontsize=9.5, color=colour, pad=5)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_picture(axes: Axes, picture: np.ndarray, limit: float | None = None) -> None:
    """Draw pixels, or edges around grey."""
    axes.imshow(picture, cmap="gray", vmin=0 if limit is None else -limit, vmax=255 if limit is None else limit)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def figure_of(x, y, kernels, errors, hand, fit) -> Figure:
    """Draw what is given, the kernels after some steps with what they make of the picture, and all errors."""
    last = len(errors) - 1
    shown = [step for step in (0, 2, 8, 30, 120) if step < last] + [last]
    columns = len(shown) + 2
    figure = Figure(figsize=(1.62 * columns, 10.4), facecolor=PAPER)
    title = "An edge kernel, learnt from a picture and its edges"
    figure.text(0.05, 0.965, title, fontsize=15, color=INK, weight="bold")
    limit = float(np.percentile(np.abs(y), 99))

    above = figure.add_gridspec(1, 2, wspace=0.04, left=0.05, right=0.985, top=0.925, bottom=0.545)
    for place, picture, words, size in (
        (0, x, "what goes in: the picture", None),
        (1, y, "what shall come out: its edges by Sobel's kernel, with noise", limit),
    ):
        axes = figure.add_subplot(above[place])
        draw_picture(axes, picture, size)
        axes.set_title(words, fontsize=10, color=INK, pad=5)

    middle = figure.add_gridspec(2, columns, hspace=0.06, wspace=0.09, left=0.05, right=0.985, top=0.51, bottom=0.235)
    side = x.shape[0] // 3
    crop = slice(side, 2 * side), slice(x.shape[1] // 2, x.shape[1] // 2 + side)
    drawn = [(kernels[step], f"after step {step}" if step else "start: random", LEARNT) for step in shown]
    drawn += [(fit.kernel, "least squares", FITTED), (hand, "by hand: Sobel", INK)]
    for column, (kernel, words, colour) in enumerate(drawn):
        draw_kernel(figure.add_subplot(middle[0, column]), kernel, words, colour)
        response = fastconv.convolve2d(x, kernel, "same", boundary="reflect")
        below = figure.add_subplot(middle[1, column])
        draw_picture(below, response[crop], limit)
        if column == 0:
            below.set_ylabel("its result, a part", color=INK)

    axes = figure.add_subplot(figure.add_gridspec(1, 1, left=0.05, right=0.985, top=0.205, bottom=0.06)[0])
    steps, roots = np.arange(last + 1), np.sqrt(errors)
    axes.plot(steps + 1, roots, color=LEARNT, lw=2, label="gradient descent")
    axes.plot(np.array(shown) + 1, roots[shown], "o", color=LEARNT, ms=5, clip_on=False)
    words = f"least squares: {fit.residual:.2f}, the noise"
    axes.axhline(fit.residual, color=FITTED, lw=1.2, ls=(0, (5, 2)), label=words)
    axes.set(xscale="log", yscale="log", xlim=(0.95, last + 1))
    axes.set_xticks([step + 1 for step in shown], [str(step) for step in shown])
    marks = [mark for mark in (1, 2, 5, 10, 20, 50, 100, 200, 500) if mark < roots.max()]
    axes.set_yticks(marks, [str(mark) for mark in marks])
    axes.minorticks_off()
    axes.set_xlabel("step", color=INK)
    axes.set_ylabel("error, grey levels", color=INK)
    axes.legend(frameon=False, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("learn-a-kernel.png"), help="the figure to write")
    parser.add_argument("--image", type=Path, help="a picture to learn from; by default that of the demo")
    parser.add_argument("--steps", type=int, default=500, help="of gradient descent")
    parser.add_argument("--noise", type=float, default=2.0, help="standard deviation of the noise, in grey levels")
    parser.add_argument("--seed", type=int, default=1, help="of the first kernel and the noise")
    parser.add_argument("--quick", action="store_true", help="a small picture and few steps")
    options = parser.parse_args()
    width, height, steps = (160, 100, 40) if options.quick else (640, 400, options.steps)

    picture = sample(width, height) if options.image is None else Image.open(options.image)
    x = np.asarray(picture.convert("L"), np.float64)
    random = np.random.default_rng(options.seed)
    hand = np.array([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    y = fastconv.convolve2d(x, hand, "same", boundary="reflect") + random.normal(0, options.noise, x.shape)

    # Layers correlate: what they learn is flipped.
    learnt, errors = descend(x, y, random.normal(0, 0.7, hand.shape), steps)
    kernels = [np.flip(kernel) for kernel in learnt]
    fit = fastconv.fit_kernel(x, y, hand.shape, boundary="reflect")
    for name, kernel in (("gradient descent", kernels[-1]), ("least squares", fit.kernel)):
        print(f"{name}: at most {np.abs(kernel - hand).max():.4f} off each tap of the kernel by hand")
    print(f"standard errors of least squares: {fit.standard_errors.max():.4f} at most")
    figure_of(x, y, kernels, errors, hand, fit).savefig(options.out, dpi=110)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
