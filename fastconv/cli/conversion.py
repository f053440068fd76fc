"""Convert one picture: read it, filter it, and write it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastconv import image
from fastconv.cli import conversion_in_parts, georeferencing, large_tiffs, picture_reading, picture_writing, raster
from fastconv.cli.console import discard_stdout
from fastconv.cli.inputs import STANDARD, Job
from fastconv.cli.missing_pixels import MissingPixels
from fastconv.cli.picture_pages import Page
from fastconv.cli.raster import Raster
from fastconv.cli.result_steps import Steps
from fastconv.image._pillow_modes import Pixels
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
    options: dict[str, Any]  # of `fastconv.image.filter`, without the mode
    steps: Steps
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
        if job.source == STANDARD and sys.stdin is None:
            raise ValueError("standard input is closed; redirect it from a file")
        source = sys.stdin.buffer.read() if job.source == STANDARD else job.source
        if picture_format == "TIFF" and STANDARD not in job and not self.compare:
            with large_tiffs.opened(job.source, self.page) as large:
                if large is not None:
                    return self._convert_in_parts(large, job.target, workers, shows_progress=not make_folders)
        before, seconds, pixels = "", 0.0, 0
        notes: tuple[str, ...] = ()
        pages: list[Page] = []
        for picture in picture_reading.load_pages(source, picture_format, self.page):
            page = picture.page
            options = self.options if self.missing is None else self.options | self.missing.options(page)
            start = time.perf_counter()
            result = self._filtered(page.image, {**options, "workers": workers})
            seconds += time.perf_counter() - start
            pixels += result.width * result.height
            before, notes = before or described(page.image), notes + picture.notes
            if self.missing is not None:
                notes += self.missing.notes(page.metadata)
            pages.append(self._result(page, result))
        if job.target == STANDARD:
            _print(picture_writing.encode(pages, picture_format or pages[0].metadata.format))
        else:
            self.writer.save(pages, job.target, picture_format)
        after, several = described(pages[0].image), f", {len(pages)} pictures" if len(pages) > 1 else ""
        return Outcome(before + several, after + several, pixels, seconds, notes)

    def _convert_in_parts(
        self, pages: list[large_tiffs.LargePage], target: str, workers: int, shows_progress: bool
    ) -> Outcome:
        """Convert a TIFF that is larger than memory."""
        given = self.kernels, self.options, self.steps, self.missing, workers, shows_progress
        missing = self.missing
        notes = () if missing is None else tuple(note for page in pages for note in missing.notes(page.metadata))
        with self.writer.replacing(target) as file:
            return Outcome(*conversion_in_parts.convert(pages, file, *given), notes)

    def _filtered(self, picture: Image.Image | Raster, options: dict[str, Any]) -> Image.Image | Raster:
        options = {**options, "mode": self.steps.filter_mode}
        if isinstance(picture, Image.Image):
            result = image.filter(picture, self.kernels[sums_type(picture)], **options)
            if self.steps.are_usual:
                return result
            pixels = Pixels.of(result)
            return pixels.picture(pixels.array[self.steps.kept((picture.height, picture.width))])
        if options["linear"]:
            picture.kind.check_linear()
        options |= picture.kind.alpha_options(options["alpha"])
        array = image.filter(picture.array, self.kernels[sums_type(picture.array)], **options)
        return picture._replace(array=np.ascontiguousarray(array[self.steps.kept(picture.array.shape)]))

    def _result(self, page: Page, result: Image.Image | Raster) -> Page:
        """The page to write."""
        if self.compare:
            if isinstance(result, Raster):
                assert isinstance(page.image, Raster)
                result = raster.side_by_side(page.image, result)
            else:
                assert isinstance(page.image, Image.Image)
                result = side_by_side(page.image, result)
        if isinstance(result, Image.Image):
            result.info = {}  # Pillow would write metadata from it
        metadata = page.metadata._replace(exif=georeferencing.moved(page.metadata.exif, self.steps.grid))
        return page._replace(image=result, metadata=metadata)


def described(picture: Image.Image | Raster) -> str:
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
