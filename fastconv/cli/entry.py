"""The command `fastconv`: convolve pictures. The other commands are in `subcommands`.

Modules that are slow to import (Pillow, and Numba behind the first convolution) are imported where they are used, so
that ``--help`` and errors in options are immediate.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import re
import sys
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastconv import kernels
from fastconv._model.arguments import FLOATS
from fastconv._model.geometry import BOUNDARIES, MODES
from fastconv._runtime.cpu_limits import available_workers
from fastconv.cli import kernel_options, stored_arrays
from fastconv.cli.console import EarlyExit, Parser, add_version, print_stderr, print_stdout, report_error
from fastconv.cli.stopwatch import duration, kernels_prepared
from fastconv.cli.subcommands import COMMANDS

if TYPE_CHECKING:
    from fastconv.cli import batch, inputs

__all__ = ["main"]

_DESCRIPTION = f"""\
Convolve pictures with a kernel: the picture IN to the file OUT, or many pictures to the folder OUT.

kernels: {", ".join(kernels.NAMES)}
(--show-kernels describes them and their parameters)

Named and typed kernels are convolution kernels: they are flipped, unless --correlate is given.
"""

_EXAMPLES = """\
inputs and outputs:
  IN is a file, a folder, or a quoted pattern such as 'scans/**/*.tif', where ** matches any number of folders. From
  folders and patterns, files that have the extension of a picture and are not hidden are used.
  OUT is a folder if it exists as one, if it ends in a slash, or if IN is a folder, a pattern or more than one file. It
  is created if missing; in it, pictures keep their names and their subfolders below IN, or below the part of the
  pattern without wildcards. A single - is standard input or output.
  Existing files are replaced only with --force, and inputs never. If a picture fails, the others are still converted,
  and the error is reported at the end.

pictures:
  Results are rounded and saturated, and keep the colour mode of IN: 16-bit grey, CMYK and one bit stay as they are. A
  palette becomes RGB or RGBA, and so do colours that the format of OUT cannot store (CMYK in a PNG). Pictures are
  turned upright by their EXIF orientation first. The pages of a TIFF and the frames of an animated GIF, WebP, PNG or
  AVIF are all converted, with their timing, if the format of OUT can hold them; else the first is.
  EXIF (without its thumbnail), XMP, ICC profile, resolution, comment and PNG text chunks are kept, as far as the
  format of OUT can store them. A JPEG made from a JPEG has the same compression, other lossy formats have quality 95,
  and a TIFF has the compression of IN, or none if it has the EXIF of a camera.

arrays larger than memory:
  IN and OUT may be zarr arrays, as scans.zarr or scans.zarr/0, or .npy files, of any number of axes. They are convolved
  along the last two, in parts that fit into memory; pixels are rounded and saturated as those of pictures. OUT has
  the dtype, and in zarr the chunks, the format and the attributes of IN.

exit status:
  0 for success; 1 if some of many pictures failed, or the demonstration found a wrong result; 2 after an error, which
  is one line on stderr; 130 if interrupted from the keyboard.

examples:
  fastconv photo.jpg edges.png --kernel edge
  fastconv photo.jpg soft.png --kernel gaussian --sigma 5
  fastconv photo.jpg shaken.png --kernel motion:length=15,angle=30
  fastconv photo.jpg smooth.png --kernel "1 2 1; 2 4 2; 1 2 1" --scale 16
  fastconv photo.jpg slope.png --kernel sobel-x --offset 128 --compare
  fastconv map.tif smooth.tif --kernel gaussian --nodata -9999
  fastconv photos/ 'scans/**/*.tif' sharp/ --kernel sharpen --format png
  fastconv - - --kernel box <in.png >out.png
  fastconv scans.zarr smooth.zarr --kernel gaussian --cluster tcp://localhost:8786
  fastconv demo
  fastconv warmup float32 uint8

