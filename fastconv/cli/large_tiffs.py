"""TIFFs that are larger than memory: which they are, and their pages as arrays on disk."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from PIL import Image, UnidentifiedImageError

from fastconv.cli import deep_pictures, tiff_reading
from fastconv.cli.picture_metadata import Metadata
from fastconv.cli.picture_pages import alone
from fastconv.cli.tiff_reading import NotReadable, StoredTiff

# Bytes of pixels of the pictures of a file that are converted as a whole.
LARGEST_WHOLE = 1 << 28
# Bytes of a strip or a tile that must be decoded as a whole.
LARGEST_SEGMENT = 1 << 27
# How many times the bytes of its pixels a picture takes that is converted as a whole.
_COPIES = 3


class LargePage(NamedTuple):
    """A page of a file that is larger than memory."""

    samples: StoredTiff
    metadata: Metadata


@contextlib.contextmanager
def opened(path: str, number: int | None) -> Iterator[list[LargePage] | None]:
    """The pages of a TIFF, or the one of a number, if they should be converted in parts; None for others.

    Raises
    ------
    OSError
        If they do not fit into memory, and cannot be converted in parts.
    """
    pixels = _pixels_of_tiff(path)
    if 32 * pixels <= LARGEST_WHOLE:  # of four channels of 64 bits
        yield None
    elif not deep_pictures.has_extra():
        if math.inf > _COPIES * pixels > memory():
            raise OSError(f"{path}: does not fit into memory; {deep_pictures.EXTRA} reads it in parts")
        yield None
    else:
        with contextlib.ExitStack() as stack:
            try:
                pages = _large_pages(stack.enter_context(tiff_reading.opened(path)), path, number)
            except NotInParts as error:
                raise OSError(f"{path}: does not fit into memory, and cannot be read in parts, as {error}") from None
            except Exception:  # it is read again, and reported, as any other picture
                pages = None
            yield pages


def _pixels_of_tiff(path: str) -> float:
    """Number of the pixels of a TIFF; infinity if Pillow cannot tell, 0 for other files."""
    try:
        with open(path, "rb") as file:
            if not deep_pictures.is_tiff(file.read(4)):
                return 0
        with Image.open(path) as image:
            return image.width * image.height * getattr(image, "n_frames", 1)
    except (UnidentifiedImageError, SyntaxError):  # of the first page, or of another one
        return math.inf
    except Exception:  # it is read again, and reported, as any other picture
        return 0


class NotInParts(ValueError):
    """A picture that is too large for memory, and cannot be read in parts either."""


def _large_pages(tiff: Any, path: str, number: int | None) -> list[LargePage] | None:
    pages = tiff_reading.pages_of(tiff)
    chosen = pages if number is None else pages[number - 1 : number]
    nbytes = sum(math.prod(page.shaped) * (page.bitspersample + 7) // 8 for page in chosen)
    if nbytes <= LARGEST_WHOLE:
        return None
    for page in chosen:
        deep_pictures.check_pixels(page)
    found = []
    try:
        for page in chosen:
            metadata, orientation = deep_pictures.metadata_of(tiff, page)
            if orientation != 1:
                raise NotReadable("it is not stored upright")
            metadata = metadata if len(chosen) == len(pages) else alone(metadata)
            found.append(LargePage(StoredTiff(tiff, page, path, LARGEST_SEGMENT), metadata))
    except NotReadable as error:
        if _COPIES * nbytes > memory():
            raise NotInParts(error) from None
        return None
    return found


def memory() -> float:
    """Bytes of memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return math.inf
