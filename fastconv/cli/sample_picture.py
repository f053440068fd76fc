"""The picture of the demonstration, and its sheet of nine panels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import fastconv


def sample(width: int, height: int) -> Image.Image:
    """Draw a picture with structure on which every kernel shows an effect.

    A smooth gradient, a zone plate (its rings hold all frequencies up to 0.4 of the sampling rate), ridges, ripples,
    hairlines, text, and a strip of steps and bars.
    """
    y, x = np.mgrid[:height, :width] + 0.5
    u, v = x / width, y / height
    horizon = 0.63

    # Sky: from night to afterglow, with some stars.
    glow = np.clip(v / horizon, 0, 1)
    pixels = _blend((16, 22, 58), (92, 52, 110), np.clip(glow / 0.6, 0, 1))
    pixels += _blend((0, 0, 0), (160, 88, -6), np.clip((glow - 0.55) / 0.45, 0, 1) ** 1.5)
    random = np.random.default_rng(7)
    for star_x, star_y, light in random.random((90, 3)):
        column, row = int(star_x * width), int(star_y**1.5 * 0.4 * height)
        pixels[row, column] += 60 + 170 * light

    # Sun: a zone plate.
    sun_x, sun_y, radius = 0.69 * width, 0.36 * height, 0.235 * min(width, height)
    distance = np.hypot(x - sun_x, y - sun_y)
    halo = np.exp(-np.maximum(distance - radius, 0) / (0.55 * radius))
    pixels += 0.45 * halo[..., None] * np.array([190, 110, 60])
    rings = 0.5 + 0.5 * np.cos(0.4 * np.pi / radius * distance**2)
    inside = np.clip(radius - distance + 0.5, 0, 1)[..., None]
    pixels += inside * (_blend((214, 64, 52), (255, 232, 140), rings) - pixels)

    # Lake: ripples that narrow towards the horizon, and the sun's path on them.
    depth = np.clip((v - horizon) / (1 - horizon), 1e-3, 1)
    waves = np.sin(26 / (depth + 0.12) + 2.2 * np.sin(9 * u + 5 * depth) + 0.4 * np.sin(31 * u))
    path = np.exp(-(((x - sun_x) / (radius * (0.55 + 0.6 * depth))) ** 2))
    lake = _blend((104, 62, 104), (14, 20, 52), depth**0.7)
    lake += (waves * (10 + 14 * depth))[..., None]
    lake += (path * np.clip(waves * 0.8 + 0.25, 0, 1))[..., None] * np.array([200, 120, 50])
    pixels = np.where((v > horizon)[..., None], lake, pixels)

    # Hills, the nearer the darker and the rougher; their edges are antialiased by the distance to the outline.
    for seed, level, relief, colour, grain in (
        (3, 0.50, 0.055, (98, 58, 108), 3),
        (11, 0.565, 0.045, (62, 40, 86), 6),
        (5, 0.615, 0.030, (32, 26, 58), 9),
    ):
        outline = (level - relief * _ridge(u[0], seed)) * height
        cover = np.clip(y - outline + 0.5, 0, 1) * (v <= horizon)
        rough = random.normal(0, grain, (height, width))
        pixels += cover[..., None] * (np.asarray(colour, float) + rough[..., None] - pixels)

    pixels = np.clip(pixels, 0, 255)
    picture = Image.fromarray(np.rint(pixels).astype(np.uint8))

    # A boat and lettering, drawn four times as large and reduced, for smooth edges.
    fine = 4
    unit = min(width / 4, height / 3) / 160 * fine
    boat = Image.new("RGBA", (round(150 * unit), round(150 * unit)), (232, 226, 236, 0))
    draw = ImageDraw.Draw(boat)

    def at(*points):
        return [(px * unit, py * unit) for px, py in points]

    hair = max(round(0.8 * unit), 1)
    draw.polygon(at((76, 14), (76, 106), (26, 106)), (248, 240, 228, 255))
    draw.polygon(at((82, 24), (82, 106), (124, 106)), (228, 108, 84, 255))
    for level in (40, 62, 84):
        draw.line(at((79 - 0.54 * (level - 10), level), (76, level)), (176, 160, 160, 255), hair)
    draw.line(at((79, 6), (79, 116)), (30, 22, 40, 255), 2 * hair)
    for foot in (14, 138):
        draw.line(at((79, 6), (foot, 114)), (240, 232, 240, 255), hair)
    draw.polygon(at((10, 114), (142, 114), (124, 134), (32, 134)), (24, 18, 34, 255))
    draw.line(at((14, 118), (139, 118)), (236, 200, 120, 255), 2 * hair)
    boat = boat.resize((round(boat.width / fine), round(boat.height / fine)), Image.Resampling.LANCZOS)
    picture.paste(boat, (round(0.16 * width), round(0.82 * height) - boat.height), boat)

    draw = ImageDraw.Draw(picture)
    unit /= fine
    draw.text((22 * unit, 16 * unit), "fastconv", (250, 246, 238), _font(54 * unit))
    draw.text((24 * unit, 78 * unit), "Sum of shifted, weighted pixels", (214, 206, 226), _font(17 * unit))

    # Steps of grey, and bars from eight pixels down to one.
    top = round(0.92 * height)
    steps = np.linspace(16, 240, 8).repeat(math.ceil(width / 16))[: width // 2]
    bars = np.concatenate([np.arange(count * 2 * bar) // bar % 2 for bar, count in _bars(width - width // 2)])
    strip = np.concatenate([steps, 24 + 208 * bars[: width - width // 2]])
    strip = np.broadcast_to(strip[None, :, None], (height - top, width, 3))
    picture.paste(Image.fromarray(np.ascontiguousarray(strip).astype(np.uint8)), (0, top))
    return picture


def sheet(shown: list[tuple[Image.Image, str, str]], title: str) -> Image.Image:
    """Arrange pictures in a grid of three by three, each with its name and a note below."""
    width, height = shown[0][0].size
    size, corners = sheet_layout(width, height)
    gap, header, caption = _spaces(width)
    page = Image.new("RGB", size, (17, 19, 25))
    draw = ImageDraw.Draw(page)
    draw.text((gap, 0.55 * header), f"fastconv {fastconv.__version__}", "white", _font(0.46 * header), "lm")
    draw.text((size[0] - gap, 0.55 * header), title, (150, 156, 170), _font(0.26 * header), "rm")
    for (picture, name, note), (left, top) in zip(shown, corners):
        page.paste(picture, (left, top))
        middle = top + height + 0.42 * caption
        draw.text((left, middle), name, (240, 240, 244), _font(0.44 * caption), "lm")
        draw.text((left + width, middle), note, (150, 156, 170), _font(0.38 * caption), "rm")
    return page


def sheet_layout(width: int, height: int) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Return the size of the sheet, and the upper left corners of its nine panels, row by row."""
    gap, header, caption = _spaces(width)
    corners = [
        (gap + column * (width + gap), header + row * (height + caption)) for row in range(3) for column in range(3)
    ]
    return (3 * width + 4 * gap, header + 3 * (height + caption) + gap // 2), corners


def _spaces(width: int) -> tuple[int, int, int]:
    """Return the spaces between panels, above the grid, and below each panel."""
    return max(8, width // 26), max(30, width // 8), max(24, width // 12)


def _bars(length: int) -> list[tuple[int, int]]:
    """Return widths of bars and how many pairs of each fill `length` in about equal shares."""
    widths = (8, 6, 4, 3, 2, 1)
    return [(bar, math.ceil(length / (len(widths) * 2 * bar))) for bar in widths]


def _font(size: float) -> Any:
    """Return Pillow's own font; old Pillow (10.0), or without FreeType, has a single small size."""
    try:
        return ImageFont.load_default(round(size))
    except (TypeError, ImportError, OSError):
        return ImageFont.load_default()


def _blend(low, high, share: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return colours between two, by a share of 0 .. 1 for each pixel."""
    return np.asarray(low, float) + share[..., None] * (np.asarray(high, float) - np.asarray(low, float))


def _ridge(position: NDArray[np.floating], seed: int) -> NDArray[np.floating]:
    """Return the outline of hills, about -1 .. 1: octaves of waves, each half as high as the one before."""
    random = np.random.default_rng(seed)
    return sum(
        0.5**octave * np.sin(2 * np.pi * (1.3 * 2**octave * position + random.random())) for octave in range(7)
    ) / np.float64(1.6)
