"""The commands demo, warmup and config."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence

import fastconv
from fastconv._planning import engine_loader
from fastconv._runtime.cache_folder import counts, store
from fastconv.cli.console import Parser, add_version, print_stdout, report_error
from fastconv.cli.stopwatch import duration

# Limits of the demonstration picture's sides: captions need space, and nine pictures must fit on a screen.
_SMALLEST, _LARGEST = 160, 2048


def demo(arguments: Sequence[str]) -> int:
    """``fastconv demo``."""
    parser = Parser(
        prog="fastconv demo",
        description="Draw a picture, convolve it with eight kernels, check the results against the plain loops of "
        "fastconv.reference, write all nine pictures to one PNG, and print the time of each.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--output", metavar="PATH", default="fastconv-demo.png", help="the PNG to write (default: %(default)s)"
    )
    parser.add_argument(
        "--size", metavar="WIDTHxHEIGHT", type=_size, default=(640, 480), help="size of the picture (default: 640x480)"
    )
    add_version(parser)
    options = parser.parse_args(arguments)

    from fastconv.cli import demo as _demo

    try:
        _demo.run(options.output, *options.size)
    except _demo.WrongResult as error:
        return report_error(error, 1)
    return 0


def warmup(arguments: Sequence[str]) -> int:
    """``fastconv warmup``."""
    parser = Parser(
        prog="fastconv warmup",
        description="Compile everything that convolutions of the given types need, in the build of a container image "
        "or before a server takes requests. Compiled kernels are saved for later processes, in the folder named by "
        "FASTCONV_CACHE_DIR or in the user's cache folder.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "dtypes", metavar="DTYPE", nargs="*", help="types of arrays and kernels (default: float32 float64 uint8)"
    )
    parser.add_argument(
        "--volumes",
        action="store_true",
        help="also for more than two axes, strides, dilations, and a kernel for each line",
    )
    add_version(parser)
    parsed = parser.parse_args(arguments)
    if store().folder is None:
        raise ValueError(f"compiled kernels cannot be kept; their folder: {store().state}")

    engine_loader.load()  # Numba is imported before the time is taken
    start = time.perf_counter()
    try:
        fastconv.warmup(*([parsed.dtypes] if parsed.dtypes else []), volumes=parsed.volumes)
    except TypeError as error:
        raise ValueError(error) from None
    if counts["saved"] < counts["compiled"]:
        lost = counts["compiled"] - counts["saved"]
        raise OSError(f"{lost} of {counts['compiled']} kernels could not be saved in {store().folder}")
    seconds = duration(time.perf_counter() - start)
    print_stdout(f"{counts['compiled']} kernels compiled, {counts['loaded']} loaded, in {seconds}: {store().folder}")
    return 0


def config(arguments: Sequence[str]) -> int:
    """``fastconv config``."""
    parser = Parser(
        prog="fastconv config",
        description="Print versions, processor, threads, and the folder of compiled kernels and its state.",
        allow_abbrev=False,
    )
    add_version(parser)
    parser.parse_args(arguments)
    fastconv.show_config()
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"demo": demo, "warmup": warmup, "config": config}


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch("([0-9]{1,5})x([0-9]{1,5})", text)
    if match:
        width, height = int(match[1]), int(match[2])
        if _SMALLEST <= min(width, height) and max(width, height) <= _LARGEST:
            return width, height
    raise argparse.ArgumentTypeError(f"must be WIDTHxHEIGHT, each of {_SMALLEST} .. {_LARGEST} pixels; got {text!r}")