demo, warmup and config as the first argument are commands, each with its own --help. A picture file of that name can
be given as ./demo.
"""


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
        return _convert(_parsed(arguments))
    except EarlyExit:
        return 0
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError, MemoryError) as error:
        return report_error(error, 2)


# ---------------------------------------------------------------------------------------------------- arguments


class _ShowKernels(argparse.Action):
    """The option ``--show-kernels``: print the named kernels, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *args: Any) -> NoReturn:
        longest = max(map(len, kernels.NAMES))
        for name, make in kernels.NAMES.items():
            rows, columns = make().shape
            first = (make.__doc__ or "").strip().partition("\n")[0]
            print_stdout(f"{name:<{longest}} {rows:>3} x {columns:<2}  {first}".rstrip())
            defaults = kernel_options.described(kernel_options.parameters(make))
            if defaults:
                print_stdout(f"{'':<{longest}} {'':>8}  {defaults}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="fastconv",
        usage="fastconv IN... OUT (--kernel NAME|ROWS | --kernel-file PATH) [option ...]\n"
        "       fastconv demo [--output PATH] [--size WIDTHxHEIGHT]\n"
        "       fastconv warmup [DTYPE ...] [--volumes]\n"
        "       fastconv config",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("paths", metavar="IN... OUT", nargs="*", help="input pictures, and the output file or folder")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--kernel",
        metavar="NAME|ROWS",
        help='the name of a kernel, as gaussian or gaussian:sigma=5, or rows such as "0 1 0; 1 -4 1; 0 1 0"; '
        "fractions such as 1/9 are allowed",
    )
    which.add_argument("--kernel-file", metavar="PATH", help="a text file with such rows and # comments")
    parser.add_argument(
        "--scale", metavar="S", type=_divisor, help="divisor of the sums (default: 1); a number or a fraction"
    )
    parser.add_argument(
        "--offset", metavar="O", type=_number, default=0.0, help="added after the division (default: 0)"
    )
    parser.add_argument("--correlate", action="store_true", help="do not flip the kernel")
    parser.add_argument(
        "--mode", choices=MODES, default="same", help="which outputs to compute (default: same, the size of IN)"
    )
    parser.add_argument(
        "--boundary", choices=BOUNDARIES, default="reflect", help="how IN continues beyond its edges (default: reflect)"
    )
    parser.add_argument(
        "--fill-value", metavar="V", type=_number, help="the value beyond the edges, for --boundary fill"
    )
    parser.add_argument(
        "--alpha",
        choices=("auto", "keep", "filter"),
        default="auto",
        help="keep the alpha channel, or filter it with premultiplied colours (default: auto, which filters it with "
        "kernels of a positive sum)",
    )
    parser.add_argument(
        "--linear", action="store_true", help="filter in linear light: sRGB is decoded, and encoded again"
    )
    parser.add_argument(
        "--nodata",
        metavar="V",
        type=_nodata,
        help="leave out pixels of this value, which may be nan; tag: of the value that a GeoTIFF names",
    )
    parser.add_argument(
        "--mask", metavar="PATH", help="leave out pixels where this picture, of the size of IN, is black"
    )
    parser.add_argument("--compare", action="store_true", help="write before and after side by side")
    parser.add_argument(
        "--page",
        metavar="N",
        type=_count,
        help="take one page or frame of IN, from 1 on (default: all that OUT can hold)",
    )
    parser.add_argument(
        "--max-pixels",
        metavar="N",
        type=_whole,
        help="refuse pictures of more pixels, 0 for no limit (default: 178956970, as a file may claim any size)",
    )
    parser.add_argument("--recursive", action="store_true", help="include subfolders")
    parser.add_argument("--format", metavar="EXT", help="the format of the results: png, jpg, tif, webp, ...")
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser.add_argument("--workers", metavar="N", type=_count, help="maximum number of threads (default: all)")
    parser.add_argument(
        "--axes", metavar="A,B", type=_axes, help="axes of a zarr array or .npy file (default: the last two)"
    )
    parser.add_argument(
        "--cluster", metavar="ADDRESS", help="compute on a running dask scheduler, such as tcp://host:8786"
    )
    parser.add_argument("--show-kernels", nargs=0, action=_ShowKernels, help="list the named kernels, and exit")
    add_version(parser)
    kernel_options.add_options(parser)
    return parser


def _parsed(arguments: list[str]) -> argparse.Namespace:
    """Parse arguments; the paths, which may be mixed with options, become `inputs` and `output`."""
    where = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_intermixed_args(_joined(arguments[:where]))
    paths = options.paths + arguments[where + 1 :]
    if len(paths) < 2:
        raise ValueError(f"the following arguments are required: {'OUT' if paths else 'IN, OUT'}")
    if options.kernel is None and options.kernel_file is None:
        raise ValueError("one of the arguments --kernel --kernel-file is required")
    if "" in paths:
        raise ValueError("the name of a file must not be empty")
    *options.inputs, options.output = paths
    return options


