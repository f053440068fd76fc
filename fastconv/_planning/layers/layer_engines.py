"""The engines of layers, imported at first use."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from fastconv._planning import engine_loader
from fastconv._runtime.signals import deferred


class Engines(NamedTuple):
    """Modules of `_engines.layers`, and whether any of them takes a problem."""

    forward: ModuleType
    channelwise: ModuleType
    planewise: ModuleType
    spectral: ModuleType
    gradient: ModuleType
    planewise_gradient: ModuleType
    upsampling: ModuleType
    interleaving: ModuleType
    by_numpy: ModuleType
    supports: Any


_engines: Engines | None = None


def load() -> Engines:
    """Import the engines atomically, as `engine_loader.load` imports the others."""
    global _engines
    if _engines is None:
        with engine_loader.compiler_lock(), deferred():
            from fastconv._engines.layers import (
                channelwise_engine,
                depthwise_upsampling,
                interleaving,
                layer_engine,
                layer_input,
                layer_numpy,
                planewise_engine,
                planewise_gradient,
                spectral_engine,
                weight_gradient,
            )

            _engines = Engines(
                forward=layer_engine,
                channelwise=channelwise_engine,
                planewise=planewise_engine,
                spectral=spectral_engine,
                gradient=weight_gradient,
                planewise_gradient=planewise_gradient,
                upsampling=depthwise_upsampling,
                interleaving=interleaving,
                by_numpy=layer_numpy,
                supports=layer_input.supports,
            )
    return _engines
