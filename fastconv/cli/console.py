"""What the commands have in common: their parser, and what they say on stderr."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from fastconv._version import VERSION
from fastconv.cli.stopwatch import printable


class Answered(Exception):
    """The help, a version or a list has been printed: there is nothing left to do."""


class Parser(argparse.ArgumentParser):
    """A parser that leaves exits and errors to `main`."""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Not by SystemExit, which a library may raise while it converts a picture."""
        raise Answered

    def error(self, message: str) -> NoReturn:
        """Not as argparse does, which prints the usage as well."""
        raise ValueError(message)


def add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=f"fastconv {VERSION}")


def complain(error: BaseException, status: int, source: str | None = None) -> int:
    """One line on stderr, whatever characters are in a path or a message; with the picture that it is about."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    if source is not None and not isinstance(error, OSError):
        text = f"{source}: {text}"
    tell(f"error: {text}")
    return status


def tell(text: str) -> None:
    """One line on stderr."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    print("fastconv:", printable(text).encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)
