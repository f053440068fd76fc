"""The options of the command `fastconv`: what they are called, their help, and checks of single values."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from fastconv import kernels
from fastconv._model.geometry import BOUNDARIES, MODES
from fastconv._model.steps import STARTS
from fastconv.cli import kernel_options
from fastconv.cli.console import Parser, add_version, print_stdout

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
  Results are rounded and saturated, and keep the colour mode of IN: 16-bit grey, CMYK and one bit stay as they are, and
  with the extra fastconv[files] 16 bits per colour and floats; else such pictures are refused. A
  palette becomes RGB or RGBA, and so do colours that the format of OUT cannot store (CMYK in a PNG). Pictures are
  turned upright by their EXIF orientation first. The pages of a TIFF and the frames of an animated GIF, WebP, PNG or
  AVIF are all converted, with their timing, if the format of OUT can hold them; else the first is.
  EXIF (without its thumbnail), XMP, ICC profile, resolution, comment and PNG text chunks are kept, as far as the
  format of OUT can store them. A JPEG made from a JPEG has the same compression, other lossy formats have quality 95,
  and a TIFF has the compression of IN, or none if it has the EXIF of a camera.

pictures and arrays larger than memory:
  TIFFs of more than 256 MB of pixels are converted in parts, to TIFFs, with the extra fastconv[files]; --max-pixels
  allows them.
  With the extra fastconv[dask] IN and OUT may be zarr arrays, as scans.zarr or scans.zarr/0, or .npy files, of any
  number of axes. They are convolved along the last two, in parts that fit into memory; pixels are rounded and saturated
  as those of pictures. OUT has the dtype, and in zarr the chunks, the format and the attributes of IN.

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
  fastconv photo.jpg half.png --kernel binomial --stride 2
  fastconv photos/ 'scans/**/*.tif' sharp/ --kernel sharpen --format png
  fastconv - - --kernel box <in.png >out.png
  fastconv scans.zarr smooth.zarr --kernel gaussian --cluster tcp://localhost:8786
  fastconv demo
  fastconv warmup float32 uint8

demo, warmup and config as the first argument are commands, each with its own --help. A picture file of that name can
be given as ./demo.
"""


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
        "--stride", metavar="S", type=_counts, help="keep one of S results; or of R,C along rows and columns"
    )
    parser.add_argument("--dilation", metavar="D", type=_counts, help="leave D - 1 pixels out between taps; or R,C")
    parser.add_argument(
        "--start",
        metavar="I",
        type=_starts,
        help="the tap at the first pixel for the first result: an index into the kernel, first, center or last; or R,C "
        "(default: center)",
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
        help="leave out pixels of this value, which may be nan; tag: of the value that a GeoTIFF names. Not for "
        "kernels whose taps add up to 0",
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
        "--axes",
        metavar="A,B",
        type=_axes,
        help="axes of a zarr array or .npy file (default: the last two); or one axis for a kernel of one row, also of "
        "pictures: 0 is down, 1 across",
    )
    parser.add_argument(
        "--cluster", metavar="ADDRESS", help="compute on a running dask scheduler, such as tcp://host:8786"
    )
    parser.add_argument("--show-kernels", nargs=0, action=_ShowKernels, help="list the named kernels, and exit")
    add_version(parser)
    kernel_options.add_options(parser)
    return parser


def parsed(arguments: list[str]) -> argparse.Namespace:
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
    try:
        return text if text == "tag" else _number(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be a number, nan, inf, or tag; got {text!r}") from None


def _whole(text: str, others: str = "") -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"must be {others}an integer of at least 0; got {text!r}")
    return int(text)


def _axes(text: str) -> tuple[int, ...]:
    match = re.fullmatch(r"(-?\d{1,2})(?:,(-?\d{1,2}))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"must be two integers, as 0,1, or one; got {text!r}")
    return tuple(int(group) for group in match.groups() if group is not None)


def _pair(text: str, one: Callable[[str], Any]) -> tuple[Any, Any]:
    """One value for rows and columns, or two."""
    parts = text.split(",")
    if len(parts) > 2:
        raise argparse.ArgumentTypeError(f"must be one value, or two as ROWS,COLUMNS; got {text!r}")
    return one(parts[0]), one(parts[-1])


def _counts(text: str) -> tuple[int, int]:
    return _pair(text, _count)


def _starts(text: str) -> tuple[int | str, int | str]:
    return _pair(text, lambda part: part if part in STARTS else _whole(part, f"one of {', '.join(STARTS)}, or "))


def _count(text: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"must be a positive integer; got {text!r}")
    return int(text)
