"""Convert pictures: one, or many in parallel."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastconv import image
from fastconv.cli import picture_reading, picture_writing
from fastconv.cli.console import discard_stdout
from fastconv.cli.inputs import STANDARD, Job
from fastconv.cli.missing_pixels import MissingPixels
from fastconv.cli.picture_pages import Page
from fastconv.image._source import sums_type


class Outcome(NamedTuple):
    """The result of one conversion."""

    before: str  # size and mode
    after: str
    pixels: int  # of the result
    seconds: float  # of the convolution
    notes: tuple[str, ...]  # parts of the file that were not read


class Conversion(NamedTuple):
    """What to do with every picture."""

    kernels: Mapping[np.dtype, NDArray]  # the kernel, by the type of the sums
    options: dict[str, Any]  # of `fastconv.image.filter`
    compare: bool
    page: int | None  # of several in a file, from 1 on; None: all
    picture_format: str | None  # None: by each output's extension
    writer: picture_writing.Writer
    missing: MissingPixels | None = None

    def __call__(self, job: Job, workers: int, make_folders: bool = False) -> Outcome:
        """Read a picture, convolve it, and write it.

        Raises
        ------
        OSError, ValueError, MemoryError
            If that fails, with a one-line message.
        RuntimeError
            Instead of a SystemExit (from a plugin of Pillow, say), which would end the command as if it had succeeded.
        """
        try:
            return self._convert(job, workers, make_folders)
        except SystemExit as error:
            raise RuntimeError(f"{job.source}: the conversion raised {error!r}") from error

    def _convert(self, job: Job, workers: int, make_folders: bool) -> Outcome:
        picture_format = self.picture_format
        if job.target != STANDARD:
            if make_folders:
                os.makedirs(os.path.dirname(job.target), exist_ok=True)
            picture_format = self.writer.check(job.target, picture_format)
        source = sys.stdin.buffer.read() if job.source == STANDARD else job.source
        before, seconds, pixels = "", 0.0, 0
        notes: tuple[str, ...] = ()
        pages: list[Page] = []
        for picture in picture_reading.load_pages(source, picture_format, self.page):
            page = picture.page
            kernel = self.kernels[sums_type(page.image)]
            options = self.options if self.missing is None else self.options | self.missing.options(page)
            start = time.perf_counter()
            result = image.filter(page.image, kernel, workers=workers, **options)
            seconds += time.perf_counter() - start
            pixels += result.width * result.height
            before, notes = before or described(page.image), notes + picture.notes
            if self.compare:
                result = side_by_side(page.image, result)
            result.info = {}  # Pillow would write metadata from it
            pages.append(page._replace(image=result))
        if job.target == STANDARD:
            _print(picture_writing.encode(pages, picture_format or pages[0].metadata.format))
        else:
            self.writer.save(pages, job.target, picture_format)
        after, several = described(pages[0].image), f", {len(pages)} pictures" if len(pages) > 1 else ""
        return Outcome(before + several, after + several, pixels, seconds, notes)


def described(picture: Image.Image) -> str:
    """Return size and mode of a picture, as text."""
    return f"{picture.width} x {picture.height} {picture.mode}"


def side_by_side(before: Image.Image, after: Image.Image) -> Image.Image:
    """Join two pictures of one mode with a gap between them, the smaller one centred vertically.

    The background is black, transparent, or for CMYK white.
    """
    gap = max(1, before.width // 50)
    size = before.width + gap + after.width, max(before.height, after.height)
    both = Image.new(before.mode, size, (0, 128, 128) if before.mode == "YCbCr" else 0)
    both.paste(before, (0, (both.height - before.height) // 2))
    both.paste(after, (before.width + gap, (both.height - after.height) // 2))
    return both


def run(jobs: list[Job], convert: Conversion, workers: int, report: Callable[[int, Outcome | Exception], None]) -> None:
    """Convert pictures in parallel, one per worker, and report each by its number when it is done.

    Each thread holds one picture in memory. With fewer pictures than workers, the workers are divided among them. If
    the caller is interrupted, `report` raises, or a worker raises anything but an Exception, remaining threads are
    abandoned and can no longer write.
    """
    at_once = min(workers, len(jobs))
    waiting = deque(enumerate(jobs))
    done: queue.SimpleQueue[tuple[int, Outcome | BaseException]] = queue.SimpleQueue()
    threads: list[threading.Thread] = []

    def work() -> None:
        while True:
            try:
                number, job = waiting.popleft()
            except IndexError:
                return
            try:
                outcome: Outcome | BaseException = convert(job, workers // at_once, make_folders=True)
            except BaseException as error:
                outcome = error
            done.put((number, outcome))

    try:
        for _ in range(at_once):
            # Daemon threads: after Ctrl-C the process does not wait for them.
            thread = threading.Thread(target=work, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if not threads:
                    raise OSError("cannot start a thread") from error
            else:
                threads.append(thread)
        for _ in jobs:
            number, outcome = _next(done, threads)
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome
            report(number, outcome)
    except BaseException:
        waiting.clear()
        convert.writer.abandon()
        raise


def _next(done: queue.SimpleQueue, threads: list[threading.Thread]) -> Any:
    """Return the next outcome; raise a RuntimeError if all workers ended without one."""
    while True:
        alive = any(thread.is_alive() for thread in threads)  # before `get`: the last outcome may arrive in between
        try:
            return done.get(timeout=0.5 if alive else 0)  # on Windows, Ctrl-C waits for the timeout
        except queue.Empty:
            if not alive:
                raise RuntimeError("all workers ended before all pictures were converted") from None


def _print(content: bytes) -> None:
    """Write an encoded picture to standard output."""
    try:
        rest = memoryview(content)
        while rest:  # unbuffered (python -u), a pipe may accept only a part
            rest = rest[sys.stdout.buffer.write(rest) :]
        sys.stdout.buffer.flush()
    except OSError as error:
        discard_stdout()
        raise OSError(f"standard output: cannot be written ({error.strerror})") from error
