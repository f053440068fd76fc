"""Small pictures of modes, boundaries and starts, drawn from what fastconv returns."""

import numpy as np
from look import INK, RED

import fastconv

CELL = 20
SHADES = ("#cfe2fb", "#9ec4f7", "#6aa5f0", "#3d88e8")
Cell = tuple[float, float, str, str]  # column, row, colour, text


def svg(cells: list[Cell], marks: str = "") -> str:
    """Return an SVG of square cells with text."""
    parts = [marks]
    for column, row, colour, text in cells:
        x, y = column * CELL + 1, row * CELL + 1
        parts.insert(0, f'<rect x="{x:g}" y="{y:g}" width="{CELL - 1}" height="{CELL - 1}" fill="{colour}"/>')
        parts.append(f'<text x="{x + CELL / 2 - 0.5:g}" y="{y + 0.7 * CELL:g}">{text}</text>')
    width = max(cell[0] for cell in cells) * CELL + CELL + 1
    height = max(cell[1] for cell in cells) * CELL + CELL + 1
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" font-size="12" text-anchor="middle" fill="{INK}">'
        f"{''.join(parts)}</svg>\n"
    )


def extended(boundary: str, reach: int = 4) -> np.ndarray:
    """The samples 1, 2, 3, 4 with as many on both sides as a kernel of this reach sees; -1 is the fill value."""
    more = {"fill_value": -1} if boundary == "fill" else {}
    pick = np.zeros(2 * reach + 1, int)
    pick[0] = 1
    left = fastconv.correlate1d([1, 2, 3, 4], pick, "same", boundary=boundary, **more)[:reach]
    right = fastconv.correlate1d([1, 2, 3, 4], pick[::-1], "same", boundary=boundary, **more)[-reach:]
    return np.concatenate([left, [1, 2, 3, 4], right])


def boundary(name: str) -> str:
    """The samples a, b, c, d, and how they continue on both sides."""
    cells = []
    for place, sample in enumerate(extended(name)):
        colour, text = (SHADES[sample - 1], "abcd"[sample - 1]) if sample > 0 else ("#f4f5f7", "f" if sample else "0")
        cells.append((place, 0, colour, text))
    place = f'x="{4 * CELL}" y="0" width="{4 * CELL + 1}" height="{CELL + 1}"'
    return svg(cells, f'<rect {place} fill="none" stroke="{RED}" stroke-width="2"/>')


def mode(name: str) -> str:
    """Eight samples, and below them three taps at the first and at the last result."""
    first, last = {"valid": (2, 7), "same": (1, 8), "full": (0, 9)}[name]
    cells = [(place + 2, 0, SHADES[1], "") for place in range(8)]
    cells += [(place + tap, 1, "#f9d9d2", "") for place in (first, last) for tap in range(3)]
    return svg([*cells, (11, 0, "none", "")])


def start(first: int) -> str:
    """Four taps, of which one lies over the first sample, and which products the first result is the sum of."""
    cells = [(place + 3, 0, SHADES[1], "") for place in range(5)]
    cells += [(3 + first - tap, 1, "#f08a75" if tap == first else "#f9d9d2", f"{tap}") for tap in range(4)]
    return svg([*cells, (11, 0, "none", "")])


PICTURES = {
    **{f"boundary-{name}.svg": (boundary, name) for name in ("zero", "fill", "nearest", "reflect", "mirror", "wrap")},
    **{f"mode-{name}.svg": (mode, name) for name in ("full", "same", "valid")},
    **{f"start-{first}.svg": (start, first) for first in range(4)},
}
