"""Expand files, folders and patterns from the command line to pairs of input and output."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fastconv.cli import picture_formats

STANDARD = "-"  # standard input, or output


class Job(NamedTuple):
    """One picture to convert: paths of input and output, or `STANDARD`."""

    source: str
    target: str


class Clash(NamedTuple):
    """A picture whose output is that of another one."""

    source: str
    job: Job  # the other

    def __str__(self) -> str:
        return f"would overwrite {self.job.target}, the result of {self.job.source}"


class Order(NamedTuple):
    """All pictures to convert.

    `folder` is the output folder, created if missing, or None if the output is a file. `many` is True if the inputs
    could have been more than one picture, and `ignored` is the number of files that are not pictures. `clashes` are
    pictures that would overwrite the result of another.
    """

    jobs: list[Job]
    folder: str | None
    many: bool
    ignored: int
    clashes: tuple[Clash, ...] = ()


def order(inputs: list[str], output: str, extension: str | None = None, recursive: bool = False) -> Order:
    """Expand `inputs` to pictures and pair each with its output.

    An input is a file; a folder, for the files in it that have the extension of a picture and are not hidden, with
    `recursive` also those in its subfolders, without following links; or a pattern that the shell has not expanded, for
    such files that match. `output` is a folder if it exists as one, ends in a slash, or if there can be many inputs. In
    it, pictures keep their subfolders below the input folder, or below the fixed part of the pattern.

    Parameters
    ----------
    extension : str, optional
        The extension of outputs in a folder, without a dot. By default that of the input.

    Raises
    ------
    ValueError
        If `output` must be a folder and cannot be, if there is no picture, or if an output is one of the inputs.
    OSError
        If a folder cannot be read.
    """
    many = len(inputs) > 1 or os.path.isdir(inputs[0]) or _is_pattern(inputs[0])
    slashes = tuple(filter(None, (os.sep, os.altsep)))
    if not (many or output.endswith(slashes) or os.path.isdir(output)):
        jobs = [Job(inputs[0], output)]
        check_apart(jobs, inputs)
        return Order(jobs, None, False, 0)
    if STANDARD in inputs:
        raise ValueError("- as IN needs a single OUT, a file or -")
    if output == STANDARD:
        raise ValueError("- as OUT takes a single picture")
    if os.path.exists(output):
        if not os.path.isdir(output):
            raise ValueError(f"{output}: is a file; for many pictures OUT is a folder")
    elif not output.endswith(slashes) and os.path.splitext(output)[1].lower() in picture_formats.extensions():
        raise ValueError(
            f"{output}: does not exist and has the extension of a picture; for many pictures OUT is a folder"
        )
    found: dict[str, Job] = {}  # by output
    clashes: dict[str, Clash] = {}  # by source
    ignored = 0
    for given in inputs:
        pictures, others = _expand(given, output, recursive)
        if not pictures:
            raise ValueError(f"{given}: no picture" + (f" among {others} files" if others else ""))
        ignored += others
        for source, name in pictures:
            if extension is not None:
                name = f"{os.path.splitext(name)[0]}.{extension}"
            job = Job(source, os.path.join(output, name))
            first = found.setdefault(os.path.normcase(os.path.abspath(job.target)), job)
            if _identity(first.source) != _identity(source):
                clashes[source] = Clash(source, first)
    jobs = list(found.values())
    check_apart(jobs, [job.source for job in jobs] + [*clashes])
    return Order(jobs, output, many, ignored, tuple(clashes.values()))


def check_apart(jobs: Iterable[Job], sources: Iterable[str]) -> None:
    """Raise a ValueError if an output is one of the files `sources`, under any name."""
    inputs = {_identity(source) for source in sources if source != STANDARD}
    for job in jobs:
        if job.target != STANDARD and _identity(job.target) in inputs:
            raise ValueError(f"{job.target}: would overwrite the input; choose another name")


def _identity(path: str) -> tuple[int, int] | str:
    """Return device and inode of a file, or its real path if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:  # it does not exist
        return os.path.normcase(os.path.realpath(path))
    return status.st_dev, status.st_ino


def _is_pattern(text: str) -> bool:
    return glob.has_magic(text) and not os.path.lexists(text)


def _expand(given: str, output: str, recursive: bool) -> tuple[list[tuple[str, str]], int]:
    """Return the pictures of an input, each with its name for the output, and the number of other files."""
    if os.path.isdir(given):
        paths, root = sorted(_files_in(given, _identity(output), recursive)), given
    elif _is_pattern(given):
        inside = os.path.join(os.path.realpath(output), "")
        root, pattern = _split(given)
        found = (os.path.join(root, path) for path in glob.glob(pattern, root_dir=root or None, recursive=True))
        files = (path for path in found if not os.path.isdir(path))
        # Results in OUT are not inputs, unless all pictures are in OUT.
        paths = sorted(path for path in files if not os.path.realpath(path).startswith(inside) or _holds(output, root))
    else:
        return [(given, os.path.basename(given))], 0
    readable = picture_formats.extensions()
    pictures = []
    for path in paths:
        if os.path.splitext(path)[1].lower() in readable:
            name = os.path.relpath(path, root or os.curdir)
            if name.startswith(os.pardir + os.sep):  # a pattern with ..: outputs stay within OUT
                name = os.path.basename(path)
            pictures.append((path, name))
    return pictures, len(paths) - len(pictures)


def _split(pattern: str) -> tuple[str, str]:
    """Split a pattern at the folder in which it begins: a part with wildcards is literal if a folder has that name."""
    begin = end = 0
    separators = re.escape(os.sep + (os.altsep or ""))
    for separator in re.finditer(f"[{separators}]+", pattern):
        if glob.has_magic(pattern[begin : separator.start()]) and not os.path.isdir(pattern[: separator.start()]):
            break
        begin = end = separator.end()
    return pattern[:end], pattern[end:]


def _holds(folder: str, root: str) -> bool:
    """Return whether a pattern that begins in `root` begins within a folder."""
    inner, outer = os.path.realpath(root or os.curdir), os.path.realpath(folder)
    return os.path.join(inner, "").startswith(os.path.join(outer, ""))


def _files_in(folder: str, output: tuple[int, int] | str, recursive: bool) -> Iterator[str]:
    """Yield the files of a folder that are not hidden; skip `output`, whose files are results."""

    def fail(error: OSError) -> None:
        raise error

    for here, folders, names in os.walk(folder, onerror=fail):
        yield from (os.path.join(here, name) for name in names if not name.startswith("."))
        folders[:] = [
            name
            for name in folders
            if recursive and not name.startswith(".") and _identity(os.path.join(here, name)) != output
        ]
