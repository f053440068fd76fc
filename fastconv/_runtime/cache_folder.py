"""Files of compiled kernels: a folder that is the user's alone, and what lies in it.

A file begins with a digest of what follows, so a damaged one is seen, and is as good as none.
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
    """Where kernels are kept."""

    folder: Path | None  # None where there is none to be had
    state: str  # in words, and why there is none

    def load(self, name: str) -> bytes | None:
        """What was saved under this name; None if nothing was, or not whole."""
        if self.folder is None:
            return None
        try:
            with open(self.folder / (name + _SUFFIX), "rb") as file:
                # It may have come while others could write to the folder.
                if not _is_ours(os.fstat(file.fileno())):
                    return None
                content = file.read()
        except OSError:
            return None
        payload = content[_DIGEST:]
        return payload if content[:_DIGEST] == _digest(payload) else None

    def save(self, name: str, payload: bytes) -> None:
        """Save, whole or not at all; an OSError if that cannot be."""
        if self.folder is None:
            return
        import tempfile  # as in `_digest`

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
        """How many kernels there are, and how many bytes."""
        sizes = []
        try:
            for entry in os.scandir(self.folder) if self.folder is not None else ():
                if entry.name.endswith(_SUFFIX):
                    sizes.append(entry.stat().st_size)
        except OSError:  # somebody is deleting them
            pass
        return len(sizes), sum(sizes)


def _digest(payload: bytes) -> bytes:
    import hashlib  # here, since `import fastconv` is to cost nothing

    return hashlib.sha256(payload).digest()


def _none(why: str) -> Store:
    return Store(None, f"none: {why}")


@functools.cache
def store() -> Store:
    """The folder for compiled kernels, made private to the user if it is not there.

    ``FASTCONV_CACHE_DIR`` names it. Without that it is ``fastconv`` in ``NUMBA_CACHE_DIR``, or else in the user's
    cache folder. One that is the administrator's, and can only be read, is read.
    """
    named = os.environ.get("FASTCONV_CACHE_DIR")
    try:
        folder = Path(named) if named else _user_cache() / "fastconv"
    except RuntimeError:
        return _none("there is no home folder; FASTCONV_CACHE_DIR can name another")
    try:
        folder = folder.absolute()  # also after the program has changed its own
        above = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not (above == folder or named or _is_users(above.stat())):
            return _none(f"{above} belongs to another user")  # root may have kept a user's home
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        return _none(f"{folder} cannot be had ({error.strerror or error})")
    if not _is_users(status):
        return _none(f"{folder} belongs to another user")
    if not _is_ours(status):
        return _none(f"others can write to {folder}")
    if not os.access(folder, os.R_OK | os.X_OK):
        return _none(f"{folder} cannot be read")
    return Store(folder, "read and written" if os.access(folder, os.W_OK) else "read only")


def _is_users(status: os.stat_result) -> bool:
    """Whether it belongs to the user, or to the administrator."""
    return not hasattr(os, "getuid") or status.st_uid in (os.getuid(), 0)


def _is_ours(status: os.stat_result) -> bool:
    """The same, and no others can write to it. The files are pickles: who can write them runs code as this user."""
    return not hasattr(os, "getuid") or (_is_users(status) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _user_cache() -> Path:
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
