"""The command `fastconv`: one picture through one kernel, and a demonstration.

Everything slow to import (Pillow, and Numba behind the first convolution) is imported where it is used, so that
``--help`` and a mistyped option answer at once.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

import fastconv
from fastconv import kernels
from fastconv._geometry import BOUNDARIES, MODES
from fastconv._stopwatch import Stopwatch, duration, say, tell_preparation

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["main"]

_DESCRIPTION = f"""\
Convolve the picture IN with a kernel and write the result to OUT. The format of OUT follows its extension, the size
and colours follow IN; results are rounded and saturated. Of an animation, the first picture is taken.

kernels: {", ".join(kernels.NAMES)}

They are convolution kernels, and so are the rows that you type: the kernel is flipped, as the definition has it.
"""

_EXAMPLES = """\
examples:
  fastconv photo.jpg edges.png --kernel edge
  fastconv photo.jpg soft.png --kernel "1 2 1; 2 4 2; 1 2 1" --scale 1/16
  fastconv photo.jpg slope.png --kernel sobel-x --offset 128
  fastconv demo

A picture that is called demo is ./demo; the first argument demo is the demonstration.
"""

# Sides of the demonstration's picture: smaller ones have no room for captions, and nine larger ones no screen.
_SMALLEST, _LARGEST = 160, 2048


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, without the name of the program. By default those of the process.

    Returns
    -------
    int
        The exit status: 0; 1 if the demonstration finds a wrong result; 2 after an error, of which one line on
        stderr tells; 130 if interrupted from the keyboard.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["demo"]:
            return _demonstrate(_demo_parser().parse_args(arguments[1:]))
        return _convert(_parser().parse_args(_joined(arguments)))
    except SystemExit:
        return 0  # argparse has printed the help or the version; its errors are raised by _Parser.error
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError, MemoryError) as error:
        return _complain(error, 2)


# ---------------------------------------------------------------------------------------------------- arguments


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Leave it to `main`, which prints one line where argparse would print the usage as well."""
        raise ValueError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fastconv",
        usage="fastconv IN OUT (--kernel NAME|ROWS | --kernel-file PATH) [option ...]\n"
        "       fastconv demo [--output PATH] [--size WIDTHxHEIGHT]",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("input", metavar="IN", help="the picture to convolve")
    parser.add_argument("output", metavar="OUT", help="where to write the result; not the same file as IN")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--kernel", metavar="NAME|ROWS", help='a name, or rows such as "0 1 0; 1 -4 1; 0 1 0"; 1/9 is a number, too'
    )
    which.add_argument("--kernel-file", metavar="PATH", help="a text file of such rows, with # comments")
    parser.add_argument("--mode", choices=MODES, default="same", help="which outputs (default: same, the size of IN)")
    parser.add_argument(
        "--boundary", choices=BOUNDARIES, default="reflect", help="what is outside of IN (default: reflect)"
    )
    parser.add_argument("--fill-value", metavar="V", type=_number, help="the value outside, for --boundary fill")
    parser.add_argument("--scale", metavar="S", type=_number, default=1.0, help="factor for the kernel (default: 1)")
    parser.add_argument("--offset", metavar="O", type=_number, default=0.0, help="added to the result (default: 0)")
    parser.add_argument("--workers", metavar="N", type=_count, help="the most threads to use (default: all)")
    _add_version(parser)
    return parser


def _demo_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fastconv demo",
        description="Draw a picture, convolve it with eight kernels, write all nine to one PNG, and print how long "
        "each took, checked against and compared with the plain loops of fastconv.reference.",
        allow_abbrev=False,
    )
    parser.add_argument("--output", metavar="PATH", default="fastconv-demo.png", help="default: %(default)s")
    parser.add_argument(
        "--size", metavar="WIDTHxHEIGHT", type=_size, default=(640, 480), help="of the picture (default: 640x480)"
    )
    _add_version(parser)
    return parser


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=f"fastconv {fastconv.__version__}")


def _joined(arguments: list[str]) -> list[str]:
    """``--kernel -1,0,1`` as ``--kernel=-1,0,1``: argparse would take the value for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in ("--kernel", "--fill-value", "--scale", "--offset"):
            if re.match(r"-[\d.]", argument):
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


def _count(text: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"must be a positive integer; got {text!r}")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch("([0-9]{1,5})x([0-9]{1,5})", text)
    if match:
        width, height = int(match[1]), int(match[2])
        if _SMALLEST <= min(width, height) and max(width, height) <= _LARGEST:
            return width, height
    raise argparse.ArgumentTypeError(f"must be WIDTHxHEIGHT, each of {_SMALLEST} .. {_LARGEST} pixels; got {text!r}")


# ---------------------------------------------------------------------------------------------------- messages


def _complain(error: BaseException, status: int) -> int:
    """One line on stderr, whatever line ends are in a path or a message."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    print("fastconv: error:", " ".join(text.split()), file=sys.stderr)
    return status


# ---------------------------------------------------------------------------------------------------- one picture


def _convert(options: argparse.Namespace) -> int:
    if options.fill_value is not None and options.boundary != "fill":
        raise ValueError("argument --fill-value: is for --boundary fill only")
    kernel = _kernel(options)

    from fastconv import _files
    from fastconv.image import apply

    _files.check_target(options.output)
    for source in (options.input, options.kernel_file):
        if source is not None and _same_file(source, options.output):
            raise ValueError(f"{options.output}: would overwrite the input; choose another name")
    image = _files.load(options.input)
    stopwatch = Stopwatch(calls=1)  # and one before, in which something may be compiled
    result = apply(
        stopwatch,
        image,
        kernel,
        options.mode,
        options.boundary,
        options.fill_value or 0,
        options.offset,
        options.workers,
    )
    _files.save(result, options.output)

    rows, columns = kernel.shape
    say(f"{options.input}: {_described(image)}, kernel {rows} x {columns}")
    speed = result.width * result.height / stopwatch.best / 1e6
    say(f"convolution: {duration(stopwatch.best)}, {speed:.1f} Mpixel/s")
    tell_preparation(stopwatch.preparation)
    say(f"{options.output}: {_described(result)}")
    return 0


def _kernel(options: argparse.Namespace) -> NDArray[np.float64]:
    if options.kernel_file is not None:
        kernel = kernels.read(options.kernel_file)
    elif re.match(r"\s*[A-Za-z_]", options.kernel):
        kernel = kernels.named(options.kernel.strip())
    else:
        kernel = kernels.parse(options.kernel)
    with np.errstate(over="ignore"):  # convolve_image complains of an infinite kernel
        return kernel.astype(np.float64) * options.scale


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there yet
        return os.path.realpath(one) == os.path.realpath(other)


def _described(image: Image.Image) -> str:
    return f"{image.width} x {image.height} {image.mode}"


# ---------------------------------------------------------------------------------------------------- the demonstration


def _demonstrate(options: argparse.Namespace) -> int:
    from fastconv import _demo

    try:
        _demo.run(options.output, *options.size)
    except _demo.WrongResult as error:
        return _complain(error, 1)
    return 0
