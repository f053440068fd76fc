"""Picture files, in and out.

Pillow's many ways to fail become one `OSError` or `ValueError` with one line of text.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import warnings
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError


def load(path: str | os.PathLike[str]) -> Image.Image:
    """The first picture of a file, upright, with all its pixels read, in a mode that `convolve_image` takes.

    A palette and a transparent colour become RGB, RGBA or LA, one bit becomes L, and other colour spaces RGB.

    Raises
    ------
    OSError
        If the file cannot be opened, and, with no errno, if it is no picture, broken, or suspiciously large.
    """
    name = os.fspath(path)
    try:
        # A picture that Pillow only doubts (it is large, its EXIF is odd) is read like any other.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                image.load()
                return _convertible(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise OSError(f"{name}: not a picture, or of a format that Pillow does not know") from None
    except Image.DecompressionBombError:
        raise OSError(f"{name}: too many pixels (more than {2 * (Image.MAX_IMAGE_PIXELS or 0)})") from None
    except MemoryError:
        raise OSError(f"{name}: too large for the memory") from None
    except Exception as error:
        # Pillow's decoders meet broken data with SyntaxError, struct.error, zlib.error, EOFError and more.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise OSError(f"{name}: broken picture ({error})") from error


def _convertible(image: Image.Image) -> Image.Image:
    transparent = "transparency" in image.info
    if image.mode == "1":
        return image.convert("LA" if transparent else "L")
    if image.mode == "L" and transparent:
        return image.convert("LA")
    if image.mode == "P" or (image.mode == "RGB" and transparent):
        return image.convert("RGBA" if transparent else "RGB")
    if image.mode in ("PA", "RGBa"):
        return image.convert("RGBA")
    if image.mode == "La":
        return image.convert("LA")
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        image = image.convert("RGB")
        image.info.pop("icc_profile", None)  # it describes the colours that they were
    return image


def check_target(path: str | os.PathLike[str]) -> str:
    """The format that a path's extension asks for, if a picture could be written there.

    Raises
    ------
    ValueError
        If Pillow cannot write such a format.
    OSError
        If the path is a folder, or in a folder that is not there.
    """
    name = os.fspath(path)
    extension = os.path.splitext(name)[1].lower()
    picture_format = Image.registered_extensions().get(extension)
    if picture_format is None or picture_format not in Image.SAVE:
        raise ValueError(f"{name}: no picture format to write for the extension {extension!r}; .png is one that works")
    target = os.path.realpath(name)
    if os.path.isdir(target):
        raise OSError(f"{name}: is a folder")
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise OSError(f"{name}: there is no folder {folder}")
    return picture_format


def save(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a picture in the format of the path's extension: all of it, or nothing.

    It is written beside the target and renamed, so a file that was there stays as it was until the new one is
    complete, and stays for good if anything fails.

    Raises
    ------
    ValueError
        As `check_target`.
    OSError
        As `check_target`; and if writing fails, or the format cannot hold a picture of this mode.
    """
    picture_format = check_target(path)
    target = os.path.realpath(path)  # through a link, to the file that it names
    # Not tempfile: its files are for their owner only, and the picture should have the permissions of any new file.
    folder, base = os.path.split(target)
    temporary = os.path.join(folder, f".fastconv-{secrets.token_hex(8)}{os.path.splitext(base)[1]}")
    options: dict[str, Any] = {"quality": 95} if picture_format in ("JPEG", "WEBP") else {}
    if image.info.get("icc_profile"):
        options["icc_profile"] = image.info["icc_profile"]
    try:
        try:
            with open(temporary, "x+b") as file:
                image.save(file, picture_format, **options)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OSError(f"{os.fspath(path)}: cannot be written ({reason})") from error
