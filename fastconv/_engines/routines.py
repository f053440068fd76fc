"""Compiled leaves, each compiled once; and what objects with addresses have in common."""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np

from fastconv._microkernels import premultiplication, rescaling, transfers
from fastconv._model.problem import Finish
from fastconv._simd import compilation, pixel_vectors


@compilation.once
def leaf(function, signature) -> int:
    """The address of a leaf."""
    return compilation.compile_routine(function, signature)


def transfer_leaf(source, destination, swapped: bool = False) -> int:
    """The address of `transfer` from one element type, whose byte order may be the other one, to another."""
    function = transfers.transfer_swapped if swapped else transfers.transfer
    return leaf(function, transfers.signature(source, destination))


def pack_leaf(finish: Finish | None, source, destination, swapped: bool = False) -> int:
    """The address of what takes samples from the input."""
    if finish is not None and finish.premultiplied:
        function = premultiplication.pack_swapped if swapped else premultiplication.pack
        return leaf(function, premultiplication.signature(source, destination))
    return transfer_leaf(source, destination, swapped)


def store_leaf(finish: Finish | None, source, destination) -> int:
    """The address of what takes results to the output."""
    if finish is None:
        return transfer_leaf(source, destination)
    if finish.premultiplied:
        return leaf(premultiplication.finish, premultiplication.signature(source, destination))
    return leaf(rescaling.finish, rescaling.signature(source, destination))


def refuse_copies(holder: object) -> NoReturn:
    """Refuse to copy or pickle an object that holds addresses: a copy would have them, and not what lies there."""
    name = type(holder).__name__
    raise TypeError(f"{name} holds addresses and cannot be copied or pickled; a plan of fastconv.plan can")


def told(finish: Finish | None, compute) -> np.ndarray | None:
    """What that is told, if anything."""
    if finish is None:
        return None
    numbers = np.zeros(pixel_vectors.PARAMETERS, pixel_vectors.real_of(compute).name)
    numbers[[pixel_vectors.BIAS, pixel_vectors.UNIT, pixel_vectors.SCALE, pixel_vectors.OFFSET]] = finish[:4]
    numbers[pixel_vectors.RECIPROCAL] = 1 / finish.scale
    numbers[pixel_vectors.METHOD] = pixel_vectors.QUOTIENT
    if finish.plain:
        numbers[pixel_vectors.METHOD] = pixel_vectors.PLAIN
    elif abs(math.frexp(finish.scale)[0]) == 0.5:  # a power of two: no quotient is more exact than the product
        numbers[pixel_vectors.UNIT], numbers[pixel_vectors.METHOD] = finish.unit / finish.scale, pixel_vectors.PRODUCT
    return numbers
