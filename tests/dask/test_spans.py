"""Plans of parts of results, between inaccessible pages."""

import itertools

import numpy as np
import pytest

import fastconv
from fastconv.dask._layout import batch_rows, convolved_rows
from tests.dask.test_dask import random_call, random_chunks
from tests.guarded_arrays import Region


@pytest.mark.parametrize("seed", range(10, 12))
def test_parts_stay_in_their_arrays(seed):
    rng, region, results = np.random.default_rng(seed), Region(1 << 20), Region(1 << 20)
    done = 0
    while done < 8:
        name, x, kernel, options = random_call(rng)
        if kernel.ndim > len(options["axes"]):
            continue
        try:
            whole = getattr(fastconv, name)(x, kernel, **options)
            plan = fastconv.plan(kernel, x.shape, x.dtype, correlate=name == "correlate", **options)
        except ValueError:
            continue
        if not plan.takes_spans:
            continue
        chunks = [random_chunks(rng, extent) for extent in x.shape]
        rows = [batch_rows(sizes, extent) for sizes, extent in zip(chunks, whole.shape)]
        for sweep in plan.sweeps:
            rows[sweep.axis] = convolved_rows(chunks[sweep.axis], sweep)
        firsts = [np.cumsum([0, *(row.outputs for row in each)]) for each in rows]
        for index in itertools.product(*(range(len(each)) for each in rows)):
            part, chosen = x, [each[i] for each, i in zip(rows, index)]
            for axis, row in enumerate(chosen):
                part = part.take(np.concatenate([np.arange(*each) for each in row.ranges]), axis)
            spans = tuple((chosen[sweep.axis].outputs, chosen[sweep.axis].start) for sweep in plan.sweeps)
            upper = bool(rng.integers(2))
            samples, _ = region.filled(part.astype(x.dtype, copy=False), upper=upper)
            out = results.empty(tuple(row.outputs for row in chosen), plan.dtype, upper=upper)
            plan.part(part.shape, spans).made()(samples, out)
            where = tuple(slice(first[i], first[i + 1]) for first, i in zip(firsts, index))
            np.testing.assert_array_equal(out, whole[where])
            assert results.untouched(out)
        done += 1
