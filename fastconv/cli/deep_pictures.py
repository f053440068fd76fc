"""Pictures of which Pillow would read a part only: which they are, and how they are read and written whole.

Most need the packages of the extra `files`.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
from PIL import Image, PpmImagePlugin

from fastconv.cli import picture_metadata, tiff_reading, tiff_writing
from fastconv.cli.picture_metadata import Metadata
from fastconv.cli.raster import ALPHA, Colours, Raster, raster_of, turned

EXTRA = "pip install 'fastconv[files]'"
# Formats that hold more than 8 bits per colour, and types of samples that they hold; TIFF holds all.
_HELD = {"PNG": ("uint8", "uint16"), "PPM": ("uint16",)}
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS_HELD = {"I;16": 16, "I;16B": 16, "I": 32, "F": 32}
_WHITE_IS_ZERO, _PALETTE, _IN_PLANES = 0, 3, 2


class NoPage(ValueError):
    """A file has fewer pages, `count`, than the one asked for."""

    def __init__(self, count: int):
        super().__init__(count)
        self.count = count


def is_tiff(content: bytes) -> bool:
    """Whether a file begins as a TIFF does."""
    return content[:4] in _SIGNATURES


def has_extra() -> bool:
    """Whether the packages of the extra are installed."""
    try:
        import imagecodecs  # noqa: F401
        import tifffile  # noqa: F401
    except ImportError:
        return False
    return True


def loss(image: Any, content: bytes) -> str | None:
    """What Pillow would not read of the pixels of an open file, which begins with `content`; None for nothing."""
    most = _BITS_HELD.get(image.mode, 8)
    if image.format == "TIFF":
        return _loss_in_tiff(image, most)
    bits = 0
    if image.format == "JPEG2000" and (found := re.search(rb"\xff\x4f\xff\x51.{38}(.)", content, re.DOTALL)):
        bits = (found[1][0] & 127) + 1
    elif image.format == "AVIF" and (found := re.search(rb"av1C..(.)", content, re.DOTALL)):
        bits = 10 if found[1][0] & 64 else 8
    elif image.format == "PPM" and image.mode == "RGB":
        bits = max([8, *(16 for tile in image.tile if type(tile[3]) is tuple and tile[3][1] > 255)])
    else:
        for tile in getattr(image, "tile", ()):
            rawmode = tile[3] if isinstance(tile[3], str) else tile[3][0] if tile[3] else ""
            found_bits = re.search(r";(16|32|64)", str(rawmode))
            if found_bits and not str(rawmode).startswith("BGR"):  # whose 16 bits are those of all colours
                bits = max(bits, int(found_bits[1]))
    return f"{bits} bits per colour" if bits > most else None


def _loss_in_tiff(image: Any, most: int) -> str | None:
    tags = image.tag_v2
    bits, kind = max(tags.get(258, (1,))), max(tags.get(339, (1,)))
    if bits > most:
        return f"{bits} bits per {'colour' if image.mode not in _BITS_HELD else 'sample'}"
    if (kind, bits) in ((1, 32), (2, 8)):
        return ("unsigned" if kind == 1 else "signed") + f" samples of {bits} bits"
    if tags.prefix == b"MM" and tags.get(259, 1) != 1 and image.mode in ("F", "I"):  # Pillow swaps bytes once more
        return "compressed big-endian samples"
    if tags.get(284) == _IN_PLANES and image.mode == "LA":
        return "grey and alpha in separate planes"
    if tags.get(262) == _WHITE_IS_ZERO and image.mode.startswith("I;16"):
        return "16 bits of which 0 is white"
    if tags.get(262) == _PALETTE and any(value % 257 for value in tags.get(320, ())):
        # Many programs write 256 times the 8 bits.
        return "a palette of 16 bits" if any(value % 256 for value in tags[320]) else None
    return None


def is_widened(image: Any) -> bool:
    """Whether Pillow reads the samples of the page of a TIFF as those of more bits: signed ones of 16."""
    tags = image.tag_v2 if image.format == "TIFF" else {}
    return max(tags.get(339, (1,))) == 2 and max(tags.get(258, (1,))) == 16


def has_other_channels(image: Any) -> bool:
    """Whether Pillow leaves out channels of the page of a TIFF, which are neither colours nor alpha."""
    return image.format == "TIFF" and image.tag_v2.get(277, 1) > len(image.getbands())


def needs_extra(name: str, what: str) -> OSError:
    """The error for a file that cannot be read whole."""
    return OSError(f"{name}: has {what}, which Pillow cannot read whole; {EXTRA} reads them")


def check_held(raster: Raster, name: str, target_format: str | None) -> None:
    """Refuse a picture that a format cannot hold.

    Raises
    ------
    OSError
        It names a format that can.
    """
    if target_format in (None, "TIFF"):
        return
    kind, plain = raster.array.dtype.name, raster.kind.extra in ((), (ALPHA,)) and raster.kind.colours != "CMYK"
    fits = kind in _HELD.get(str(target_format), ()) and plain
    if not fits or (target_format == "PPM" and raster.kind[1:] != ("RGB", ())):
        able = "PNG or TIFF" if kind in _HELD["PNG"] and plain else "TIFF"
        what = "more than 8 bits" if raster.array.itemsize > 1 else "other samples"
        raise OSError(f"{name}: has {what} ({raster.mode}), which {target_format} cannot hold; {able} can")


def open_other(image: Image.Image, file: IO[bytes], name: str, what: str) -> Raster:
    """Read the picture of an open file that is no TIFF; not turned upright.

    Raises
    ------
    OSError
        If it needs an extra, or its format can be read in part only.
    """
    file.seek(0)
    if image.format == "PPM":
        return _read_ppm(file.read())
    if image.format == "PNG" or (image.format == "JPEG2000" and what.startswith("16 ")):
        if not has_extra():
            raise needs_extra(name, what)
        import imagecodecs

        if image.format == "PNG":
            needed = b"IHDR", b"tRNS", b"IDAT", b"IEND"  # of others the decoder may warn on stderr
            content = file.read()
            chunks = (chunk for kind, chunk in _chunks(content) if kind in needed)
            array = imagecodecs.png_decode(content[:8] + b"".join(chunks))
        else:
            array = imagecodecs.jpeg2k_decode(file.read())
        channels = 1 if array.ndim == 2 else array.shape[2]
        colours: Colours = "L" if channels < 3 else "RGB"
        return raster_of(array, colours, (ALPHA,) if channels in (2, 4) else ())
    raise OSError(f"{name}: has {what}, which cannot be read whole; convert it to TIFF first")


def _read_ppm(content: bytes) -> Raster:
    """Read colours of 16 bits as grey samples, three times as wide, which Pillow does not narrow."""
    skipped = rb"(?:\s|#[^\n]*\n)+"
    head = re.match(rb"P([36])" + skipped + rb"(\d+)" + skipped + rb"(\d+)" + skipped, content)
    assert head is not None
    kind, width, height = (int(group) for group in head.groups())
    grey = b"P%d %d %d " % (kind - 1, 3 * width, height) + content[head.end() :]
    with Image.open(io.BytesIO(grey)) as image:
        assert isinstance(image, PpmImagePlugin.PpmImageFile)
        array = np.asarray(image).astype(np.uint16)
    return raster_of(array.reshape(height, width, 3), "RGB", ())


def upright(raster: Raster, orientation: int) -> Raster:
    """Turn a picture by its orientation."""
    return raster._replace(array=np.ascontiguousarray(turned(raster.array, orientation)))


def tiff_pages(file: IO[bytes], number: int | None, several: bool) -> Iterator[tuple[Raster, Metadata, int]]:
    """Read pages of a TIFF, turned upright, with the number of all: one, from 1 on, or all."""
    file.seek(0)
    with tiff_reading.opened(file) as tiff:
        pages = tiff_reading.pages_of(tiff)
        if number is not None and number > len(pages):
            raise NoPage(len(pages))
        chosen = pages if several and number is None else pages[(number or 1) - 1 : number or 1]
        for page in chosen:
            check_pixels(page)
            metadata, orientation = metadata_of(tiff, page)
            yield upright(tiff_reading.raster(page), orientation), metadata, len(pages)


def check_pixels(page: Any) -> None:
    """Refuse a page of more pixels than Pillow would allow, or of as many samples in more than four channels."""
    most = Image.MAX_IMAGE_PIXELS
    pixels = max(page.imagewidth * page.imagelength, math.prod(page.shaped) // 4)
    if most is not None and pixels > 2 * most:
        raise Image.DecompressionBombError


def metadata_of(tiff: Any, page: Any) -> tuple[Metadata, int]:
    """The metadata of a page of a TIFF, with its compression, and its orientation."""
    metadata, orientation = picture_metadata.metadata_of_tiff(tiff_reading.exif_of(tiff, page))
    settings = (("compression", int(page.compression)), ("predictor", int(page.predictor)))
    return metadata._replace(settings=settings), orientation


# ------------------------------------------------------------------------------------------------------- writing


def write(file: IO[bytes], pages: Sequence[tuple[Raster, Metadata]], picture_format: str) -> None:
    """Encode pictures, of which only a TIFF holds more than one."""
    raster, metadata = pages[0]
    if picture_format == "TIFF":
        writer = tiff_writing.TiffWriter(file, sum(page.array.nbytes for page, _ in pages))
        for page, of_page in pages:
            target = writer.page(layout_of(page, of_page), picture_metadata.tiff_tags_of(of_page, *_size(page)))
            target[:, :] = page.array
            target.finish()
    elif picture_format == "PNG":
        file.write(_png(raster, metadata))
    else:
        file.write(b"P6\n%d %d\n65535\n" % _size(raster) + raster.array.astype(">u2").tobytes())


def _size(raster: Raster) -> tuple[int, int]:
    return raster.width, raster.height


def layout_of(raster: Raster, metadata: Metadata) -> tiff_writing.Layout:
    """How to store a picture: compressed as it was read."""
    return tiff_writing.Layout(raster.array.shape, raster.kind, *compression_of(metadata, raster.kind.dtype))


def compression_of(metadata: Metadata, dtype: np.dtype) -> tuple[int, int]:
    """The compression of a TIFF and its predictor, as they were read."""
    settings = dict(metadata.settings) if metadata.format == "TIFF" else {}
    compression = tiff_writing.kept(settings.get("compression", tiff_writing.NONE))
    able = compression != tiff_writing.NONE and settings.get("predictor", 1) == (3 if dtype.kind == "f" else 2)
    return compression, settings["predictor"] if able else 1


def _png(raster: Raster, metadata: Metadata) -> bytes:
    """Encode a PNG; Pillow writes the chunks of its metadata, for a picture of one pixel."""
    import imagecodecs

    content = bytes(imagecodecs.png_encode(raster.array))
    one, stand_in = Image.new("RGB" if raster.kind.colours == "RGB" else "L", (1, 1)), io.BytesIO()
    one.save(stand_in, "PNG", **picture_metadata.save_options(_size(raster), "PNG", metadata))
    kinds = (b"IHDR", b"IDAT", b"IEND")
    extra = b"".join(chunk for kind, chunk in _chunks(stand_in.getvalue()) if kind not in kinds)
    after_header = 8 + 25  # the signature, and the chunk IHDR
    return content[:after_header] + extra + content[after_header:]


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG, with their types."""
    position = 8
    while position < len(png):
        (length,) = struct.unpack_from(">I", png, position)
        yield png[position + 4 : position + 8], png[position : position + 12 + length]
        position += 12 + length
