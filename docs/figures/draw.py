"""Draw the figures of the pages into docs/images, or those whose names are given.

python docs/figures/draw.py [NAME ...]
"""

import sys
from pathlib import Path

import boundaries
import essay

IMAGES = Path(__file__).parents[1] / "images"
FIGURES = {
    "essay-boxes": essay.boxes,
    "essay-convergence": essay.convergence,
    "essay-modes": essay.modes,
    "essay-shift": essay.shift,
    "essay-edges": essay.edges,
}


def draw(name: str, folder: Path) -> Path:
    """Draw a figure into a folder."""
    if name in boundaries.PICTURES:
        path = folder / f"{name}.svg"
        function, argument = boundaries.PICTURES[name]
        path.write_text(function(argument), encoding="utf-8")
    else:
        path = folder / f"{name}.png"
        FIGURES[name]().savefig(path, metadata={"Software": None})
    return path


if __name__ == "__main__":
    for name in sys.argv[1:] or [*FIGURES, *boundaries.PICTURES]:
        draw(name, IMAGES)
