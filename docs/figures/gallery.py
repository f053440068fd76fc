"""Some figures of the gallery in one."""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWN = (
    ("pictures/stars", "pictures/gabor_bank"),
    ("volumes_and_maps/microscope", "pictures/edges"),
    ("volumes_and_maps/reaction_diffusion", "pictures/motion_blur"),
)


def figure_of(name: str) -> np.ndarray:
    """Run an example, and return its figure as pixels."""
    plt.show, usual = lambda: None, plt.show
    try:
        runpy.run_path(str(EXAMPLES / f"{name}.py"))
    finally:
        plt.show = usual
    figure = plt.gcf()
    figure.set_dpi(75)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    plt.close("all")
    return pixels


def gallery() -> Figure:
    """Rows of figures, those of a row as high as each other."""
    rows = [[figure_of(name) for name in names] for names in SHOWN]
    widths = [[pixels.shape[1] / pixels.shape[0] for pixels in row] for row in rows]
    figure = Figure(figsize=(12, sum(12 / sum(row) for row in widths) * 1.04), dpi=100)
    for line, row, ratios in zip(
        figure.subfigures(len(rows), 1, height_ratios=[1 / sum(row) for row in widths]), rows, widths
    ):
        for axes, pixels in zip(line.subplots(1, len(row), width_ratios=ratios), row):
            axes.imshow(pixels)
            axes.set_axis_off()
        line.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.01)
    return figure
