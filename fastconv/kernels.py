"""Kernels by name, and kernels typed as rows of numbers.

Every function returns a new 2-D array of float32, so that a picture of 8 or 16 bits, or of float32, is convolved in
float32 (`numpy.result_type`). All are *convolution* kernels: `fastconv.convolve2d` flips them. An asymmetric kernel
that a book or a program prints as a template to be laid over the picture (a correlation) therefore stands here turned
by 180 degrees, and means the same.

Rows go down and columns go to the right.
"""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NAMES",
    "box",
    "edge",
    "emboss",
    "gaussian",
    "laplacian",
    "named",
    "parse",
    "read",
    "sharpen",
    "sobel_x",
    "sobel_y",
]


def edge() -> NDArray[np.float32]:
    """Eight times a pixel minus its eight neighbours: no response where a picture is flat or a plane slope.

    It is the negative of the Laplacian that takes the diagonals in [1]_, and positive on a bright spot.

    Returns
    -------
    ndarray of float32, shape (3, 3)

    References
    ----------
    .. [1] R. C. Gonzalez and R. E. Woods, Digital Image Processing, 4th ed., Pearson 2018, section 3.6.

    Examples
    --------
    >>> edge()
    array([[-1., -1., -1.],
           [-1.,  8., -1.],
           [-1., -1., -1.]], dtype=float32)
    """
    return np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32)


def sharpen() -> NDArray[np.float32]:
    """The picture minus its `laplacian`. The taps sum to 1, so flat parts keep their brightness.

    Returns
    -------
    ndarray of float32, shape (3, 3)

    References
    ----------
    Gonzalez and Woods, as for `edge`.

    Examples
    --------
    >>> sharpen()
    array([[ 0., -1.,  0.],
           [-1.,  5., -1.],
           [ 0., -1.,  0.]], dtype=float32)
    """
    return np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)


def emboss() -> NDArray[np.float32]:
    """The picture plus its slope towards the lower right: a relief, lit from the upper left.

    The taps sum to 1, so flat parts keep their brightness.

    Returns
    -------
    ndarray of float32, shape (3, 3)

    Notes
    -----
    The GIMP manual ("Convolution Matrix") gives the template -2 -1 0; -1 1 1; 0 1 2. This is it, turned.

    Examples
    --------
    >>> emboss()
    array([[ 2.,  1.,  0.],
           [ 1.,  1., -1.],
           [ 0., -1., -2.]], dtype=float32)
    """
    return np.array([[2, 1, 0], [1, 1, -1], [0, -1, -2]], np.float32)


def box(size: int = 3) -> NDArray[np.float32]:
    """The mean over a square: every tap is ``1 / size**2``.

    Parameters
    ----------
    size : int
        Pixels along each side. An even size has no middle: mode 'same' then reaches one pixel further to the right
        and down than to the left and up.

    Returns
    -------
    ndarray of float32, shape (size, size)

    Raises
    ------
    ValueError
        If `size` is less than 1.
    TypeError
        If `size` is not an integer.

    Examples
    --------
    >>> box(2)
    array([[0.25, 0.25],
           [0.25, 0.25]], dtype=float32)
    """
    try:
        count = operator.index(size)
    except TypeError:
        raise TypeError(f"size must be a positive integer; got {size!r}") from None
    if count < 1:
        raise ValueError(f"size must be a positive integer; got {size!r}")
    return np.full((count, count), 1 / count**2, np.float32)


def gaussian(sigma: float = 1.0, truncate: float = 4.0) -> NDArray[np.float32]:
    """The bell ``exp(-(x**2 + y**2) / (2 * sigma**2))``, cut off at a radius and scaled to the sum 1.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels.
    truncate : float
        Where to cut it off, in standard deviations: the radius is ``R = int(truncate * sigma + 0.5)`` pixels, as in
        `scipy.ndimage.gaussian_filter`.

    Returns
    -------
    ndarray of float32, shape (2 * R + 1, 2 * R + 1)
        Computed in float64 and rounded once.

    Raises
    ------
    ValueError
        If `sigma` or `truncate` is not positive and finite.

    Examples
    --------
    >>> gaussian(sigma=0.5, truncate=2).round(3)
    array([[0.011, 0.084, 0.011],
           [0.084, 0.619, 0.084],
           [0.011, 0.084, 0.011]], dtype=float32)
    >>> gaussian(sigma=2).shape
    (17, 17)
    """
    for name, value in (("sigma", sigma), ("truncate", truncate)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be a positive number; got {value!r}")
    radius = int(truncate * sigma + 0.5)
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    line /= line.sum()
    return np.outer(line, line).astype(np.float32)


def sobel_x() -> NDArray[np.float32]:
    """The slope to the right: positive where brightness grows with the column.

    A difference across two columns, smoothed over three rows [1]_. A slope of 1 a pixel gives 8.

    Returns
    -------
    ndarray of float32, shape (3, 3)

    References
    ----------
    .. [1] I. Sobel and G. Feldman, "A 3x3 isotropic gradient operator for image processing", talk at the Stanford
       Artificial Intelligence Project, 1968.

    Examples
    --------
    >>> sobel_x()
    array([[ 1.,  0., -1.],
           [ 2.,  0., -2.],
           [ 1.,  0., -1.]], dtype=float32)

    >>> import fastconv
    >>> fastconv.convolve2d([[10, 11, 12]] * 3, sobel_x(), "valid")
    array([[8.]])
    """
    return np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], np.float32)


