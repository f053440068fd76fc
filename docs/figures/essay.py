"""The figures of the page "What is a convolution?"."""

from collections.abc import Callable

import matplotlib
import numpy as np
from look import BLUE, FAINT, GREEN, PAPER, RED, YELLOW
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import fastconv
from fastconv import kernels
from fastconv.cli.sample_picture import sample

FINE = np.linspace(-1.5, 3.5, 1001)


def box(t: np.ndarray) -> np.ndarray:
    """1 from 0 to 1, and 0 elsewhere."""
    return ((t >= 0) & (t <= 1)).astype(float)


def triangle(t: np.ndarray) -> np.ndarray:
    """The convolution of a box and twice the box."""
    return 2 * np.clip(1 - np.abs(t - 1), 0, None)


def draw_moment(above: Axes, below: Axes, t: float) -> None:
    """Draw both functions and the area of their product at one shift, and the convolution up to there."""
    first, second = box(FINE), 2 * box(t - FINE)
    above.fill_between(FINE, first * second, color=YELLOW, alpha=0.55, lw=0, label="their product")
    above.plot(FINE, first, color=BLUE, label=r"$f(\tau)$")
    above.plot(FINE, second, color=RED, label=r"$g(t-\tau)$, flipped and shifted")
    above.set(xlim=(-1.5, 3.5), ylim=(-0.1, 2.6), yticks=[0, 1, 2], xticks=range(-1, 4))
    above.set_xlabel(r"$\tau$", loc="right", labelpad=-8)
    done = FINE[FINE <= t]
    below.plot(FINE, triangle(FINE), color=FAINT, lw=1.5)
    below.plot(done, triangle(done), color=GREEN)
    below.plot([t, t], [0, triangle(np.array(t))], color=YELLOW, lw=4, alpha=0.55)
    below.plot(t, triangle(np.array(t)), "o", color=GREEN)
    below.set(xlim=(-1.5, 3.5), ylim=(-0.1, 2.6), yticks=[0, 1, 2], xticks=range(-1, 4))
    below.set_xlabel("$t$", loc="right", labelpad=-8)


def boxes() -> Figure:
    """Four moments of the player, for where there is none."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for place, (pair, t) in enumerate(zip(figure.subplots(2, 4, sharex=True, sharey=True).T, (-0.3, 0.5, 1.0, 1.6))):
        draw_moment(*pair, t)
        pair[0].set_title(f"$t={t}$: area {triangle(np.array(t)):g}")
        pair[0].set_xlabel("")
        if place == 1:
            handles = pair[0].get_legend_handles_labels()
    figure.legend(*handles, ncols=3, loc="outside upper center")
    return figure


def boxes_player() -> str:
    """HTML of a player of one box that slides over the other."""
    figure = Figure(figsize=(6.4, 4.6), dpi=100)
    figure.subplots_adjust(left=0.05, right=0.98, bottom=0.06, top=0.94, hspace=0.3)
    above, below = figure.subplots(2, 1)

    def show(t: float) -> None:
        for axes in (above, below):
            axes.clear()
        draw_moment(above, below, t)
        above.legend(loc="upper right", ncols=3, fontsize=9, handlelength=1.2, columnspacing=1)
        above.set_title(f"$t={t:.1f}$", loc="left")
        below.set_title(f"area of the product: {triangle(np.array(t)):.1f}", loc="left", color=GREEN)

    moments = np.linspace(-0.5, 2.5, 31)
    with matplotlib.rc_context({"savefig.dpi": "figure"}):
        return FuncAnimation(figure, show, frames=moments, interval=100).to_jshtml(default_mode="once")


def error(f: Callable, g: Callable, exact: Callable, dx: float, whole: bool) -> float:
    """The largest error of a convolution by sums, with the ends of each product whole or halved, up to t = 1."""
    t = np.arange(0, 1 + dx / 2, dx)
    first, second = f(t), g(t)
    sums = fastconv.convolve(first, second)[: len(t)]
    if not whole:
        sums = sums - (first[0] * second + first * second[0]) / 2
    return float(np.abs(sums * dx - exact(t)).max())


def convergence() -> Figure:
    """Errors of sums against the step, for boxes and for decays."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    steps = 2.0 ** -np.arange(2, 11)
    decays = (lambda t: np.exp(-t)), (lambda t: np.exp(-2 * t)), (lambda t: np.exp(-t) - np.exp(-2 * t))
    twice = box, (lambda t: 2 * box(t)), triangle
    for functions, whole, style, label in (
        (twice, True, {"color": BLUE, "marker": "s"}, "two boxes, samples whole: $2\\,dx$"),
        (decays, True, {"color": RED, "marker": "o"}, "$e^{-t}$ and $e^{-2t}$, samples whole: first order"),
        (decays, False, {"color": GREEN, "marker": "o"}, "the same, ends halved: second order"),
    ):
        axes.loglog(steps, [error(*functions, dx, whole) for dx in steps], label=label, **style)
    axes.text(steps[-1], 3e-9, "two boxes, ends halved: exactly 0", color=BLUE)
    axes.set(xlabel="$dx$", ylabel="largest error", ylim=(1e-9, 3))
    axes.legend(fontsize=9)
    return figure


