"""One panel of a figure as a small picture."""

import pickle
from os import PathLike
from typing import BinaryIO

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def save_panel(figure: Figure, number: int, target: PathLike | BinaryIO, dpi: float = 100) -> None:
    """Save the axes of a number, with lines that are wide enough for a picture of some 400 x 280 pixels."""
    copy = pickle.loads(pickle.dumps(figure))
    copy.set_layout_engine("none")
    copy.set_size_inches(4, 2.8)
    copy.set_dpi(dpi)
    for place, axes in enumerate(copy.axes):
        axes.set_visible(place == number)
    panel = copy.axes[number]
    panel.set_position((0.02, 0.02, 0.96, 0.96))
    if legend := panel.get_legend():
        legend.remove()
    for line in panel.lines:
        line.set_linewidth(max(1.5, line.get_linewidth()))
    copy.canvas.draw()
    extent = panel.get_window_extent().padded(3).transformed(copy.dpi_scale_trans.inverted())
    copy.savefig(target, bbox_inches=extent, dpi=dpi, format="png")
    plt.close(copy)
