"""Files of several pictures: pages of a document, and frames of an animation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

from PIL import Image, TiffImagePlugin

from fastconv.cli import deep_pictures
from fastconv.cli.picture_metadata import EMPTY, Metadata, save_options
from fastconv.cli.raster import Raster

# Formats of several pictures. Others, such as MPO, hold one picture and what belongs to it.
_DOCUMENTS = {"TIFF", "PDF", "DCX", "IM"}
_ANIMATIONS = {"GIF", "WEBP", "PNG", "AVIF", "FLI"}

# TIFF tags: a description, and the kind of a page, with bits for a smaller version of another one, and for a mask.
_DESCRIPTION, _KIND, _OF_ANOTHER = 270, 254, 1 | 4


class Frame(NamedTuple):
    """Timing of a picture of an animation."""

    milliseconds: float | None  # for which it is shown
    plays: int  # of the animation, 0 for without end
    apart: bool  # shown only where animations are not


class Page(NamedTuple):
    """A picture of a file."""

    image: Image.Image | Raster
    metadata: Metadata = EMPTY
    frame: Frame | None = None


def count(image: Image.Image) -> int:
    """Number of the pictures in an open file that are its pages or frames."""
    several = image.format in _DOCUMENTS | _ANIMATIONS and getattr(image, "is_animated", False)
    return getattr(image, "n_frames", 1) if several else 1


def places(image: Any) -> list[int]:
    """Which pictures of an open file are its pages or frames: in a TIFF no smaller versions of others, and no masks."""
    every = list(range(count(image)))
    if image.format != "TIFF" or len(every) == 1:
        return every
    found = []
    for place in every:
        image.seek(place)
        if not image.tag_v2.get(_KIND, 0) & _OF_ANOTHER:
            found.append(place)
    return found or every[:1]


def held(source: str | None, target: str | None) -> bool:
    """True if the format `target` holds all pictures of one of `source`; an animation cannot hold pages."""
    if target not in Image.SAVE_ALL:
        return False
    return target in _DOCUMENTS or (source in _ANIMATIONS and target in _ANIMATIONS)


def frame_of(image: Image.Image) -> Frame | None:
    """Timing of the current picture of an open file; None if it is no animation."""
    if image.format not in _ANIMATIONS or count(image) == 1:
        return None
    plays = image.info.get("loop")
    if image.format == "GIF":  # which stores how often it is repeated
        plays = 1 if plays is None else plays and plays + 1
    apart = bool(image.info.get("default_image")) and image.tell() == 0
    return Frame(image.info.get("duration"), plays or 0, apart)


def alone(metadata: Metadata) -> Metadata:
    """Metadata of one page of several: the description by ImageJ counts them."""
    text = metadata.exif.get(_DESCRIPTION) if metadata.exif is not None else None
    if metadata.exif is not None and isinstance(text, str) and text.startswith("ImageJ="):
        metadata.exif[_DESCRIPTION] = re.sub(
            r"(?m)^(images|channels|slices|frames|hyperstack|mode|loop)=.*\n?", "", text
        )
    return metadata


def write(file: IO[bytes], pages: Sequence[Page], picture_format: str) -> None:
    """Encode pictures into a file that can be read as well."""
    rasters = [(page.image, page.metadata) for page in pages if isinstance(page.image, Raster)]
    if rasters:
        assert len(rasters) == len(pages)
        deep_pictures.write(file, rasters, picture_format)
        return
    images = [page.image for page in pages if isinstance(page.image, Image.Image)]
    if len(images) == 1:
        images[0].save(file, picture_format, **save_options(images[0].size, picture_format, pages[0].metadata))
    elif picture_format == "TIFF":
        with TiffImagePlugin.AppendingTiffWriter(file) as document:
            for image, page in zip(images, pages):
                image.save(document, picture_format, **save_options(image.size, picture_format, page.metadata))
                document.newFrame()
    else:
        options = save_options(images[0].size, picture_format, pages[0].metadata)
        if picture_format in _ANIMATIONS:
            images = _of_one_mode(images)
            options |= _timing([page.frame for page in pages if page.frame is not None], picture_format, images[0].mode)
        images[0].save(file, picture_format, save_all=True, append_images=images[1:], **options)


def _of_one_mode(images: list[Image.Image]) -> list[Image.Image]:
    """Convert frames, of which only some may have colours or transparent parts, to one mode."""
    modes = {image.mode for image in images}
    if len(modes) == 1:
        return images
    mode = "RGBA" if modes & {"LA", "RGBA"} else "RGB"
    return [image.convert(mode) for image in images]


def _timing(frames: list[Frame], picture_format: str, mode: str) -> dict[str, Any]:
    """Options for ``image.save`` that keep the timing of an animation."""
    options: dict[str, Any] = {}
    if picture_format == "PNG" and frames[0].apart:
        options["default_image"] = True
        frames = frames[1:]
    if all(frame.milliseconds is not None for frame in frames):
        options["duration"] = [round(frame.milliseconds or 0) for frame in frames]
    plays = frames[0].plays
    if picture_format != "GIF":
        options["loop"] = plays
    elif plays != 1:
        options["loop"] = plays and plays - 1
    if picture_format == "GIF" and mode in ("LA", "RGBA"):
        options["disposal"] = 2  # else a frame would show through the transparent parts of the next
    return options
