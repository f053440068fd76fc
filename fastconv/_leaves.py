"""Compiled leaves, each compiled once; and what objects with addresses have in common."""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np

from fastconv import _finish, _jit, _pixels, _premultiplied, _transfer
from fastconv._arguments import Finish


@_jit.once
def leaf(function, signature) -> int:
    """The address of a leaf."""
    return _jit.compile_leaf(function, signature)


def transfer_leaf(source, destination, swapped: bool = False) -> int:
    """The address of `transfer` from one element type, whose byte order may be the other one, to another."""
    function = _transfer.transfer_swapped if swapped else _transfer.transfer
    return leaf(function, _transfer.signature(source, destination))


def pack_leaf(finish: Finish | None, source, destination, swapped: bool = False) -> int:
    """The address of what takes samples from the input."""
    if finish is not None and finish.premultiplied:
        function = _premultiplied.pack_swapped if swapped else _premultiplied.pack
        return leaf(function, _premultiplied.signature(source, destination))
    return transfer_leaf(source, destination, swapped)


def store_leaf(finish: Finish | None, source, destination) -> int:
    """The address of what takes results to the output."""
    if finish is None:
        return transfer_leaf(source, destination)
    if finish.premultiplied:
        return leaf(_premultiplied.finish, _premultiplied.signature(source, destination))
    return leaf(_finish.finish, _finish.signature(source, destination))


def refuse_copies(holder: object) -> NoReturn:
    """Refuse to copy or pickle an object that holds addresses: a copy would have them, and not what lies there."""
    name = type(holder).__name__
    raise TypeError(f"{name} holds addresses and cannot be copied or pickled; a plan of fastconv.plan can")


def told(finish: Finish | None, compute) -> np.ndarray | None:
    """What that is told, if anything."""
    if finish is None:
        return None
    numbers = np.zeros(_pixels.TOLD, _pixels.real_of(compute).name)
    numbers[[_pixels.BIAS, _pixels.UNIT, _pixels.SCALE, _pixels.OFFSET]] = finish[:4]
    numbers[_pixels.RECIPROCAL] = 1 / finish.scale
    numbers[_pixels.WAY] = _pixels.QUOTIENT
    if finish.plain:
        numbers[_pixels.WAY] = _pixels.PLAIN
    elif abs(math.frexp(finish.scale)[0]) == 0.5:  # a power of two: no quotient is more exact than the product
        numbers[_pixels.UNIT], numbers[_pixels.WAY] = finish.unit / finish.scale, _pixels.PRODUCT
    return numbers
