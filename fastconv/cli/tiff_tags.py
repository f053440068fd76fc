"""Tags of TIFF files, as they are stored: read from a directory, written into another one, and as EXIF."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Collection, Iterable
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image

# Tags whose values are directories: Exif, GPS and, within Exif, interoperability.
_DIRECTORIES = {int(ExifTags.IFD.Exif), int(ExifTags.IFD.GPSInfo), int(ExifTags.IFD.Interop)}
# Bytes of a value of each type, and of the numbers that it is made of.
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = _BYTES | {5: 4, 10: 4}
BYTE, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 3, 4, 5, 7, 16
# Limits of a directory that is not damaged: tags, and bytes of one.
_MOST_TAGS, _LONGEST = 4096, 1 << 28


class Tag(NamedTuple):
    """A tag, with its values in little-endian order, or with the tags of its directory."""

    code: int
    type: int
    values: int  # how many
    content: bytes
    directory: tuple[Tag, ...] | None = None


def tag(code: int, kind: int, *values: Any) -> Tag:
    """Make a tag of integers, of bytes, or of rationals as pairs."""
    if kind in (BYTE, UNDEFINED):
        return Tag(code, kind, len(values[0]), values[0])
    form = {SHORT: "H", LONG: "I", LONG8: "Q", RATIONAL: "II"}[kind]
    numbers = [number for value in values for number in value] if kind == RATIONAL else values
    content = struct.pack(f"<{form * len(values)}", *numbers)
    return Tag(code, kind, len(values), content)


def read(file: IO[bytes], position: int, byte_order: str, big: bool, skipped: Collection[int] = ()) -> tuple[Tag, ...]:
    """Read the directory at a position of a file; tags that cannot be read are left out.

    `byte_order` is "<" or ">", and `big` is true for a BigTIFF.
    """
    head, entry, inline = ("Q", "HHQ8s", 8) if big else ("H", "HHI4s", 4)
    found = []
    file.seek(position)
    size = struct.calcsize("=" + entry)
    (count,) = struct.unpack(byte_order + head, file.read(struct.calcsize("=" + head)))
    entries = file.read(size * min(count, _MOST_TAGS))
    for begin in range(0, len(entries) - size + 1, size):
        code, kind, values, place = struct.unpack_from(byte_order + entry, entries, begin)
        if code in skipped or kind not in _BYTES:
            continue
        length = values * _BYTES[kind]
        with contextlib.suppress(struct.error, OSError, OverflowError):  # of offsets that lie nowhere
            if code in _DIRECTORIES:
                (offset,) = struct.unpack(byte_order + "IQ"[kind in (16, 18)], place[: _BYTES[kind]])
                inner = read(file, offset, byte_order, big, {*skipped, code})  # which is not within itself
                found.append(Tag(code, LONG, 1, b"", inner))
                continue
            content = place[:length]
            if length > inline:
                (offset,) = struct.unpack(byte_order + "IQ"[big], place)
                file.seek(offset)
                content = file.read(length) if length < _LONGEST else b""
            if len(content) == length:
                found.append(Tag(code, kind, values, _little_endian(content, kind, byte_order)))
    return tuple(found)


def _little_endian(content: bytes, kind: int, byte_order: str) -> bytes:
    if byte_order == "<" or _NUMBERS[kind] == 1:
        return content
    return np.frombuffer(content, f"u{_NUMBERS[kind]}").byteswap().tobytes()


def directory(tags: Iterable[Tag], position: int, big: bool) -> bytes:
    """A directory for a position of a little-endian file, with all that its tags refer to; it is the last one."""
    head, entry, inline, link = ("<Q", "<HHQ", 8, "<Q") if big else ("<H", "<HHI", 4, "<I")
    ordered = sorted(tags)
    after = position + struct.calcsize(head) + len(ordered) * (struct.calcsize(entry) + inline) + struct.calcsize(link)
    entries, rest = struct.pack(head, len(ordered)), b""
    for one in ordered:
        kind, content = one.type, one.content
        rest += b"\0" * (-(after + len(rest)) % 8)
        if one.directory is not None:
            kind, content = (LONG8, b"") if big else (LONG, b"")
            place = after + len(rest)
            rest += directory(one.directory, place, big)
            content = struct.pack(link, place)
        elif len(content) > inline:
            place = after + len(rest)
            rest += content
            content = struct.pack(link, place)
        entries += struct.pack(entry, one.code, kind, one.values) + content.ljust(inline, b"\0")
    return entries + struct.pack(link, 0) + rest


def of_exif(exif: Image.Exif) -> tuple[Tag, ...]:
    """The tags of EXIF."""
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    byte_order = "<" if content.startswith(b"II") else ">"
    (position,) = struct.unpack(byte_order + "I", content[4:8])
    return read(io.BytesIO(content), position, byte_order, False)


def as_exif(tags: Iterable[Tag]) -> Image.Exif:
    """The same as EXIF."""
    exif = Image.Exif()
    exif.load(b"Exif\0\0II*\0\x08\0\0\0" + directory(tags, 8, False))
    return exif