_MAY_BE_NEGATIVE = ("--axes", "--kernel", "--fill-value", "--scale", "--offset", "--nodata", *kernel_options.OPTIONS)


def _joined(arguments: list[str]) -> list[str]:
    """Rewrite ``--kernel -1,0,1`` as ``--kernel=-1,0,1``: argparse would mistake the value for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in _MAY_BE_NEGATIVE:
            if re.match(r"-([\d.]|inf)", argument):
                joined[-1] += f"={argument}"
                continue
        joined.append(argument)
    return joined


def _number(text: str) -> float:
    try:
        value = kernels.quotient(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number; got {text!r}")
    return value


def _divisor(text: str) -> float:
    value = _number(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"must not be 0; got {text!r}")
    return value


def _nodata(text: str) -> float | str:
    if text.strip().lower() == "nan":
        return math.nan
    if re.fullmatch(r"\s*[+-]?inf(inity)?\s*", text, re.IGNORECASE):
        return float(text)
    return text if text == "tag" else _number(text)


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"must be an integer of at least 0; got {text!r}")
    return int(text)


def _axes(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(-?\d{1,2}),(-?\d{1,2})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"must be two integers, as 0,1; got {text!r}")
    return int(match[1]), int(match[2])


def _count(text: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"must be a positive integer; got {text!r}")
    return int(text)


# ---------------------------------------------------------------------------------------------------- messages


def _print_notes(source: str, outcome: batch.Outcome) -> None:
    for note in outcome.notes:
        print_stderr(f"note: {source}: {note}")


# ---------------------------------------------------------------------------------------------------- pictures


def _convert(options: argparse.Namespace) -> int:
    if options.fill_value is not None and options.boundary != "fill":
        raise ValueError("argument --fill-value: is for --boundary fill only")
    taps, available = _kernels(options), available_workers()
    workers = options.workers or available
    if any(map(stored_arrays.is_stored, (*options.inputs, options.output))):
        return stored_arrays.convert(options, taps)
    for name in ("axes", "cluster"):
        if getattr(options, name) is not None:
            raise ValueError(f"argument --{name}: is for zarr arrays and .npy files only")

    from fastconv.cli import batch, inputs, missing_pixels, picture_formats, picture_reading, picture_writing

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
    if order.jobs[0].target == inputs.STANDARD and sys.stdout.isatty():
        raise ValueError("standard output is a terminal; redirect it to a file")
    settings = {
        name: getattr(options, name) for name in ("boundary", "mode", "scale", "offset", "alpha", "linear", "correlate")
    }
    settings["fill_value"] = options.fill_value or 0
    if options.linear and options.offset:
        raise ValueError("argument --offset: must be 0 with --linear")
    writer = picture_writing.Writer(options.force)
    convert = batch.Conversion(taps, settings, options.compare, options.page, picture_format, writer)
    if (options.nodata is not None or options.mask is not None) and options.alpha == "filter":
        raise ValueError("argument --alpha: must be keep or auto where pixels may be missing")
    # Pillow warns of large pictures and unusual EXIF. Warning filters are global: set them once for all threads.
    with warnings.catch_warnings(), picture_reading.limit(options.max_pixels):
        warnings.simplefilter("ignore")
        if options.nodata is not None or options.mask is not None:
            mask = None if options.mask is None else missing_pixels.mask_of(options.mask)
            convert = convert._replace(missing=missing_pixels.MissingPixels(options.nodata, mask))
        if order.folder is not None:
            picture_writing.make_folder(order.folder)
        if order.many:
            return _convert_many(order, convert, workers)
        return _convert_one(order.jobs[0], convert, workers)


def _kernels(options: argparse.Namespace) -> dict[np.dtype, NDArray]:
    """Return the kernel by the type of the sums."""
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


def _convert_one(job: inputs.Job, convert: batch.Conversion, workers: int) -> int:
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


def _convert_many(order: inputs.Order, convert: batch.Conversion, workers: int) -> int:
    from fastconv.cli import batch

    failures: dict[int, Exception] = {}
    outcomes: dict[int, batch.Outcome] = {}
    start = time.perf_counter()
    with _bar(len(order.jobs)) as bar:

        def report(number: int, outcome: batch.Outcome | Exception) -> None:
            if isinstance(outcome, batch.Outcome):
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
