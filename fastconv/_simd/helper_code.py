"""Compile helpers of kernels for linking only: Numba would optimise each, and make it machine code that nothing calls.

The code of a kernel is optimised with that of all helpers that it calls, at every depth. Without this, a first call
takes a quarter to two thirds longer.
"""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _HelperCode(JITCodeLibrary):
    """Code to be linked into that of callers, its functions simplified one by one.

    Without that, which is left to Numba, magnitudes of gradients took 5 to 6 % longer to run.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0  # as of any function without a wrapper for Python

    @property
    def codegen(self) -> _HelperCode:
        return self  # Numba asks for this to set an environment

    def set_env(self, name: str, environment: object) -> None:
        """Set nothing: only code that handles Python objects reads an environment."""


class HelperCompiler(Compiler):
    """Numba's compiler, with `_HelperCode` for its results."""

    def define_pipelines(self) -> Any:
        self.state.library = _HelperCode(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return super().define_pipelines()
