"""The folder of compiled kernels, private to the user, and its files.

A file begins with a digest of its payload, so a damaged file is detected and ignored.
"""

from __future__ import annotations

import functools
import os
import stat
import sys
from pathlib import Path
from typing import NamedTuple

_SUFFIX = ".kernel"
_DIGEST = 32  # bytes


# Kernels that this process has compiled, how many of them it has saved, and how many it has loaded.
counts = {"compiled": 0, "saved": 0, "loaded": 0}


class Store(NamedTuple):
    """A folder of kernels, or none."""

    folder: Path | None  # None if unavailable
    state: str  # access, or why there is no folder, for messages

    def load(self, name: str) -> bytes | None:
        """Return the payload saved under this name; None if there is none, or it is damaged."""
        if self.folder is None:
            return None
        try:
            with open(self.folder / (name + _SUFFIX), "rb") as file:
                # Another user may have written it before the folder was made private.
                if not _is_private(os.fstat(file.fileno())):
                    return None
                content = file.read()
        except OSError:
            return None
        payload = content[_DIGEST:]
        return payload if content[:_DIGEST] == _digest(payload) else None

    def save(self, name: str, payload: bytes) -> None:
        """Save atomically; raise an OSError if that fails."""
        if self.folder is None:
            return
        import tempfile  # here, to keep `import fastconv` fast

        path = self.folder / (name + _SUFFIX)
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(payload) + payload)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def content(self) -> tuple[int, int]:
        """Return the number of kernels and their bytes."""
        sizes = []
        try:
            for entry in os.scandir(self.folder) if self.folder is not None else ():
                if entry.name.endswith(_SUFFIX):
                    sizes.append(entry.stat().st_size)
        except OSError:  # another process is deleting them
            pass
        return len(sizes), sum(sizes)


def _digest(payload: bytes) -> bytes:
    import hashlib  # here, to keep `import fastconv` fast

    return hashlib.sha256(payload).digest()


def _none(why: str) -> Store:
    return Store(None, f"none: {why}")


@functools.cache
def store() -> Store:
    """Return the store of compiled kernels; create its folder, private to the user, if it is missing.

    ``FASTCONV_CACHE_DIR`` names the folder. The default is ``fastconv`` in ``NUMBA_CACHE_DIR`` or in the user's cache
    folder. A read-only folder owned by root is used too.
    """
    named = os.environ.get("FASTCONV_CACHE_DIR")
    try:
        folder = Path(named) if named else _user_cache() / "fastconv"
    except RuntimeError:
        return _none("there is no home folder; FASTCONV_CACHE_DIR can name a cache folder")
    try:
        folder = folder.absolute()  # independent of later changes of the working folder
        above = next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)
        if not (above == folder or named or _has_trusted_owner(above.stat())):
            return _none(f"{above} belongs to another user")  # as root with the HOME of a user
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        return _none(f"{folder} cannot be used ({error.strerror or error})")
    if not _has_trusted_owner(status):
        return _none(f"{folder} belongs to another user")
    if not _is_private(status):
        return _none(f"others can write to {folder}")
    if not os.access(folder, os.R_OK | os.X_OK):
        return _none(f"{folder} cannot be read")
    return Store(folder, "read and written" if os.access(folder, os.W_OK) else "read only")


def _has_trusted_owner(status: os.stat_result) -> bool:
    """True if the file belongs to the user or to root."""
    return not hasattr(os, "getuid") or status.st_uid in (os.getuid(), 0)


def _is_private(status: os.stat_result) -> bool:
    """True if, in addition, nobody else can write to it: files are pickles, and loading one runs its code."""
    return not hasattr(os, "getuid") or (
        _has_trusted_owner(status) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _user_cache() -> Path:
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
