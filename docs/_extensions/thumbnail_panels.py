"""Thumbnails of the gallery that show one panel of a figure, since a figure of several is too small to read.

In an example, ``# sphinx_gallery_thumbnail_axes = 2`` takes the third axes of its first figure.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from sphinx_gallery.scrapers import matplotlib_scraper

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))

from panels import save_panel


def figures(block: tuple, block_vars: dict, gallery_conf: dict) -> str:
    """Save the figures of a block, and the panel that stands for the example."""
    settings = block_vars["file_conf"]
    if plt.get_fignums() and (number := settings.pop("thumbnail_axes", None)) is not None:
        source = Path(block_vars["src_file"])
        path = Path(gallery_conf["src_dir"], "gallery", source.parent.name, "images", f"panel_{source.stem}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_panel(plt.figure(plt.get_fignums()[0]), number, path)
        settings["thumbnail_path"] = str(path)
    return matplotlib_scraper(block, block_vars, gallery_conf)
