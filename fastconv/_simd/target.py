"""The processor that code is compiled for: vector width, registers, fused multiply-add."""

from __future__ import annotations

import functools
from typing import NamedTuple

from numba.core.registry import cpu_target


class Processor(NamedTuple):
    """Properties of the target processor that decide the shape of the generated code."""

    name: str
    vector_bytes: int
    registers: int
    fma: bool

    def lanes(self, bits: int) -> int:
        """Elements of `bits` bits in a vector register."""
        return 8 * self.vector_bytes // bits

    @property
    def vector_constraint(self) -> str:
        """The constraint of inline assembly for a vector register."""
        return "v" if self.vector_bytes == 64 else "w" if self.registers == 32 else "x"


@functools.cache
def processor() -> Processor:
    """Return the target processor; ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` override the host."""
    triple, name, features = cpu_target.target_context.codegen().magic_tuple()
    enabled = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    if "avx512f" in enabled:
        return Processor(name, 64, 32, True)
    if "avx2" in enabled:
        return Processor(name, 32, 16, "fma" in enabled)
    if triple.startswith(("aarch64", "arm64")):
        return Processor(name, 16, 32, True)
    return Processor(name, 16, 16, "fma" in enabled)
