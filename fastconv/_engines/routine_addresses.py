"""Addresses of the routines that pack and store samples, and of the parameters of rescaling."""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np
from numba import types

from fastconv._engines.compiled_routines import compiled_routine, transfer_routine
from fastconv._microkernels.missing import missing_samples
from fastconv._microkernels.pictures import alpha_premultiplication, rescaling
from fastconv._model.problem import Finish, Pairs, Problem
from fastconv._simd import pixel_vectors


def pack_routine(finish: Finish | None, source, destination, swapped: bool = False) -> int:
    """Address of the routine that packs samples of the input."""
    if finish is not None and finish.premultiplied:
        function = alpha_premultiplication.pack_swapped if swapped else alpha_premultiplication.pack
        return compiled_routine(function, alpha_premultiplication.signature(source, destination))
    return transfer_routine(source, destination, swapped)


def store_routine(finish: Finish | None, source, destination) -> int:
    """Address of the routine that stores results in the output."""
    if finish is None:
        return transfer_routine(source, destination)
    if finish.premultiplied:
        return compiled_routine(alpha_premultiplication.finish, alpha_premultiplication.signature(source, destination))
    return compiled_routine(rescaling.finish, rescaling.signature(source, destination))


def pack_pairs_routine(pairs: Pairs, source, destination, swapped: bool, apart: bool = False) -> int:
    """Address of the routine that packs samples as pairs with their weights, side by side or `apart`."""
    return compiled_routine(
        missing_samples.PACKS[swapped, pairs.ignores_nan, apart], missing_samples.signature(source, destination)
    )


# Types of arrays of weights that a compiled routine reads.
WEIGHTS = {"?": types.boolean, "f": types.float32, "d": types.float64}


def weigh_routine(pairs: Pairs, destination, apart: bool = False) -> int:
    """Address of the routine that multiplies pairs by weights; 0 for none."""
    if pairs.weights is None:
        return 0
    function = missing_samples.weigh_apart_pairs if apart else missing_samples.weigh
    return compiled_routine(function, missing_samples.signature(WEIGHTS[pairs.weights.char], destination))


def divide_routine(pairs: Pairs, finish: Finish | None, source, destination, apart: bool = False) -> int:
    """Address of the routine that divides sums of pairs, and stores the results in the output."""
    function = missing_samples.DIVISIONS[pairs.normalize, finish is not None, apart]
    return compiled_routine(function, missing_samples.divide_signature(source, destination))


def refuse_copies(holder: object) -> NoReturn:
    """Refuse to copy or pickle an object that holds addresses: a copy would not keep that memory alive."""
    name = type(holder).__name__
    raise TypeError(f"{name} holds addresses and cannot be copied or pickled; a plan of fastconv.plan can")


def rescale_parameters(finish: Finish | None, compute) -> np.ndarray | None:
    """Parameters of rescaling for `finish`, in the type of that computation; None if sums are the result."""
    if finish is None:
        return None
    numbers = np.zeros(pixel_vectors.PARAMETERS, pixel_vectors.real_of(compute).name)
    numbers[[pixel_vectors.BIAS, pixel_vectors.UNIT, pixel_vectors.SCALE, pixel_vectors.OFFSET]] = finish[:4]
    numbers[pixel_vectors.RECIPROCAL] = 1 / finish.scale
    numbers[pixel_vectors.METHOD] = pixel_vectors.QUOTIENT
    if finish.plain:
        numbers[pixel_vectors.METHOD] = pixel_vectors.PLAIN
    elif abs(math.frexp(finish.scale)[0]) == 0.5:  # a power of two: the product is as exact as the quotient
        numbers[pixel_vectors.UNIT], numbers[pixel_vectors.METHOD] = finish.unit / finish.scale, pixel_vectors.PRODUCT
    return numbers


def pair_bytes(problem: Problem, dtype) -> np.ndarray:
    """16 bytes: the fill value of a problem and its weight, 1, each at the start of 8 bytes; zeros without one."""
    parts = np.zeros((2, 8), np.uint8)
    if problem.fills:
        with np.errstate(all="ignore"):
            for part, number in zip(parts.view(dtype.name), (problem.fill_value, 1)):
                part[0] = number
    return parts.reshape(16)


def fill_bytes(problem: Problem, dtype) -> np.ndarray:
    """16 bytes: the real and the imaginary part of a problem's fill value, each at the start of 8 bytes; else zeros."""
    parts = np.zeros((2, 8), np.uint8)
    if problem.fills:
        with np.errstate(all="ignore"):
            value = np.asarray(problem.fill_value, problem.sums)
            if problem.sums.kind == "u":  # modulo 2**n, as small as possible
                value = value.view(f"i{problem.sums.itemsize}")
            for part, number in zip(parts.view(dtype.name), (value.real, value.imag)):
                part[0] = number.astype(dtype.name)
    return parts.reshape(16)
