"""The command `fastconv`: convolve pictures. The other commands are in `subcommands`.

Modules that are slow to import (Pillow, and Numba behind the first convolution) are imported where they are used, so
that ``--help`` and errors in options are immediate.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastconv import kernels
from fastconv._model.arguments import FLOATS
from fastconv._runtime.cpu_limits import available_workers
from fastconv.cli import kernel_options, result_steps, stored_arrays
from fastconv.cli.console import EarlyExit, print_stderr, print_stdout, report_error, silence
from fastconv.cli.options import parsed
from fastconv.cli.stopwatch import duration, kernels_prepared
from fastconv.cli.subcommands import COMMANDS

if TYPE_CHECKING:
    from fastconv.cli import conversion, inputs

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, without the name of the program. By default those of the process.

    Returns
    -------
    int
        The exit status: 0 for success; 1 if some of many pictures failed, each reported in one line on stderr, or if
        the demonstration found a wrong result; 2 after an error, reported in one line on stderr; 130 if interrupted
        from the keyboard.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in COMMANDS:
            return COMMANDS[arguments[0]](arguments[1:])
        return _convert(parsed(arguments))
    except EarlyExit:
        return 0
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError, MemoryError) as error:
        return report_error(error, 2)


# ---------------------------------------------------------------------------------------------------- messages


def _print_notes(source: str, outcome: conversion.Outcome) -> None:
    for note in outcome.notes:
        print_stderr(f"note: {source}: {note}")


# ---------------------------------------------------------------------------------------------------- pictures


def _convert(options: argparse.Namespace) -> int:
    if options.fill_value is not None and options.boundary != "fill":
        raise ValueError("argument --fill-value: is for --boundary fill only")
    taps, available = _taps(options), available_workers()
    workers = options.workers or available
    if options.nodata is not None or options.mask is not None:
        kernel_options.check_sum(taps, "--mask" if options.nodata is None else "--nodata")
    if any(map(stored_arrays.is_stored, (*options.inputs, options.output))):
        return stored_arrays.convert(options, taps)
    if options.cluster is not None:
        raise ValueError("argument --cluster: is for zarr arrays and .npy files only")
    along = None if options.axes is None else options.axes[0]
    if options.axes not in (None, (0,), (1,)):
        raise ValueError(f"argument --axes: must be 0 or 1 for pictures; got {','.join(map(str, options.axes))}")
    taps = {dtype: result_steps.kernel_of(kernel, options, along) for dtype, kernel in taps.items()}

    from fastconv.cli import conversion, inputs, missing_pixels, picture_formats, picture_reading, picture_writing

    picture_format = None
    if options.format is not None:
        picture_format = picture_formats.format_named(options.format)
        if picture_format is None:
            raise ValueError(f"argument --format: Pillow cannot write {options.format!r}; png works, for example")
    extension = options.format and options.format.removeprefix(".")
    order = inputs.order(options.inputs, options.output, extension, options.recursive)
    read_too = [path for path in (options.kernel_file, options.mask) if path is not None]
    if read_too:
        inputs.check_apart(order.jobs, read_too)
    if order.jobs[0].target == inputs.STANDARD and (sys.stdout is None or sys.stdout.isatty()):
        is_what = "closed" if sys.stdout is None else "a terminal"
        raise ValueError(f"standard output is {is_what}; redirect it to a file")
    settings = {
        name: getattr(options, name) for name in ("boundary", "scale", "offset", "alpha", "linear", "correlate")
    }
    settings["fill_value"] = options.fill_value or 0
    if options.linear and options.offset:
        raise ValueError("argument --offset: must be 0 with --linear")
    writer = picture_writing.Writer(options.force)
    steps = result_steps.steps_of(options, next(iter(taps.values())).shape, along)
    convert = conversion.Conversion(taps, settings, steps, options.compare, options.page, picture_format, writer)
    if (options.nodata is not None or options.mask is not None) and options.alpha == "filter":
        raise ValueError("argument --alpha: must be keep or auto where pixels may be missing")
    silence("PIL", "tifffile", "imagecodecs")
    # Pillow warns of large pictures and unusual EXIF. Warning filters are global: set them once for all threads.
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(picture_reading.limit(options.max_pixels))
        warnings.simplefilter("ignore")
        if options.nodata is not None or options.mask is not None:
            mask = None if options.mask is None else stack.enter_context(missing_pixels.opened_mask(options.mask))
            convert = convert._replace(missing=missing_pixels.MissingPixels(options.nodata, mask))
        if order.folder is not None:
            picture_writing.make_folder(order.folder)
        if order.many:
            return _convert_many(order, convert, workers)
        return _convert_one(order.jobs[0], convert, workers)


def _taps(options: argparse.Namespace) -> dict[np.dtype, NDArray]:
    """Return the taps of the kernel, by the type of the sums."""
    if options.kernel_file is None and re.match(r"\s*[A-Za-z_]", options.kernel):
        name, parameters = kernel_options.named(options.kernel, options)
        try:
            return {dtype: kernels.named(name, dtype=dtype, **parameters) for dtype in FLOATS}
        except TypeError as error:  # two numbers where one is allowed
            raise ValueError(f"argument --kernel: {error}") from None
    kernel_options.check_unused(options)
    if options.kernel_file is not None:  # read once: it may be a pipe
        taps = kernels.read(options.kernel_file, dtype=np.float64)
    else:
        taps = kernels.parse(options.kernel, dtype=np.float64)
    return dict.fromkeys(FLOATS, taps)  # rounded to the type of the sums later


def _convert_one(job: inputs.Job, convert: conversion.Conversion, workers: int) -> int:
    before = kernels_prepared()
    outcome = convert(job, workers)
    _print_notes(job.source, outcome)
    if job.target != "-":
        rows, columns = next(iter(convert.kernels.values())).shape
        compiled = ", including time to compile or load kernels" if kernels_prepared() > before else ""
        print_stdout(f"{job.source}: {outcome.before}, kernel {rows} x {columns}")
        speed = outcome.pixels / outcome.seconds / 1e6
        print_stdout(f"convolution: {duration(outcome.seconds)}, {speed:.1f} Mpixel/s{compiled}")
        print_stdout(f"{job.target}: {outcome.after}")
    return 0


def _convert_many(order: inputs.Order, convert: conversion.Conversion, workers: int) -> int:
    from fastconv.cli import batch, conversion

    failures: dict[int, Exception] = {}
    outcomes: dict[int, conversion.Outcome] = {}
    start = time.perf_counter()
    with _bar(len(order.jobs)) as bar:

        def report(number: int, outcome: conversion.Outcome | Exception) -> None:
            if isinstance(outcome, conversion.Outcome):
                outcomes[number] = outcome
            elif isinstance(outcome, (OSError, ValueError, MemoryError)):
                failures[number] = outcome
            else:
                raise outcome
            if bar is not None:
                bar.update()

        batch.run(order.jobs, convert, workers, report)
    seconds = time.perf_counter() - start
    for number in sorted(outcomes):
        _print_notes(order.jobs[number].source, outcomes[number])
    for number in sorted(failures):
        report_error(failures[number], 1, order.jobs[number].source)
    for clash in order.clashes:
        report_error(ValueError(clash), 1, clash.source)
    failed = [order.jobs[number].source for number in sorted(failures)] + [clash.source for clash in order.clashes]
    summary = f"{order.folder}: {len(outcomes)} of {len(outcomes) + len(failed)} pictures in {duration(seconds)}"
    summary += f", {len(outcomes) / seconds:.1f} a second"
    if failed:
        more = f" and {len(failed) - _MOST_NAMES} more" if len(failed) > _MOST_NAMES else ""
        summary += f"; {len(failed)} failed: {', '.join(failed[:_MOST_NAMES])}{more}"
    if order.ignored:
        summary += f"; {order.ignored} other files ignored"
    print_stdout(summary)
    return 1 if failed else 0


_MOST_NAMES = 5


def _bar(total: int) -> contextlib.AbstractContextManager[Any]:
    """Return a progress bar if stderr is a terminal, else a context of None."""
    if total < 2 or not sys.stderr.isatty():
        return contextlib.nullcontext()
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no monitor thread
    return tqdm(total=total, unit=" pictures", file=sys.stderr, dynamic_ncols=True)
