"""Compiled leaves, each compiled once."""

from __future__ import annotations

import functools

from fastconv import _jit, _transfer


@functools.cache
def leaf(function, signature) -> int:
    """The address of a leaf."""
    return _jit.compile_leaf(function, signature)


def transfer_leaf(source, destination) -> int:
    """The address of `transfer` from one element type to another."""
    return leaf(_transfer.transfer, _transfer.signature(source, destination))
