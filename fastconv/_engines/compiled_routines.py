"""Addresses of compiled routines, each compiled once."""

from __future__ import annotations

from fastconv._microkernels import transfers
from fastconv._simd import compilation


@compilation.once
def compiled_routine(function, signature) -> int:
    """Address of a compiled routine."""
    return compilation.compile_routine(function, signature)


def transfer_routine(source, destination, swapped: bool = False) -> int:
    """Address of the routine that copies and converts elements, from the opposite byte order if `swapped`."""
    function = transfers.transfer_swapped if swapped else transfers.transfer
    return compiled_routine(function, transfers.signature(source, destination))
