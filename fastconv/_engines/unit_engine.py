"""Engines whose job is divided into units, which threads take one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, NoReturn, SupportsIndex

import numpy as np

from fastconv._engines import cost_model, scheduler
from fastconv._engines.routine_addresses import refuse_copies
from fastconv._microkernels import unit_loop
from fastconv._simd import compilation


class UnitEngine:
    """An engine with a job, its tables, and the compiled loop that runs it."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    def _set_job(
        self,
        job: np.ndarray,
        run: Callable,
        tables: Mapping[str, np.ndarray],
        units: int,
        products: int,
        scratch_bytes: int,
    ) -> None:
        """Set the job, which has addresses of the tables; its units have so many products in all."""
        self._job, self._run, self._tables = job, run, tables
        products += units * cost_model.PRODUCTS_OF_A_PIECE
        self._units, self._products, self._scratch_bytes = units, products, scratch_bytes
        self.nbytes = job.nbytes + sum(table.nbytes for table in tables.values())
        self._alone = units == 1 or products < cost_model.PRODUCTS_FOR_THREADS
        if not self._alone:
            scheduler.epoch_waiter()

    def _threads(self, workers: int | None) -> int:
        """How many threads run the job."""
        return 1 if self._alone else scheduler.threads_for(self._units, workers)

    def _compute(self, arrays: tuple[Any, ...], maps: tuple[np.ndarray, np.ndarray], threads: int) -> bool:
        """Run the job on arrays that are pinned; the two of `maps` may be in mapped files."""
        limit = max(1, cost_model.PRODUCTS_BETWEEN_SIGNALS * self._units // max(1, self._products))
        limit, after_call = scheduler.pieces_per_call(limit, self._units, threads, maps)

        def step(progress, max_spins, scratch):
            return self._run(*arrays, self._job, progress, limit, max_spins, scratch)

        return scheduler.run(step, self._units, self._scratch_bytes, threads, after_call=after_call)


@compilation.once
def compiled_loop() -> Callable:
    """The loop of engines of layers and of windows, which releases the GIL itself."""
    return compilation.compile_entry(unit_loop.run, unit_loop.signature(), nogil=False)


@compilation.once
def unit_routine(function: Callable) -> int:
    """Address of the compiled routine that computes a unit."""
    return compilation.compile_routine(function, unit_loop.unit_signature())
