"""Read picture files; all of Pillow's errors become an `OSError` with a one-line message."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from typing import IO, NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from fastconv.cli import deep_pictures, picture_pages
from fastconv.cli.picture_metadata import Metadata, exif_of, metadata_of
from fastconv.cli.picture_pages import Page
from fastconv.cli.raster import Raster
from fastconv.cli.tiff_reading import NotReadable

# Formats that store these colour spaces; for all others pixels become RGB.
_HELD = {"CMYK": {"JPEG", "TIFF"}, "YCbCr": {"JPEG", "TIFF"}}
# Formats that store more than 8 bits, by mode; for others Pillow would silently reduce pixels to 8 bits.
_HELD_DEPTHS = {
    "I;16": {"PNG", "TIFF", "JPEG2000", "PPM"},
    "I": {"TIFF", "PPM"},
    "F": {"TIFF", "PPM"},
}
# Bytes at the beginning of a file, in which its type and the depth of its pixels are told.
_BEGINNING = 1 << 16


@contextlib.contextmanager
def limit(most: int | None) -> Iterator[None]:
    """Refuse pictures of more than `most` pixels, 0 for no limit; None leaves Pillow's limit."""
    before = Image.MAX_IMAGE_PIXELS
    if most is not None:
        Image.MAX_IMAGE_PIXELS = most / 2 if most else None  # type: ignore[assignment]  # an error from twice that on
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


class Picture(NamedTuple):
    """A picture of a file that was read."""

    page: Page
    notes: tuple[str, ...]  # contents of the file that were left out


