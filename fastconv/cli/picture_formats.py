"""File extensions and the picture formats that Pillow reads and writes for them."""

from __future__ import annotations

from PIL import Image

# Formats that Pillow lists and cannot decode: stubs, films, and drawings that need another program.
_NO_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


def extensions() -> set[str]:
    """Return the file extensions that can be read, in lower case with their dots."""
    known = Image.registered_extensions()
    readable = Image.OPEN.keys() - _NO_PIXELS | {"MPO"}  # an MPO is opened as a JPEG
    return {extension for extension, name in known.items() if name in readable}


def format_named(extension: str) -> str | None:
    """Return the format to write for an extension (with or without its dot), or None if Pillow writes none."""
    name = Image.registered_extensions().get("." + extension.lower().removeprefix("."))
    return name if name in Image.SAVE else None
