"""Panels of examples of the gallery in one picture."""

import io
import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from panels import save_panel
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWN = {
    "pictures/edges": "edges",
    "pictures/blend_by_pyramids": "blending",
    "volumes_and_maps/reaction_diffusion": "simulation",
    "volumes_and_maps/missing_data": "missing data",
    "pictures/gabor_bank": "banks of kernels",
    "pictures/lights_at_night": "linear light",
    "volumes_and_maps/bad_pixels": "bad pixels",
    "pictures/count_cells": "counting",
    "signals/heartbeats": "signals",
    "pictures/motion_blur": "deblurring",
    "learning/small_network": "learning",
    "pictures/scale_space": "spots of every size",
}


def panel_of(name: str) -> np.ndarray:
    """Run an example, and return the panel that is its thumbnail as pixels."""
    path = EXAMPLES / f"{name}.py"
    found = re.search(r"thumbnail_axes = (\d+)", path.read_text(encoding="utf-8"))
    plt.show, usual = lambda: None, plt.show
    try:
        runpy.run_path(str(path))
    finally:
        plt.show = usual
    stream = io.BytesIO()
    save_panel(plt.figure(plt.get_fignums()[0]), int(found[1]), stream, dpi=150)
    plt.close("all")
    return np.asarray(Image.open(stream).convert("RGB"))


def cut(pixels: np.ndarray, ratio: float) -> np.ndarray:
    """Return the middle of a picture, of a ratio of width to height."""
    height, width = pixels.shape[:2]
    rows, columns = min(height, round(width / ratio)), min(width, round(height * ratio))
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def gallery() -> Figure:
    """Four panels in each of three rows."""
    figure = Figure(figsize=(12, 7.6), dpi=100, layout="constrained")
    for axes, (name, title) in zip(figure.subplots(3, 4).flat, SHOWN.items()):
        axes.imshow(cut(panel_of(name), 1.35))
        axes.set_title(title, fontsize=13)
        axes.set_axis_off()
    return figure