def load_pages(
    source: str | os.PathLike[str] | bytes, target_format: str | None = None, number: int | None = None
) -> Generator[Picture, None, None]:
    """Read the pictures of a file, turned upright, in a mode that `fastconv.image.filter` takes.

    `source` is a path, or the content of a file. A palette and a transparent colour become RGB, RGBA or LA; CMYK and
    YCbCr become RGB if `target_format` cannot hold them; other colour spaces always become RGB. Pages and frames come
    one after the other: the one with this `number`, from 1 on; or all, if `target_format` can hold them; else the
    first.

    Pillow may warn of a large picture or unusual EXIF; the caller filters these warnings.

    Raises
    ------
    OSError
        If the file cannot be opened; without an errno if it is not a picture, broken, or suspiciously large.
    ValueError
        If there is no picture of this number.
    """
    name = "standard input" if isinstance(source, bytes) else os.fspath(source)
    try:
        if not isinstance(source, bytes) and stat.S_IFMT(os.stat(source).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            raise OSError(f"{name}: is not a regular file; - is standard input")
        yield from _pages(source, name, target_format, number)
    except UnidentifiedImageError:
        raise OSError(f"{name}: not a picture, or of a format that Pillow cannot read") from None
    except Image.DecompressionBombError:
        most = int(2 * (Image.MAX_IMAGE_PIXELS or 0))
        raise OSError(f"{name}: too many pixels (more than {most}); --max-pixels allows more") from None
    except MemoryError:
        raise OSError(f"{name}: too large for memory") from None
    except NotReadable as error:
        raise OSError(f"{name}: {error}") from None
    except _NoPage:
        raise
    except Exception as error:
        # On broken data decoders raise SyntaxError, struct.error, zlib.error, EOFError and more.
        if isinstance(error, OSError) and (error.filename is not None or str(error).startswith(name)):
            raise
        raise OSError(f"{name}: broken picture ({error})") from error


def _opened(source: str | os.PathLike[str] | bytes) -> IO[bytes]:
    """Open a file, or the content of one."""
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def _pages(
    source: str | os.PathLike[str] | bytes, name: str, target_format: str | None, number: int | None
) -> Iterator[Picture]:
    """Read the pictures of a file, by Pillow if it reads all of the pixels."""
    with _opened(source) as file:
        content = file.read(_BEGINNING)
        try:
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        except UnidentifiedImageError:
            if not deep_pictures.is_tiff(content):
                raise
            if not deep_pictures.has_extra():
                more = f"{deep_pictures.EXTRA} reads more of them"
                raise OSError(f"{name}: a TIFF that Pillow cannot read; {more}") from None
            yield from _deep_tiff(file, name, target_format, number)
            return
        with image:
            try:
                places = picture_pages.places(image)
            except SyntaxError:
                if image.format != "TIFF":
                    raise
                if not deep_pictures.has_extra():
                    raise deep_pictures.needs_extra(name, "pages of unknown kinds") from None
                yield from _deep_tiff(file, name, target_format, number)
                return
            count, is_one = len(places), picture_pages.count(image) == 1
            if number is not None and number > count:
                raise _no_page(name, count, number)
            several = number is None and picture_pages.held(image.format, target_format or image.format)
            chosen = places if several else [places[(number or 1) - 1]]
            lost = _loss_of(image, [] if is_one else chosen, content)
            if lost is not None and image.format == "TIFF":
                if not deep_pictures.has_extra():
                    raise deep_pictures.needs_extra(name, lost)
                yield from _deep_tiff(file, name, target_format, number)
                return
            others = deep_pictures.has_other_channels(image)
            better = others or deep_pictures.is_widened(image)
            if better and target_format in (None, "TIFF") and deep_pictures.has_extra():
                yield from _deep_tiff(file, name, target_format, number)
                return
            notes = tuple(_notes(image, count, target_format, number))
            notes += ("channels that are neither colours nor alpha are left out",) if others else ()
            for index in chosen:
                if not is_one:
                    image.seek(index)
                page = _current(image, file, name, target_format, lost)
                if several:
                    page = page._replace(frame=picture_pages.frame_of(image))
                elif count > 1:
                    page = page._replace(metadata=picture_pages.alone(page.metadata))
                yield Picture(page, notes)
                notes = ()


def _loss_of(image: Image.Image, pages: Sequence[int], content: bytes) -> str | None:
    """What Pillow would not read of pages of a TIFF, or of another file, whose frames are alike."""
    if image.format == "TIFF":
        for page in pages:
            image.seek(page)
            if (lost := deep_pictures.loss(image, content)) is not None:
                return lost
    return deep_pictures.loss(image, content)


def _deep_tiff(file: IO[bytes], name: str, target_format: str | None, number: int | None) -> Iterator[Picture]:
    """Read pages of a TIFF whole."""
    several, left_out = number is None and target_format in (None, "TIFF"), number is None
    try:
        for raster, metadata, count in deep_pictures.tiff_pages(file, number, several):
            page = _as_pillow(raster, metadata, target_format)
            if page is None:
                deep_pictures.check_held(raster, name, target_format)
                page = Page(raster, metadata)
            notes = (_left_out(count, target_format),) if count > 1 and not several and left_out else ()
            if count > 1 and not several:
                page = page._replace(metadata=picture_pages.alone(page.metadata))
            yield Picture(page, notes)
            left_out = False
    except deep_pictures.NoPage as error:
        raise _no_page(name, error.count, number or 1) from None


def _as_pillow(raster: Raster, metadata: Metadata, target_format: str | None) -> Page | None:
    """A picture of 8 bits as one of Pillow, whose format is no TIFF, which might have deeper pages too; or None."""
    mode = raster.kind.pillow_mode
    if mode is None or target_format in (None, "TIFF"):
        return None
    image = Image.frombytes(mode, (raster.width, raster.height), raster.array.tobytes())
    return Page(*convertible(image, metadata._replace(settings=()), target_format))


def _no_page(name: str, count: int, number: int) -> _NoPage:
    return _NoPage(f"{name}: has {count} picture{'s'[: count > 1]}; --page {number} is not one of them")


class _NoPage(ValueError):
    """There is no picture of the number asked for."""


def _current(image: Image.Image, file: IO[bytes], name: str, target_format: str | None, lost: str | None) -> Page:
    """Load the current picture of an open file; of one that is no TIFF, Pillow would lose what is `lost`."""
    early = image.format == "TIFF"  # loading turns it upright and closes it
    exif, orientation = exif_of(image) if early else (None, 1)
    if lost is not None and picture_pages.count(image) > 1:
        raise OSError(f"{name}: an animation of {lost}, which cannot be read whole")
    if lost is None or image.format == "PNG":
        image.load()
    if not early:  # in a PNG, EXIF may follow the pixels
        exif, orientation = exif_of(image)
    metadata = metadata_of(image, exif, orientation)
    if lost is not None:
        raster = deep_pictures.upright(deep_pictures.open_other(image, file, name, lost), orientation)
        deep_pictures.check_held(raster, name, target_format)
        return Page(raster, metadata)
    upright = ImageOps.exif_transpose(image)
    converted, metadata = convertible(upright, metadata, target_format)
    if target_format not in (None, *_HELD_DEPTHS.get(converted.mode, {target_format})):
        held = " or ".join(sorted(_HELD_DEPTHS[converted.mode]))
        depth = f"{name}: has more than 8 bits (mode {converted.mode})"
        raise OSError(f"{depth}, which {target_format} cannot hold; {held} can")
    return Page(converted, metadata)


def _notes(image: Image.Image, count: int, target_format: str | None, number: int | None) -> Iterator[str]:
    """Yield a note for each part of the file that is not read."""
    if count > 1 and number is None and not picture_pages.held(image.format, target_format or image.format):
        yield _left_out(count, target_format)
    elif count == 1 and getattr(image, "is_animated", False) and image.format != "PSD":  # whose first is the merged one
        yield "only the first of several pictures is read"


def _left_out(count: int, target_format: str | None) -> str:
    return f"only the first of {count} pictures is read, as {target_format} cannot hold them; --page takes another"


def convertible(image: Image.Image, metadata: Metadata, target_format: str | None) -> tuple[Image.Image, Metadata]:
    """Convert a picture to a mode that can be filtered and written, and drop a profile that no longer applies."""
    mode, transparent = image.mode, "transparency" in image.info
    if mode in ("1", "L") and transparent:
        mode = "LA"
    elif mode == "P" or (mode == "RGB" and transparent):
        mode = "RGBA" if transparent else "RGB"
    elif mode in ("PA", "RGBa"):
        mode = "RGBA"
    elif mode == "La":
        mode = "LA"
    elif mode in ("LAB", "HSV", "RGBX") or target_format not in _HELD.get(mode, {target_format}):
        mode = "RGB"
    elif (mode == "I" and (metadata.format == "PNG" or (metadata.format == "PPM" and target_format == "PNG"))) or (
        mode == "I;16B" and target_format not in (None, "TIFF")
    ):
        # Pillow reads a PPM, and before version 11 a PNG, of 16 bits as 32; and only a TIFF can be big-endian.
        mode = "I;16"
    if mode == "LA" and target_format == "GIF":  # Pillow drops the alpha of LA
        mode = "RGBA"
    if mode == image.mode:
        return image, metadata
    if image.mode in ("LAB", "CMYK", "YCbCr", "HSV"):
        metadata = metadata._replace(icc_profile=None)  # the profile describes the old colour space
    if image.mode == "I;16B":
        image = image.convert("I")  # directly, Pillow would clip at 255
    return image.convert(mode), metadata
