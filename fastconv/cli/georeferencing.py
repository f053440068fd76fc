"""GeoTIFF tags of results: which ground their pixels show."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_SCALE, _TIE_POINTS, _MATRIX, _KEYS = 33550, 33922, 34264, 34735
_RASTER_TYPE, _IS_POINT = 1025, 2  # a key, and its value if coordinates are those of the centres of pixels
TAGS = {_SCALE, _TIE_POINTS, _MATRIX, _KEYS, 34736, 34737}


class Grid(NamedTuple):
    """Where results lie among the pixels, along rows and columns: the first one, and their distance."""

    first: tuple[int, int] = (0, 0)
    step: tuple[int, int] = (1, 1)


SAME = Grid()


def moved(exif: Image.Exif | None, grid: Grid) -> Image.Exif | None:
    """The same metadata for results on a grid: tie points lie elsewhere among them, or the matrix is another one."""
    if exif is None or grid == SAME or not TAGS & {*exif}:
        return exif
    new = type(exif)()
    for code, value in exif.items():
        new[code] = value
    # A position u among pixels is step * v + origin, with v among results; a pixel is an area from u to u + 1.
    half = 0.0 if _is_point(exif) else 0.5
    step = np.array([grid.step[1], grid.step[0], 1], float)
    origin = np.array([grid.first[1], grid.first[0], 0], float) + half - half * step
    origin[2] = 0
    points = _numbers(exif.get(_TIE_POINTS))
    if points.size and points.size % 6 == 0:
        points = points.reshape(-1, 6).copy()
        points[:, :3] = (points[:, :3] - origin) / step
        new[_TIE_POINTS] = tuple(points.ravel().tolist())
    scale = _numbers(exif.get(_SCALE))
    if scale.size == 3:
        new[_SCALE] = tuple((scale * step).tolist())
    matrix = _numbers(exif.get(_MATRIX))
    if matrix.size == 16:
        to_pixels = np.diag([*step, 1.0])
        to_pixels[:3, 3] = origin
        new[_MATRIX] = tuple((matrix.reshape(4, 4) @ to_pixels).ravel().tolist())
    return new


def _is_point(exif: Image.Exif) -> bool:
    keys = _numbers(exif.get(_KEYS))[4:]
    pairs = dict(zip(keys[0::4], keys[3::4]))
    return pairs.get(_RASTER_TYPE) == _IS_POINT


def _numbers(value: object) -> np.ndarray:
    """The values of a tag; none if they are not numbers."""
    try:
        return np.array(value, float).ravel() if value is not None else np.empty(0)
    except (TypeError, ValueError):
        return np.empty(0)
