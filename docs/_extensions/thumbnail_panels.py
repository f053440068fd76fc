"""Thumbnails of the gallery that show one panel of a figure, since a figure of several is too small to read.

In an example, ``# sphinx_gallery_thumbnail_axes = 2`` takes the third axes of its first figure.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from sphinx_gallery.scrapers import matplotlib_scraper


def figures(block: tuple, block_vars: dict, gallery_conf: dict) -> str:
    """Save the figures of a block, and the panel that stands for the example."""
    settings = block_vars["file_conf"]
    panel = settings.pop("thumbnail_axes", None) if plt.get_fignums() else None
    if panel is not None:
        figure = plt.figure(plt.get_fignums()[0])
        figure.canvas.draw()
        place = figure.axes[panel].get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        source = Path(block_vars["src_file"])
        path = Path(gallery_conf["src_dir"], "gallery", source.parent.name, "images", f"panel_{source.stem}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, bbox_inches=place, dpi=600 / max(place.width, place.height))
        settings["thumbnail_path"] = str(path)
    return matplotlib_scraper(block, block_vars, gallery_conf)
