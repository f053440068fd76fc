"""Metadata of picture files: read with the pixels, and written back."""

from __future__ import annotations

import contextlib
import re
import struct
from typing import Any, NamedTuple

from PIL import ExifTags, Image, JpegImagePlugin, PngImagePlugin

from fastconv.cli import georeferencing, tiff_tags
from fastconv.cli.tiff_tags import BYTE, RATIONAL, SHORT, Tag, tag

_EXIF, _GPS, _INTEROP = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop
_X_RESOLUTION, _Y_RESOLUTION, _UNIT = _RESOLUTION = 282, 283, 296
_INCH, _CENTIMETRE = 2, 3
_ICC, _XMP, _ORIENTATION = 34675, 700, 274
# TIFF tags of the pixel layout, which belong to the file that was read.
STRUCTURE = {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289}
STRUCTURE |= {290, 291, 292, 293, 297, 301, 317, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 338, 339, 340}
STRUCTURE |= {341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532}
_TRANSPOSED = (5, 6, 7, 8)  # orientations that swap width and height
_WIDTH, _HEIGHT = 0xA002, 0xA003  # pixel size, in the Exif IFD

_LONGEST_SEGMENT = 65_000  # below the 64 KiB of a JPEG segment


class Metadata(NamedTuple):
    """Everything in a picture file except the pixels, to be written back."""

    format: str = ""  # as Pillow calls it
    exif: Image.Exif | None = None  # without the orientation and the thumbnail
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None
    png: tuple[tuple[str, str], ...] = ()  # (keyword, text)
    chunks: tuple[tuple[bytes, bytes], ...] = ()  # of a PNG: gamma and sRGB
    settings: tuple[tuple[str, Any], ...] = ()  # compression: options to save in the same format


EMPTY = Metadata()


def exif_of(image: Image.Image) -> tuple[Image.Exif | None, int]:
    """Return the EXIF of an open file without its pixel layout, and its orientation, 1 to 8.

    The EXIF is None where it is missing or damaged.
    """
    try:
        return upright(image.getexif())
    except Exception:  # damaged EXIF must not stop the conversion
        return None, 1


def upright(old: Image.Exif) -> tuple[Image.Exif | None, int]:
    """Return EXIF for pixels that are turned upright, without the layout of the file; and the orientation."""
    new, orientation = Image.Exif(), 1
    try:
        found = old.get(_ORIENTATION, 1)
        orientation = found if found in range(1, 9) else 1
        dropped = {*STRUCTURE, _ICC, _XMP, _ORIENTATION, _EXIF, _GPS}
        dropped |= {*_RESOLUTION} if orientation in _TRANSPOSED else set()
        dropped |= georeferencing.TAGS if orientation != 1 else set()
        for code, value in old.items():
            if code not in dropped:
                new[code] = value
        for code in (_EXIF, _GPS):
            part = dict(old.get_ifd(code))
            if part.pop(_INTEROP, None) is not None:  # an offset, wrong in TIFFs written by Pillow
                with contextlib.suppress(Exception):
                    part[_INTEROP] = dict(old.get_ifd(_INTEROP))
            if part:
                new[code] = part
        new.tobytes()
    except Exception:  # damaged EXIF must not stop the conversion
        return None, orientation
    return (new if len(new) else None), orientation


def metadata_of(image: Image.Image, exif: Image.Exif | None, orientation: int) -> Metadata:
    """Return the metadata of an open file; its orientation may swap the resolutions of width and height."""
    info, transposed = image.info, orientation in _TRANSPOSED
    xmp, comment = info.get("xmp"), info.get("comment")
    metadata = Metadata(
        "JPEG" if image.format == "MPO" else image.format or "",
        exif,
        info.get("icc_profile") or None,
        _upright(xmp) if isinstance(xmp, bytes) else None,
        parsed_dpi(info.get("dpi"), transposed),
        comment.encode("utf-8", "replace") if isinstance(comment, str) else comment,
    )
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        settings: dict[str, Any] = {"qtables": image.quantization, "progressive": bool(info.get("progressive"))}
        if (sampling := JpegImagePlugin.get_sampling(image)) >= 0:
            settings["subsampling"] = sampling
        metadata = metadata._replace(settings=tuple(settings.items()))
    elif isinstance(image, PngImagePlugin.PngImageFile):
        chunks = []
        if "gamma" in info:
            chunks.append((b"gAMA", struct.pack(">I", round(info["gamma"] * 100_000))))
        if "srgb" in info:
            chunks.append((b"sRGB", bytes([info["srgb"]])))
        texts = [
            (key, text) for key, text in image.text.items() if not key.startswith(("Raw profile", "XML:com.adobe"))
        ]
        metadata = metadata._replace(png=tuple(texts), chunks=tuple(chunks))
    elif metadata.format == "TIFF" and isinstance(info.get("compression"), str):
        metadata = metadata._replace(settings=(("compression", info["compression"]),))
    return metadata