def sobel_y() -> NDArray[np.float32]:
    """The slope downwards: `sobel_x` transposed, positive where brightness grows with the row.

    Returns
    -------
    ndarray of float32, shape (3, 3)

    Examples
    --------
    >>> sobel_y()
    array([[ 1.,  2.,  1.],
           [ 0.,  0.,  0.],
           [-1., -2., -1.]], dtype=float32)
    """
    return np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], np.float32)


def laplacian() -> NDArray[np.float32]:
    """The second derivatives along both axes, summed: the five-point stencil of the Laplace operator.

    It is exact for polynomials up to the third degree, and negative on a bright spot.

    Returns
    -------
    ndarray of float32, shape (3, 3)

    Examples
    --------
    >>> laplacian()
    array([[ 0.,  1.,  0.],
           [ 1., -4.,  1.],
           [ 0.,  1.,  0.]], dtype=float32)
    """
    return np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)


#: The functions above by the names that the command knows them by.
NAMES: Mapping[str, Callable[[], NDArray[np.float32]]] = MappingProxyType(
    {
        "edge": edge,
        "sharpen": sharpen,
        "emboss": emboss,
        "box": box,
        "gaussian": gaussian,
        "sobel-x": sobel_x,
        "sobel-y": sobel_y,
        "laplacian": laplacian,
    }
)


def named(name: str) -> NDArray[np.float32]:
    """The kernel of that name, in its default size.

    Parameters
    ----------
    name : str
        A key of `NAMES`.

    Returns
    -------
    ndarray of float32, 2-D

    Raises
    ------
    ValueError
        If there is no kernel of that name.

    Examples
    --------
    >>> named("box").shape
    (3, 3)
    """
    if name not in NAMES:
        raise ValueError(f"no kernel is called {name!r}; there are {', '.join(NAMES)}")
    return NAMES[name]()


def parse(text: str) -> NDArray[np.float32]:
    """A kernel typed as rows of numbers.

    Parameters
    ----------
    text : str
        Rows are separated by semicolons or ends of lines, numbers by blanks or commas. A number may be a fraction,
        ``1/9``. Blank rows do not count.

    Returns
    -------
    ndarray of float32, shape (rows, columns)

    Raises
    ------
    ValueError
        If there is no number, a number cannot be read or is not finite in float32, one is missing beside a comma, or
        rows differ in length.

    Examples
    --------
    >>> parse("1 2 1; 2 4 2; 1 2 1")
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]], dtype=float32)
    >>> parse("-1/2, 0, 1/2")
    array([[-0.5,  0. ,  0.5]], dtype=float32)
    """
    rows = [row.strip() for row in re.split(r"[;\r\n]", text)]
    numbers = [[_number(token) for token in re.split(r"\s*,\s*|\s+", row)] for row in rows if row]
    if not numbers:
        raise ValueError("kernel must not be empty; got no number")
    columns = len(numbers[0])
    for index, row in enumerate(numbers, 1):
        if len(row) != columns:
            raise ValueError(f"kernel must have rows of equal length; row 1 has {columns}, row {index} has {len(row)}")
    return np.array(numbers, np.float32)


def read(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """A kernel from a text file: rows as in `parse`, and comments from ``#`` to the end of a line.

    Parameters
    ----------
    path : path-like
        The file, in UTF-8.

    Returns
    -------
    ndarray of float32, shape (rows, columns)

    Raises
    ------
    ValueError
        As `parse`, with the path before the message; and if the file is not text.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "ramp.txt")
    ...     _ = path.write_text("# a ramp, one quarter at a time\\n1/4 2/4\\n3/4 4/4  # the last row\\n")
    ...     read(path)
    array([[0.25, 0.5 ],
           [0.75, 1.  ]], dtype=float32)
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.partition("#")[0] for line in file]
        return parse("\n".join(lines))
    except UnicodeDecodeError:
        raise ValueError(f"{os.fspath(path)}: not a text file in UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def quotient(text: str) -> float:
    """``1/9``, or any number that `float` reads; a ValueError if it is neither."""
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except ZeroDivisionError:
        raise ValueError(f"division by zero in {text!r}") from None


def _number(token: str) -> float:
    """A number or a quotient of two, that float32 can hold."""
    if not token:
        raise ValueError("kernel has a comma with no number beside it")
    try:
        value = quotient(token)
    except ValueError:
        raise ValueError(f"kernel must be made of numbers; got {token!r}") from None
    # The next float32 after the largest would be 2**128; what is nearer to that than to the largest rounds to infinity.
    if not abs(value) < 2.0**128 - 2.0**103:
        raise ValueError(f"kernel must be made of numbers finite in float32; got {token!r}")
    return value
