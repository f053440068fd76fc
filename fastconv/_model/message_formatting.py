"""Error messages: format the offending value."""

from __future__ import annotations

import reprlib

import numpy as np

from fastconv._model.passed_exceptions import is_from_signal_handler

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxother = _SHORT.maxstring = _SHORT.maxlong = 80
_MAX_CHARACTERS = 200
# Larger arrays are described by shape and dtype.
_MAX_ELEMENTS = 16


def shown(value) -> str:
    """Format `value` for a message: its `repr`, shortened, or its type if the `repr` fails."""
    try:
        if isinstance(value, np.ndarray) and value.size > _MAX_ELEMENTS:
            text = f"an array of shape {value.shape} and dtype {value.dtype}"
        else:
            text = _SHORT.repr(value)
    except Exception as error:  # The user's `repr` may raise; do not mask the real error.
        if is_from_signal_handler(error):
            raise
        text = f"a value of type {type(value).__name__}"
    return clipped(text)


def clipped(text: object) -> str:
    """Shorten the text of a string, a type or an exception."""
    try:
        words = str(text)
    except Exception as error:  # The `__str__` of a user's exception may raise, too.
        if is_from_signal_handler(error):
            raise
        words = type(text).__name__
    return words if len(words) <= _MAX_CHARACTERS else f"{words[:_MAX_CHARACTERS]}..."


def one_of(values) -> str:
    """List the allowed values: ``'a', 'b' or 'c'``."""
    *most, last = map(repr, values)
    return f"{', '.join(most)} or {last}"


def raised_in_c(error: Exception) -> bool:
    """True if a caught exception comes from C code, NumPy's for instance, and not from a method in Python."""
    return error.__traceback__ is None or error.__traceback__.tb_next is None
