"""Weights of a layer, and what is made of them for its engines: packed once, and kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._planning.half_precision import SINGLE
from fastconv._runtime.interruptible_numpy import chunk_slices, converted, is_finite


class Weights:
    """Weights of shape (outputs, channels of a group, rows, columns) and a bias; what is made of them is kept.

    A bias is of the type of the result. Weights that are a view of others are finite if those are. Those of a single
    call may be packed by the units of the layer, which keep nothing.
    """

    def __init__(
        self,
        array: np.ndarray,
        bias: np.ndarray | None = None,
        whole: Weights | None = None,
        is_used_once: bool = False,
    ):
        self.array, self.bias, self._whole, self.is_used_once = array, bias, whole, is_used_once
        self._packed: dict[tuple, Any] = {}
        self._is_finite: bool | None = None
        self._parts: tuple[Weights, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the weights and of what is made of them."""
        own = self.array.nbytes + (0 if self.bias is None else self.bias.nbytes)
        return own + sum(packed.nbytes for packed in self._packed.values()) + sum(part.nbytes for part in self._parts)

    def packed(self, engine: Any) -> Any:
        """The weights as an engine reads them."""
        found = self._packed.get(engine.packing)
        if found is None:
            found = self._packed[engine.packing] = engine.pack(self.array, self.bias, not self.is_used_once)
        return found

    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        if self._is_finite is None:
            self._is_finite = is_finite(self.array) if self._whole is None else self._whole.is_finite()
        return self._is_finite

    def parts(self) -> tuple[Weights, ...]:
        """The real and the imaginary part, without the bias; or the weights themselves, if they are real."""
        if self.array.dtype.kind != "c":
            return (self if self.bias is None else Weights(self.array),)
        if not self._parts:
            self._parts = Weights(self.array.real), Weights(self.array.imag)
        return self._parts

    def in_single(self) -> Weights:
        """The weights, with their bias, in single precision."""
        if not self._parts:
            bias = None if self.bias is None else converted(self.bias, SINGLE)
            self._parts = (Weights(converted(self.array, SINGLE), bias),)
        return self._parts[0]

    def fill_with_bias(self, out: np.ndarray) -> None:
        """Set each channel of `out`, of the order (number, channels, ...), to its bias, or to 0 if there is none."""
        around = (1,) * (out.ndim - 2)
        for chunk in chunk_slices(out.shape):
            out[chunk] = 0 if self.bias is None else self.bias[chunk[1]].reshape(-1, *around)
