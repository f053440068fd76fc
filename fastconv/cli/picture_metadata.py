"""Metadata of picture files: read with the pixels, and written back."""

from __future__ import annotations

import contextlib
import re
import struct
from typing import Any, NamedTuple

from PIL import ExifTags, Image, JpegImagePlugin, PngImagePlugin

_EXIF, _GPS, _INTEROP = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop
_RESOLUTION = {282, 283, 296}
_ICC, _XMP, _ORIENTATION = 34675, 700, 274
# TIFF tags of the pixel layout, which belong to the file that was read.
_STRUCTURE = {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289}
_STRUCTURE |= {290, 291, 292, 293, 297, 301, 317, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 338, 339, 340}
_STRUCTURE |= {341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, _ICC, _XMP, _ORIENTATION}
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


def exif_of(image: Image.Image) -> tuple[Image.Exif | None, bool]:
    """Return the EXIF of an open file without its pixel layout, and whether its orientation swaps width and height.

    The EXIF is None where it is missing or damaged.
    """
    new, transposed = Image.Exif(), False
    try:
        old = image.getexif()
        transposed = old.get(_ORIENTATION, 1) in _TRANSPOSED
        for tag, value in old.items():
            if tag not in _STRUCTURE and tag not in (_EXIF, _GPS) and not (transposed and tag in _RESOLUTION):
                new[tag] = value
        for tag in (_EXIF, _GPS):
            part = dict(old.get_ifd(tag))
            if part.pop(_INTEROP, None) is not None:  # an offset, wrong in TIFFs written by Pillow
                with contextlib.suppress(Exception):
                    part[_INTEROP] = dict(old.get_ifd(_INTEROP))
            if part:
                new[tag] = part
        new.tobytes()
    except Exception:  # damaged EXIF must not stop the conversion
        return None, transposed
    return (new if len(new) else None), transposed


def metadata_of(image: Image.Image, exif: Image.Exif | None, transposed: bool) -> Metadata:
    """Return the metadata of an open file; `transposed` swaps the resolutions of width and height."""
    info = image.info
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


def save_options(image: Image.Image, picture_format: str, metadata: Metadata) -> dict[str, Any]:
    """Return the options for ``image.save``; formats ignore unknown options."""
    tags = metadata.exif or Image.Exif()
    if picture_format == "TIFF" and metadata.xmp:
        tags[_XMP] = metadata.xmp
    part = tags.get(_EXIF, {})
    for tag, length in ((_WIDTH, image.width), (_HEIGHT, image.height)):
        if tag in part:
            part[tag] = length
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
