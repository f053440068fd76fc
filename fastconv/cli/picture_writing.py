"""Write picture files atomically."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import IO

from PIL import Image

from fastconv.cli import picture_pages
from fastconv.cli.picture_formats import format_named
from fastconv.cli.picture_pages import Page


def check_target(path: str | os.PathLike[str], picture_format: str | None = None) -> str:
    """Check that a picture can be written to `path`; return `picture_format`, or the format of the extension.

    Raises
    ------
    ValueError
        If Pillow cannot write the format, or extension and `picture_format` contradict each other.
    OSError
        If the path is a folder or a device, or its folder does not exist.
    """
    name = os.fspath(path)
    extension = os.path.splitext(name)[1]
    asked = format_named(extension)
    if picture_format is None:
        if asked is None:
            raise ValueError(
                f"{name}: no format can be written for the extension {extension.lower()!r}; .png works, for example"
            )
        picture_format = asked
    elif asked not in (None, picture_format):
        raise ValueError(f"{name}: the extension is of {asked}, but the format is {picture_format}")
    target = os.path.realpath(name)
    if os.path.isdir(target):
        raise OSError(f"{name}: is a folder")
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(f"{name}: is not a regular file")  # a file would replace a device
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise OSError(f"{name}: no such folder: {folder}")
    return picture_format


def encode(pages: Sequence[Page], picture_format: str) -> bytes:
    """Encode a picture, or several, for standard output.

    Raises
    ------
    ValueError
        If Pillow cannot write the format.
    OSError
        If the format cannot hold a picture of this mode or size.
    """
    if picture_format not in Image.SAVE:
        raise ValueError(f"standard output: {picture_format} cannot be written; --format png can")
    file = io.BytesIO()
    try:
        picture_pages.write(file, pages, picture_format)
    except Exception as error:
        raise OSError(f"standard output: cannot be written ({error})") from error
    return file.getvalue()


class Writer:
    """Writes picture files atomically, from any thread.

    A picture is written to a temporary file beside its target and renamed: an existing file is replaced once the new
    one is complete, and stays if anything fails.

    Parameters
    ----------
    force : bool
        Whether an existing file may be replaced.
    """

    def __init__(self, force: bool):
        self._force = force
        self._lock = threading.Lock()
        self._unfinished: set[str] = set()
        self._abandoned = False

    def check(self, path: str | os.PathLike[str], picture_format: str | None = None) -> str:
        """As `check_target`; and raise an `OSError` if a file exists that may not be replaced."""
        picture_format = check_target(path, picture_format)
        if not self._force and os.path.exists(path):
            raise _exists(path)
        return picture_format

    def save(
        self,
        pages: Sequence[Page],
        path: str | os.PathLike[str],
        picture_format: str | None = None,
    ) -> None:
        """Write pictures, one or as many as the format can hold, in `picture_format`, or that of the path's extension.

        Raises
        ------
        ValueError
            As `check_target`.
        OSError
            As `check`; and if writing fails, or the format cannot hold a picture of this mode.
        """
        picture_format = self.check(path, picture_format)
        with self.replacing(path) as file:
            try:
                picture_pages.write(file, pages, picture_format)
            except Exception as error:
                raise _not_written(path, error) from error

    @contextlib.contextmanager
    def replacing(self, path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
        """A new file beside a path, which it becomes at the end of the block if all went well.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        target = os.path.realpath(path)  # follow links
        # Not tempfile, whose files only the owner may read: pictures get the default permissions of new files.
        folder, base = os.path.split(target)
        temporary = os.path.join(folder, f".fastconv-{secrets.token_hex(8)}{os.path.splitext(base)[1]}")
        try:
            try:
                with self._open(temporary) as file:
                    yield file
                with contextlib.suppress(OSError):  # no file to replace
                    shutil.copymode(target, temporary)
                with self._lock:
                    self._check_not_abandoned()
                    self._publish(temporary, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
            finally:
                with self._lock:
                    self._unfinished.discard(temporary)
        except FileExistsError:
            raise _exists(path) from None
        except OSError as error:
            if error.errno is None:  # one that is reported already
                raise
            raise _not_written(path, error) from error

    def abandon(self) -> None:
        """Remove unfinished files and refuse all further writes."""
        with self._lock:
            self._abandoned = True
            for temporary in self._unfinished:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    def _open(self, temporary: str) -> IO[bytes]:
        with self._lock:
            self._check_not_abandoned()
            self._unfinished.add(temporary)
            return open(temporary, "x+b")

    def _check_not_abandoned(self) -> None:
        if self._abandoned:
            raise OSError("interrupted")

    def _publish(self, temporary: str, target: str) -> None:
        if not self._force:
            try:
                os.link(temporary, target)  # unlike a rename, never replaces a file
            except FileExistsError:
                raise
            except (OSError, NotImplementedError):  # file system without hard links
                if os.path.lexists(target):
                    raise FileExistsError from None
            else:
                os.unlink(temporary)
                return
        os.replace(temporary, target)


def _not_written(path: str | os.PathLike[str], error: Exception) -> OSError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return OSError(f"{os.fspath(path)}: cannot be written ({reason})")


def _exists(path: str | os.PathLike[str]) -> OSError:
    return OSError(f"{os.fspath(path)}: already exists; --force replaces it")


def save(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a picture in the format of the path's extension, replacing an existing file atomically."""
    Writer(force=True).save([Page(image)], path)


def make_folder(folder: str) -> None:
    """Create a folder unless it exists, and check that it is writable.

    Raises
    ------
    OSError
        If the folder cannot be created or written to.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        # For root, os.access reports a read-only disk as writable.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{folder}: cannot be written to ({error.strerror or error})") from error
