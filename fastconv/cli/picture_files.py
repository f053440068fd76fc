"""Picture files, in and out.

Pillow's many ways to fail become one `OSError` or `ValueError` with one line of text.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import shutil
import stat
import struct
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from PIL import ExifTags, Image, ImageOps, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError

# What Pillow has an extension for and no pixels: stubs, films, and drawings that another program would have to draw.
_NO_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}

# The formats for which colours need not become RGB.
_HELD = {"CMYK": {"JPEG", "TIFF"}, "YCbCr": {"JPEG", "TIFF"}}
# And those that hold more than 8 bits, by mode. Into others Pillow would write what 8 bits leave of them.
_HELD_DEPTHS = {
    "I;16": {"PNG", "TIFF", "JPEG2000", "PPM"},
    "I;16B": {"TIFF"},
    "I": {"TIFF", "PPM"},
    "F": {"TIFF", "PPM"},
}

_EXIF, _GPS, _INTEROP = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop
_RESOLUTION = {282, 283, 296}
_ICC, _XMP, _ORIENTATION = 34675, 700, 274
# Tags of a TIFF that say how and where its pixels are stored, which is not how and where they will be.
_STRUCTURE = {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289}
_STRUCTURE |= {290, 291, 292, 293, 297, 301, 317, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 338, 339, 340}
_STRUCTURE |= {341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, _ICC, _XMP, _ORIENTATION}
_SIDEWAYS = (5, 6, 7, 8)  # orientations with width and height swapped
_WIDTH, _HEIGHT = 0xA002, 0xA003  # of the pixels, in the Exif part

_LONGEST_SEGMENT = 65_000  # a little less than a JPEG holds in one piece


class Kept(NamedTuple):
    """What stands in a picture file beside the pixels, and is written again."""

    format: str = ""  # as Pillow calls it
    exif: Image.Exif | None = None  # without the orientation and the thumbnail
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None
    png: tuple[tuple[str, str], ...] = ()  # texts by keyword
    chunks: tuple[tuple[bytes, bytes], ...] = ()  # of a PNG: what its numbers mean as light
    settings: tuple[tuple[str, Any], ...] = ()  # how hard it was compressed: options to save in the same format


NOTHING = Kept()


class Picture(NamedTuple):
    """A picture file that was read."""

    image: Image.Image
    kept: Kept
    notes: tuple[str, ...]  # what was not read


# ---------------------------------------------------------------------------------------------------- formats


def extensions() -> set[str]:
    """The extensions, in lower case and with their dots, of the formats that can be read."""
    known = Image.registered_extensions()
    readable = Image.OPEN.keys() - _NO_PIXELS | {"MPO"}  # which begins as a JPEG, and is opened as one
    return {extension for extension, name in known.items() if name in readable}


def format_named(extension: str) -> str | None:
    """The format that an extension asks for, with or without a dot; None if none can be written for it."""
    name = Image.registered_extensions().get("." + extension.lower().removeprefix("."))
    return name if name in Image.SAVE else None


def check_target(path: str | os.PathLike[str], picture_format: str | None = None) -> str:
    """The format to write: `picture_format`, or what the path's extension asks for, if a file could be written there.

    Raises
    ------
    ValueError
        If Pillow cannot write such a format, or extension and `picture_format` contradict each other.
    OSError
        If the path is a folder or a device, or in a folder that is not there.
    """
    name = os.fspath(path)
    extension = os.path.splitext(name)[1]
    asked = format_named(extension)
    if picture_format is None:
        if asked is None:
            raise ValueError(
                f"{name}: no picture format to write for the extension {extension.lower()!r}; .png is one that works"
            )
        picture_format = asked
    elif asked not in (None, picture_format):
        raise ValueError(f"{name}: the extension is of {asked}, the format asked for {picture_format}")
    target = os.path.realpath(name)
    if os.path.isdir(target):
        raise OSError(f"{name}: is a folder")
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(f"{name}: is not a regular file")  # a device would be replaced by a file
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise OSError(f"{name}: there is no folder {folder}")
    return picture_format


# ---------------------------------------------------------------------------------------------------- in


def load(source: str | os.PathLike[str] | bytes, target_format: str | None = None) -> Picture:
    """The first picture of a file, upright, with all its pixels read, in a mode that `fastconv.image.filter` takes.

    `source` is a path, or the content of a file. A palette and a transparent colour become RGB, RGBA or LA, CMYK and
    YCbCr become RGB where `target_format` cannot hold them, and other colour spaces always do.

    Pillow warns of what it only doubts, a large picture or an odd EXIF; it is for the caller to ignore that.

    Raises
    ------
    OSError
        If the file cannot be opened, and, with no errno, if it is no picture, broken, or suspiciously large.
    """
    name = "standard input" if isinstance(source, bytes) else os.fspath(source)
    try:
        if not isinstance(source, bytes) and stat.S_IFMT(os.stat(source).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            raise OSError(f"{name}: is not a regular file; - is standard input")
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            notes = tuple(_notes(image))
            early = image.format == "TIFF"  # loading makes it upright, and closes it
            exif, turned = _exif(image) if early else (None, False)
            image.load()
            if not early:  # in a PNG, it may follow the pixels
                exif, turned = _exif(image)
            kept = _kept(image, exif, turned)
            converted, kept = _convertible(ImageOps.exif_transpose(image), kept, target_format)
            if target_format not in (None, *_HELD_DEPTHS.get(converted.mode, {target_format})):
                held = " or ".join(sorted(_HELD_DEPTHS[converted.mode]))
                depth = f"{name}: has more than 8 bits (mode {converted.mode})"
                raise OSError(f"{depth}, which {target_format} cannot hold; {held} can")
            return Picture(converted, kept, notes)
    except UnidentifiedImageError:
        raise OSError(f"{name}: not a picture, or of a format that Pillow does not know") from None
    except Image.DecompressionBombError:
        raise OSError(f"{name}: too many pixels (more than {2 * (Image.MAX_IMAGE_PIXELS or 0)})") from None
    except MemoryError:
        raise OSError(f"{name}: too large for the memory") from None
    except Exception as error:
        # Pillow's decoders meet broken data with SyntaxError, struct.error, zlib.error, EOFError and more.
        if isinstance(error, OSError) and (error.errno is not None or str(error).startswith(name)):
            raise
        raise OSError(f"{name}: broken picture ({error})") from error


def _notes(image: Image.Image) -> Iterator[str]:
    # A PSD's first picture is all of its layers.
    if getattr(image, "is_animated", False) and image.format != "PSD":
        yield "the first of its pictures is taken"
    if image.mode in ("RGB", "RGBA", "LA", "RGBX") and any(
        ";16" in str(tile[3]) for tile in getattr(image, "tile", ())
    ):
        yield "of 16 bits per colour, 8 are read"


def _convertible(image: Image.Image, kept: Kept, target_format: str | None) -> tuple[Image.Image, Kept]:
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
    elif mode == "I" and kept.format == "PNG":  # before Pillow 11, a PNG of 16 bits
        mode = "I;16"
    if mode == "LA" and target_format == "GIF":  # for which Pillow would drop alpha
        mode = "RGBA"
    if mode == image.mode:
        return image, kept
    if image.mode in ("LAB", "CMYK", "YCbCr", "HSV"):
        kept = kept._replace(icc_profile=None)  # it describes the colours that they were
    return image.convert(mode), kept


def _kept(image: Image.Image, exif: Image.Exif | None, turned: bool) -> Kept:
    """What to keep of a file that is open and read; `turned` is whether width and height are to be swapped."""
    info = image.info
    xmp, comment = info.get("xmp"), info.get("comment")
    kept = Kept(
        "JPEG" if image.format == "MPO" else image.format or "",
        exif,
        info.get("icc_profile") or None,
        _upright(xmp) if isinstance(xmp, bytes) else None,
        _dpi(info.get("dpi"), turned),
        comment.encode("utf-8", "replace") if isinstance(comment, str) else comment,
    )
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        settings: dict[str, Any] = {"qtables": image.quantization, "progressive": bool(info.get("progressive"))}
        if (sampling := JpegImagePlugin.get_sampling(image)) >= 0:
            settings["subsampling"] = sampling
        kept = kept._replace(settings=tuple(settings.items()))
    elif isinstance(image, PngImagePlugin.PngImageFile):
        chunks = []
        if "gamma" in info:
            chunks.append((b"gAMA", struct.pack(">I", round(info["gamma"] * 100_000))))
        if "srgb" in info:
            chunks.append((b"sRGB", bytes([info["srgb"]])))
        texts = [
            (key, text) for key, text in image.text.items() if not key.startswith(("Raw profile", "XML:com.adobe"))
        ]
        kept = kept._replace(png=tuple(texts), chunks=tuple(chunks))
    elif kept.format == "TIFF" and isinstance(info.get("compression"), str):
        kept = kept._replace(settings=(("compression", info["compression"]),))
    return kept


def _exif(image: Image.Image) -> tuple[Image.Exif | None, bool]:
    """The EXIF of a file that is open, to be written with other pixels, and whether it swaps width and height.

    None is for what is damaged, too.
    """
    new, turned = Image.Exif(), False
    try:
        old = image.getexif()
        turned = old.get(_ORIENTATION, 1) in _SIDEWAYS
        for tag, value in old.items():
            if tag not in _STRUCTURE and tag not in (_EXIF, _GPS) and not (turned and tag in _RESOLUTION):
                new[tag] = value
        for tag in (_EXIF, _GPS):
            part = dict(old.get_ifd(tag))
            if part.pop(_INTEROP, None) is not None:  # an offset, which in TIFFs by Pillow is wrong
                with contextlib.suppress(Exception):
                    part[_INTEROP] = dict(old.get_ifd(_INTEROP))
            if part:
                new[tag] = part
        new.tobytes()
    except Exception:  # it can be damaged in many ways, and is of no importance to the pixels
        return None, turned
    return (new if len(new) else None), turned


def _upright(xmp: bytes) -> bytes:
    """XMP without the orientation, as `ImageOps.exif_transpose` leaves it."""
    return re.sub(rb'tiff:Orientation="[0-9]"|<tiff:Orientation>[0-9]</tiff:Orientation>', b"", xmp)


def _dpi(dpi: Any, turned: bool) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    # One dot to the inch is what Pillow says of a TIFF that says nothing.
    if not all(1 < value < 65_535 for value in (across, down)):
        return None
    return (down, across) if turned else (across, down)


# ---------------------------------------------------------------------------------------------------- out


def _options(image: Image.Image, picture_format: str, kept: Kept) -> dict[str, Any]:
    """What to tell ``image.save``. A format takes no notice of an option that it does not know."""
    tags = kept.exif or Image.Exif()
    if picture_format == "TIFF" and kept.xmp:
        tags[_XMP] = kept.xmp
    part = tags.get(_EXIF, {})
    for tag, length in ((_WIDTH, image.width), (_HEIGHT, image.height)):
        if tag in part:
            part[tag] = length
    exif = tags.tobytes() if len(tags) else None
    options: dict[str, Any] = {"exif": exif, "xmp": kept.xmp, "comment": kept.comment}
    if picture_format == "JPEG":
        options = {key: value for key, value in options.items() if value is None or len(value) < _LONGEST_SEGMENT}
    options |= {"icc_profile": kept.icc_profile, "dpi": kept.dpi}
    if kept.format == picture_format:
        options |= dict(kept.settings)
    if picture_format == "TIFF" and (_EXIF in tags or _GPS in tags):
        options["compression"] = "raw"  # with libtiff, which compresses, Pillow cannot write these parts
    if picture_format == "PNG":
        options["pnginfo"] = _png_info(kept)
    lossy = picture_format in ("JPEG", "WEBP", "AVIF") or options.get("compression") == "jpeg"
    if lossy and "qtables" not in options:
        options["quality"] = 95
    return {key: value for key, value in options.items() if value is not None}


def _png_info(kept: Kept) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for name, content in kept.chunks:
        if not kept.icc_profile:  # which says more
            info.add(name, content)
    for key, text in kept.png:
        if isinstance(text, PngImagePlugin.iTXt):
            info.add_itxt(key, text, text.lang or "", text.tkey or "")
        else:
            info.add_text(key, text)
    if kept.xmp:
        info.add_itxt("XML:com.adobe.xmp", kept.xmp.decode("utf-8", "replace"))
    return info


def encode(image: Image.Image, picture_format: str, kept: Kept = NOTHING) -> bytes:
    """The content of a picture file, for standard output.

    Raises
    ------
    ValueError
        If Pillow cannot write such a format.
    OSError
        If the format cannot hold a picture of this mode or size.
    """
    if picture_format not in Image.SAVE:
        raise ValueError(f"standard output: {picture_format} cannot be written; --format png can")
    file = io.BytesIO()
    try:
        image.save(file, picture_format, **_options(image, picture_format, kept))
    except Exception as error:
        raise OSError(f"standard output: cannot be written ({error})") from error
    return file.getvalue()


class Writer:
    """Writes picture files, each whole or not at all, from any thread.

    A picture is written beside its target and renamed, so a file that was there stays as it was until the new one is
    complete, and stays for good if anything fails.

    Parameters
    ----------
    force : bool
        Whether a file that is there may be replaced.
    """

    def __init__(self, force: bool):
        self._force = force
        self._lock = threading.Lock()
        self._unfinished: set[str] = set()
        self._abandoned = False

    def check(self, path: str | os.PathLike[str], picture_format: str | None = None) -> str:
        """As `check_target`; and an `OSError` if a file is there that may not be replaced."""
        picture_format = check_target(path, picture_format)
        if not self._force and os.path.exists(path):
            raise _there(path)
        return picture_format

    def save(
        self,
        image: Image.Image,
        path: str | os.PathLike[str],
        picture_format: str | None = None,
        kept: Kept = NOTHING,
    ) -> None:
        """Write a picture in `picture_format`, or that of the path's extension.

        Raises
        ------
        ValueError
            As `check_target`.
        OSError
            As `check`; and if writing fails, or the format cannot hold a picture of this mode.
        """
        picture_format = self.check(path, picture_format)
        target = os.path.realpath(path)  # through a link, to the file that it names
        # Not tempfile: its files are for their owner only, and the picture has the permissions of any new file.
        folder, base = os.path.split(target)
        temporary = os.path.join(folder, f".fastconv-{secrets.token_hex(8)}{os.path.splitext(base)[1]}")
        try:
            try:
                with self._open(temporary) as file:
                    image.save(file, picture_format, **_options(image, picture_format, kept))
                with contextlib.suppress(OSError):  # none was there
                    shutil.copymode(target, temporary)
                with self._lock:
                    self._go_on()
                    self._publish(temporary, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
            finally:
                with self._lock:
                    self._unfinished.discard(temporary)
        except FileExistsError:
            raise _there(path) from None
        except Exception as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise OSError(f"{os.fspath(path)}: cannot be written ({reason})") from error

    def abandon(self) -> None:
        """Remove what is not yet finished, and let nothing be written any more."""
        with self._lock:
            self._abandoned = True
            for temporary in self._unfinished:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    def _open(self, temporary: str) -> IO[bytes]:
        with self._lock:
            self._go_on()
            self._unfinished.add(temporary)
            return open(temporary, "x+b")

    def _go_on(self) -> None:
        if self._abandoned:
            raise OSError("interrupted")

    def _publish(self, temporary: str, target: str) -> None:
        if not self._force:
            try:
                os.link(temporary, target)  # which, unlike a rename, replaces nothing
            except FileExistsError:
                raise
            except (OSError, NotImplementedError):  # a file system without links
                if os.path.lexists(target):
                    raise FileExistsError from None
            else:
                os.unlink(temporary)
                return
        os.replace(temporary, target)


def _there(path: str | os.PathLike[str]) -> OSError:
    return OSError(f"{os.fspath(path)}: is there already; --force replaces it")


def save(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a picture in the format of the path's extension, and replace a file that is there, as `Writer` does."""
    Writer(force=True).save(image, path)


def make_folder(folder: str) -> None:
    """Make a folder, unless it is there, and see that files can be made in it.

    Raises
    ------
    OSError
        If not.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        # To ask for the permission is no use: a superuser has it on a disk that is read-only.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{folder}: cannot be written to ({error.strerror or error})") from error
