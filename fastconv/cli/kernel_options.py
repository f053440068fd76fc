"""Options for the parameters of named kernels: ``--kernel gaussian --sigma 5``, or ``--kernel gaussian:sigma=5``."""

from __future__ import annotations

import argparse
import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import kernels
from fastconv._model.missing_data import KernelSums


def parameters(make: Callable) -> dict[str, Any]:
    """Parameters of a function for a kernel that are options, with their defaults."""
    signature = inspect.signature(make)
    return {name: one.default for name, one in signature.parameters.items() if name != "dtype"}


def _owners() -> dict[str, list[str]]:
    """Names of the kernels that have each parameter."""
    found: dict[str, list[str]] = {}
    for kernel, make in kernels.NAMES.items():
        for name in parameters(make):
            found.setdefault(name, []).append(kernel)
    return found


OWNERS = _owners()
OPTIONS = tuple(f"--{name}" for name in OWNERS)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each parameter of the named kernels."""
    group = parser.add_argument_group("parameters of named kernels")
    for name, owners in OWNERS.items():
        group.add_argument(f"--{name}", metavar="V", type=value, help=f"of {', '.join(owners)}")


def named(text: str, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return the name of a kernel, and the parameters that `text` and `options` give.

    Raises
    ------
    ValueError
        If the kernel does not have one of them, or one is given twice.
    """
    name, colon, rest = text.strip().partition(":")
    name = name.replace("_", "-")
    given = _in_text(text, rest) if colon else {}
    in_text = {*given}
    for parameter in OWNERS:
        number = getattr(options, parameter)
        if number is not None:
            if parameter in given:
                raise ValueError(f"argument --{parameter}: is also in --kernel {text}")
            given[parameter] = number
    known = parameters(kernels.NAMES[name]) if name in kernels.NAMES else given
    for parameter in given:
        if parameter not in known:
            takes = f"takes {', '.join(known)}" if known else "has no parameters"
            option = "kernel" if parameter in in_text else parameter
            raise ValueError(f"argument --{option}: kernel {name} {takes}; got {parameter}")
    return name, given


def check_unused(options: argparse.Namespace) -> None:
    """Refuse parameters where the kernel is given by its taps."""
    for parameter in OWNERS:
        if getattr(options, parameter) is not None:
            raise ValueError(f"argument --{parameter}: is for named kernels only")


def _in_text(text: str, rest: str) -> dict[str, Any]:
    """Parameters in the short form: ``sigma=2,3,truncate=5``."""
    given: dict[str, Any] = {}
    for assignment in re.split(r",(?=\s*[A-Za-z_])", rest):
        parameter, equals, number = (part.strip() for part in assignment.partition("="))
        if not equals or not parameter.isidentifier():
            raise ValueError(f"argument --kernel: must be NAME:PARAMETER=VALUE,...; got {text!r}")
        if parameter in given:
            raise ValueError(f"argument --kernel: {parameter} is given twice in {text!r}")
        try:
            given[parameter] = value(number)
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"argument --kernel: {parameter} {error}") from None
    return given


def check_sum(taps: Mapping[np.dtype, NDArray], argument: str) -> None:
    """Refuse, where pixels may be missing, kernels whose taps add up to 0: results are divided by sums of taps."""
    wrong = 0
    for dtype, kernel in taps.items():
        KernelSums.of(kernel, (dtype,), normalize=False)  # other faults have other errors
        try:
            KernelSums.of(kernel, (dtype,), normalize=True)
        except ValueError:
            wrong += 1
    if wrong == len(taps):
        raise ValueError(f"argument {argument}: is for kernels whose taps do not add up to 0")


def value(text: str) -> float | tuple[float, ...]:
    """Parse a number, or several for the axes, as ``2,3``; whole numbers become integers."""
    numbers = []
    for part in text.split(","):
        try:
            number = kernels.quotient(part.strip())
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise argparse.ArgumentTypeError(f"must be a finite number, or rows,columns; got {text!r}")
        numbers.append(int(number) if number == int(number) else number)
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def described(defaults: Mapping[str, Any]) -> str:
    """The parameters of a kernel with their defaults, as text."""
    return ", ".join(name if default is None else f"{name}={default:g}" for name, default in defaults.items())
