"""Terminal output and argument parsing shared by all commands."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import NoReturn

from fastconv._version import VERSION


class EarlyExit(Exception):
    """Raised after help, a version or a list has been printed, to end the command with success."""


class Parser(argparse.ArgumentParser):
    """An argument parser that leaves exits and errors to `main`."""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Raise `EarlyExit`; SystemExit may also come from a library during a conversion."""
        raise EarlyExit

    def error(self, message: str) -> NoReturn:
        """Raise a ValueError; argparse would print the usage too."""
        raise ValueError(message)


def add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=f"fastconv {VERSION}")


def report_error(error: BaseException, status: int, source: str | None = None) -> int:
    """Print an error as one line on stderr, with the picture it is about, and return `status`."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    if source is not None and not isinstance(error, OSError):
        text = f"{source}: {text}"
    print_stderr(f"error: {text}")
    return status


_SILENT = logging.NullHandler()


def silence(*names: str) -> None:
    """Keep the messages of libraries that log them from stderr, unless a handler is set for them."""
    for name in names:
        logging.getLogger(name).addHandler(_SILENT)


def print_stderr(text: str) -> None:
    """Print one line on stderr."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    print("fastconv:", escaped(text).encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)


def print_stdout(text: str) -> None:
    """Print one line on stdout; characters that stdout cannot encode are escaped, and a closed pipe is ignored.

    All results have been written by then, so a failure to report them must not be an error.
    """
    text = escaped(text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        discard_stdout()


def discard_stdout() -> None:
    """Redirect stdout to the null device: its reader has gone, and the flush at exit would fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def escaped(text: str) -> str:
    """Escape unprintable characters: line ends, control characters, undecodable bytes."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
