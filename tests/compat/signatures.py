"""Signatures of drop-ins and of the functions that they replace."""

import inspect


def parameters(function):
    """Name, kind and default of each parameter."""
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]
