"""Kernels as text: rows of numbers."""

from __future__ import annotations

import os
import re

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._model.arguments import as_float
from fastconv._model.message_formatting import shown


def parse(text: str, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """Make a kernel from text: rows of numbers.

    Parameters
    ----------
    text : str
        Rows are separated by semicolons or line ends, numbers by blanks or commas. A number may be a fraction,
        ``1/9``. Blank rows are ignored.
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (rows, columns)
        The taps.

    Raises
    ------
    ValueError
        If there is no number, a number cannot be read or is not finite in `dtype`, a comma has no number beside it,
        rows differ in length, separators contradict each other, as in files of spreadsheets with semicolons or decimal
        commas, or `dtype` is another type.
    TypeError
        If `text` is not a string, or `dtype` is not a dtype.

    See Also
    --------
    read : The same from a file.
    named : A kernel by its name.

    Examples
    --------
    >>> from fastconv.kernels import parse
    >>> parse("1 2 1; 2 4 2; 1 2 1")
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]], dtype=float32)
    >>> parse("-1/2, 0, 1/2")
    array([[-0.5,  0. ,  0.5]], dtype=float32)
    """
    floats = as_float(dtype)
    if not isinstance(text, str):
        raise TypeError(f"text must be a string of numbers; got {shown(text)}")
    lines = [[row.strip() for row in line.split(";") if row.strip()] for line in re.split(r"[\r\n]", text)]
    rows = [re.split(r"\s*,\s*|\s+", row) for line in lines for row in line]
    if sum(map(bool, lines)) > 1 and max(map(len, lines)) > 1 and all(len(row) == 1 for row in rows):
        raise ValueError(
            "kernel must have blanks or commas between the numbers of a row; semicolons end rows, as lines do"
        )
    for row in (row for line in lines for row in line):
        if re.search(r"\d,\d", row) and re.search(r"[^,\s]\s+[^,\s]", row):
            raise ValueError(
                f"kernel must have either blanks or commas between numbers, and decimal points; got {shown(row)}"
            )
    numbers = [[_number(token, floats) for token in row] for row in rows]
    if not numbers:
        raise ValueError("kernel must not be empty; got no number")
    columns = len(numbers[0])
    for index, row in enumerate(numbers, 1):
        if len(row) != columns:
            raise ValueError(f"kernel must have rows of equal length; row 1 has {columns}, row {index} has {len(row)}")
    return np.array(numbers, floats)


def read(path: str | os.PathLike[str], *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """Read a kernel from a text file: rows as in `parse`, with comments from ``#`` to the end of the line.

    Parameters
    ----------
    path : path-like
        The file, in UTF-8.
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (rows, columns)
        The taps.

    Raises
    ------
    ValueError
        As `parse`, with the path before the message; and if the file is not UTF-8 text.
    TypeError
        If `path` is not a path, or `dtype` not a dtype.
    OSError
        If the file cannot be read.

    See Also
    --------
    parse : The same from a string.
    named : A kernel by its name.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastconv.kernels import read
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "ramp.txt")
    ...     _ = path.write_text("# a ramp, one quarter at a time\\n1/4 2/4\\n3/4 4/4  # the last row\\n")
    ...     read(path)
    array([[0.25, 0.5 ],
           [0.75, 1.  ]], dtype=float32)
    """
    floats = as_float(dtype)
    if not isinstance(path, (str, bytes, os.PathLike)):  # `open` takes an integer as a file, and closes it
        raise TypeError(f"path must be a path; got {shown(path)}")
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.partition("#")[0] for line in file]
        return parse("\n".join(lines), dtype=floats)
    except UnicodeDecodeError:
        raise ValueError(f"{os.fspath(path)}: not a text file in UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def quotient(text: str) -> float:
    """Parse a fraction such as ``1/9``, or any number that `float` reads."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a number or a quotient of two, as a string; got {shown(text)}")
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except ZeroDivisionError:
        raise ValueError(f"division by zero in {shown(text)}") from None
    except ValueError:
        raise ValueError(f"text must be a number or a quotient of two; got {shown(text)}") from None


def _number(token: str, dtype: np.dtype) -> float:
    """Parse a number or a fraction that `dtype` can hold."""
    if not token:
        raise ValueError("kernel has a comma with no number beside it")
    try:
        value = quotient(token)
    except ValueError:
        raise ValueError(f"kernel must be made of numbers; got {shown(token)}") from None
    with np.errstate(all="ignore"):
        finite = np.isfinite(dtype.type(value))
    if not finite:
        raise ValueError(f"kernel must be made of numbers finite in {dtype}; got {shown(token)}")
    return value