IMAGE = np.array([[0, 3, 6, 3], [3, 6, 3, 6], [6, 3, 6, 3], [3, 6, 3, 0]])
LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])


def draw_numbers(axes: Axes, numbers: np.ndarray, row: int, column: int, colour) -> None:
    """Draw numbers in cells, the first at a row and a column."""
    for (i, j), number in np.ndenumerate(numbers):
        place = (column + j, row + i)
        axes.add_patch(Rectangle(place, 1, 1, facecolor=colour(number), edgecolor=PAPER, lw=1.5))
        axes.text(place[0] + 0.5, place[1] + 0.5, f"{number}", ha="center", va="center", fontsize=9)


def modes() -> Figure:
    """The 4x4 image with its frame of zeros, the first place of the kernel, and the results, for each mode."""
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    for (above, below), (mode, frame) in zip(figure.subplots(2, 3).T, {"valid": 0, "same": 1, "full": 2}.items()):
        framed = np.pad(IMAGE, frame)
        size = len(framed)
        draw_numbers(above, framed, 0, 0, lambda _: "#eef1f5")
        draw_numbers(above, IMAGE, frame, frame, lambda number: f"{1 - 0.06 * number}")
        above.add_patch(Rectangle((0, 0), 3, 3, fill=False, edgecolor=RED, lw=2.5))
        result = fastconv.convolve(IMAGE, LAPLACIAN, mode)
        draw_numbers(below, result, 0, 0, lambda number: "#dce9fb" if number > 0 else "#f9e0da" if number else PAPER)
        below.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor=RED, lw=2.5))
        rings = ("no frame", "one frame of zeros", "two frames of zeros")[frame]
        above.set_title(f"{mode}: {rings}")
        below.set_title(f"{len(result)} x {len(result)} results")
        for axes, extent, most in ((above, size, 8), (below, len(result), 6)):
            margin = (most - extent) / 2 + 0.1
            axes.set(xlim=(-margin, extent + margin), ylim=(extent + margin, -margin), aspect="equal")
            axes.set_axis_off()
    return figure


def shift() -> Figure:
    """A signal shifted by two kernels, by a convolution and by a correlation."""
    f = np.array([0, 0, 0, 3, 4, 5, 4, 3, 0, 0])
    figure = Figure(figsize=(9, 4), layout="constrained")
    for line, kernel in zip(figure.subplots(2, 2, sharex=True, sharey=True), ([1, 0, 0], [0.8, 0.1, 0.1])):
        for axes, operation, colour in zip(line, (fastconv.correlate, fastconv.convolve), (BLUE, RED)):
            axes.bar(range(10), f, color=FAINT, width=0.8, label="signal")
            axes.plot(operation(f, kernel, "same"), "o-", color=colour, label=f"{operation.__name__}d by {kernel}")
            axes.set(xticks=range(10), ylim=(0, 7))
            axes.legend(loc="upper right", fontsize=9, ncols=2)
    return figure


def edges() -> Figure:
    """A picture, the edge kernel, and the sums of its products."""
    picture = np.asarray(sample(320, 240).convert("L"))
    found = fastconv.convolve2d(picture, kernels.edge(), "same", boundary="reflect")
    figure = Figure(figsize=(9, 2.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[4, 2, 4])
    left.imshow(picture, cmap="gray", vmin=0, vmax=255)
    draw_numbers(middle, kernels.edge().astype(int), 0, 0, lambda tap: "#dce9fb" if tap > 0 else "#f9e0da")
    middle.set(xlim=(-0.1, 3.1), ylim=(3.1, -0.1), aspect="equal")
    right.imshow(np.abs(found), cmap="gray", vmin=0, vmax=255)
    for axes, title in zip((left, middle, right), ("picture", "kernel", "absolute values of the sums")):
        axes.set_title(title)
        axes.set_axis_off()
    return figure