def metadata_of_tiff(old: Image.Exif) -> tuple[Metadata, int]:
    """Return the metadata of a page of a TIFF by its tags, and its orientation."""
    exif, orientation = upright(old)
    resolution = old.get(_X_RESOLUTION), old.get(_Y_RESOLUTION)
    inches = {_INCH: 1.0, _CENTIMETRE: 2.54}.get(old.get(_UNIT, _INCH))
    dpi = None
    if inches is not None and None not in resolution:
        with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
            dpi = tuple(float(value) * inches for value in resolution)  # type: ignore[arg-type]
    icc, xmp = old.get(_ICC), old.get(_XMP)
    return Metadata(
        "TIFF",
        exif,
        icc if isinstance(icc, bytes) else None,
        _upright(xmp) if isinstance(xmp, bytes) else None,
        parsed_dpi(dpi, orientation in _TRANSPOSED),
    ), orientation


def _upright(xmp: bytes) -> bytes:
    """Remove the orientation from XMP, as `ImageOps.exif_transpose` does."""
    return re.sub(rb'tiff:Orientation="[0-9]"|<tiff:Orientation>[0-9]</tiff:Orientation>', b"", xmp)


def parsed_dpi(dpi: Any, transposed: bool) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    # Pillow reports 1 dpi for a TIFF without a resolution.
    if not all(1 < value < 65_535 for value in (across, down)):
        return None
    return (down, across) if transposed else (across, down)


def save_options(size: tuple[int, int], picture_format: str, metadata: Metadata) -> dict[str, Any]:
    """Return the options for ``image.save`` of a picture of this size; formats ignore unknown options."""
    tags = _exif_for(metadata, *size)
    if picture_format == "TIFF" and metadata.xmp:
        tags[_XMP] = metadata.xmp
    exif = tags.tobytes() if len(tags) else None
    options: dict[str, Any] = {"exif": exif, "xmp": metadata.xmp, "comment": metadata.comment}
    if picture_format == "JPEG":
        options = {key: value for key, value in options.items() if value is None or len(value) < _LONGEST_SEGMENT}
    options |= {"icc_profile": metadata.icc_profile, "dpi": metadata.dpi}
    if metadata.format == picture_format:
        options |= dict(metadata.settings)
    if picture_format == "TIFF" and (_EXIF in tags or _GPS in tags):
        options["compression"] = "raw"  # Pillow cannot write these IFDs through libtiff, which compresses
    if picture_format == "PNG":
        options["pnginfo"] = _png_info(metadata)
    lossy = picture_format in ("JPEG", "WEBP", "AVIF") or options.get("compression") == "jpeg"
    if lossy and "qtables" not in options:
        options["quality"] = 95
    return {key: value for key, value in options.items() if value is not None}


def _exif_for(metadata: Metadata, width: int, height: int) -> Image.Exif:
    """The EXIF of a picture of this size."""
    exif = metadata.exif or Image.Exif()
    part = exif.get(_EXIF, {})
    for code, length in ((_WIDTH, width), (_HEIGHT, height)):
        if code in part:
            part[code] = length
    return exif


def tiff_tags_of(metadata: Metadata, width: int, height: int) -> list[Tag]:
    """The tags of a TIFF for a picture of this size."""
    exif = _exif_for(metadata, width, height)
    tags = list(tiff_tags.of_exif(exif)) if len(exif) else []
    if metadata.icc_profile:
        tags.append(tag(_ICC, tiff_tags.UNDEFINED, metadata.icc_profile))
    if metadata.xmp:
        tags.append(tag(_XMP, BYTE, metadata.xmp))
    if metadata.dpi and _X_RESOLUTION not in exif:
        for code, value in zip((_X_RESOLUTION, _Y_RESOLUTION), metadata.dpi):
            tags.append(tag(code, RATIONAL, (round(value * 10_000), 10_000)))
        tags.append(tag(_UNIT, SHORT, _INCH))
    return tags


def _png_info(metadata: Metadata) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for name, content in metadata.chunks:
        if not metadata.icc_profile:  # the ICC profile is more precise
            info.add(name, content)
    for key, text in metadata.png:
        if isinstance(text, PngImagePlugin.iTXt):
            info.add_itxt(key, text, text.lang or "", text.tkey or "")
        else:
            info.add_text(key, text)
    if metadata.xmp:
        info.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
    return info
