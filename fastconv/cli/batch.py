"""Pictures through a kernel: one, or many, several at a time."""

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
from fastconv.cli.inputs import STANDARD, Job
from fastconv.cli.stopwatch import forget_stdout
from fastconv.image._filter import sums_type


class Outcome(NamedTuple):
    """What became of a picture."""

    before: str  # described
    after: str
    pixels: int  # in the result
    seconds: float  # that the convolution took
    notes: tuple[str, ...]  # what of the file was not read


class Conversion(NamedTuple):
    """What to do with every picture."""

    kernels: Mapping[np.dtype, NDArray]  # the kernel in each type that sums are taken in
    options: dict[str, Any]  # of `fastconv.image.filter`
    compare: bool
    picture_format: str | None  # None for what each output's extension asks for
    writer: picture_writing.Writer

    def __call__(self, job: Job, workers: int, make_folders: bool = False) -> Outcome:
        """Read a picture, convolve it, and write it.

        Raises
        ------
        OSError, ValueError, MemoryError
            If that fails, with a message of one line.
        RuntimeError
            For a SystemExit, of a plugin of Pillow's say: it would end the command as if all had gone well.
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
        picture = picture_reading.load(source, picture_format)
        kernel = self.kernels[sums_type(picture.image)]
        start = time.perf_counter()
        result = image.filter(picture.image, kernel, workers=workers, **self.options)
        seconds = time.perf_counter() - start
        after = described(result)
        pixels = result.width * result.height
        if self.compare:
            result = side_by_side(picture.image, result)
        result.info = {}  # which Pillow would look into for more to write
        if job.target == STANDARD:
            _print(picture_writing.encode(result, picture_format or picture.metadata.format, picture.metadata))
        else:
            self.writer.save(result, job.target, picture_format, picture.metadata)
        return Outcome(described(picture.image), after, pixels, seconds, picture.notes)


def described(picture: Image.Image) -> str:
    return f"{picture.width} x {picture.height} {picture.mode}"


def side_by_side(before: Image.Image, after: Image.Image) -> Image.Image:
    """Two pictures of one mode in one, a gap between them, the lower one in the middle.

    What is beside them is black, or transparent, or, on paper (CMYK), white.
    """
    gap = max(1, before.width // 50)
    size = before.width + gap + after.width, max(before.height, after.height)
    both = Image.new(before.mode, size, (0, 128, 128) if before.mode == "YCbCr" else 0)
    both.paste(before, (0, (both.height - before.height) // 2))
    both.paste(after, (before.width + gap, (both.height - after.height) // 2))
    return both


def run(jobs: list[Job], convert: Conversion, workers: int, report: Callable[[int, Outcome | Exception], None]) -> None:
    """Convert pictures, as many at a time as there are workers, and report each, by its number, when it is done.

    Each thread has one picture in memory. With fewer pictures than workers, those are shared out among them. If the
    caller is interrupted, `report` raises, or a worker raises anything but an Exception, threads are left behind that
    can write nothing any more.
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
            # A daemon: nobody who presses Ctrl-C waits for the end of what it is doing.
            thread = threading.Thread(target=work, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if not threads:
                    raise OSError("no thread can be started") from error
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
    """The next outcome; a RuntimeError if all workers ended without one."""
    while True:
        alive = any(thread.is_alive() for thread in threads)  # asked first: the last outcome may come in between
        try:
            return done.get(timeout=0.5 if alive else 0)  # on Windows, Ctrl-C is not heard before
        except queue.Empty:
            if not alive:
                raise RuntimeError("the workers ended before all pictures were converted") from None


def _print(content: bytes) -> None:
    try:
        rest = memoryview(content)
        while rest:  # without a buffer (python -u), a pipe takes a part at a time
            rest = rest[sys.stdout.buffer.write(rest) :]
        sys.stdout.buffer.flush()
    except OSError as error:
        forget_stdout()
        raise OSError(f"standard output: cannot be written ({error.strerror})") from error
