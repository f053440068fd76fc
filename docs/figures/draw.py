"""Draw the figures of the pages into docs/images, or those whose names are given.

python docs/figures/draw.py [NAME ...]
"""

import sys
from pathlib import Path

import boundaries
import essay
import gallery
import methods

IMAGES = Path(__file__).parents[1] / "images"
FIGURES = {
    "essay-boxes.png": essay.boxes,
    "essay-convergence.png": essay.convergence,
    "essay-modes.png": essay.modes,
    "essay-shift.png": essay.shift,
    "essay-edges.png": essay.edges,
    "methods.png": methods.methods,
    "gallery.jpg": gallery.gallery,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or [*FIGURES, *boundaries.PICTURES]:
        if name in FIGURES:
            FIGURES[name]().savefig(IMAGES / name)
        else:
            function, argument = boundaries.PICTURES[name]
            (IMAGES / name).write_text(function(argument), encoding="utf-8")
