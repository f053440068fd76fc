"""Plans of layers."""

import copy
import pickle
import threading

import numpy as np
import pytest

from fastconv import layers
from fastconv._model.layer_problem import Geometry, problem_of
from fastconv._planning import engine_loader
from tests.layers.oracle import expected, whole_numbers


def test_a_plan_takes_batches_of_any_size():
    rng = np.random.default_rng(0)
    weights, bias = whole_numbers(rng, (20, 3, 3, 3), "f4"), whole_numbers(rng, 20, "f4")
    plan = layers.plan2d(weights, bias, stride=2, padding=1)
    expect = weights.copy(), bias.copy()
    weights[:], bias[:] = 0, 0  # copied
    for shape in ((1, 3, 5, 5), (4, 3, 9, 31), (2, 3, 1, 1)):
        x = whole_numbers(rng, shape, "f4")
        np.testing.assert_array_equal(plan(x), expected(x, *expect, stride=2, padding=1))
    x = whole_numbers(rng, (3, 8, 8), "f4")
    out = np.empty((20, 4, 4), np.float32)
    assert plan(x, out) is out
    np.testing.assert_array_equal(out, expected(x[None], *expect, stride=2, padding=1)[0])


def test_layers_of_the_same_sizes_may_differ_in_layout_and_finiteness():
    rng = np.random.default_rng(2)
    x = whole_numbers(rng, (2, 3, 6, 7), "f4")
    finite = whole_numbers(rng, (4, 3, 3, 3), "f4")
    infinite = finite.copy()
    infinite[1, 2, 0, 1] = np.inf
    misaligned = np.empty(2 * 4 * 6 * 7 * 4 + 1, np.uint8)[1:].view("f4").reshape(2, 4, 6, 7)
    for weights in (finite, infinite, finite):
        plan, expect = layers.plan2d(weights, padding=1), expected(x, weights, padding=1)
        for given in (x, x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2), np.repeat(x, 2, 3)[..., ::2]):
            for out in (None, misaligned, np.empty((2, 4, 6, 14), "f4")[..., ::2]):
                np.testing.assert_array_equal(plan(given, out), expect)


@pytest.mark.parametrize(("dtype", "weights_dtype"), [("u1", "i1"), ("f8", ">f4"), ("c8", "f4"), (">f4", "f8")])
def test_pickled_plans(dtype, weights_dtype):
    rng = np.random.default_rng(1)
    x, weights = whole_numbers(rng, (2, 4, 6, 7), dtype), whole_numbers(rng, (6, 2, 3, 3), weights_dtype)
    plan = layers.plan2d(weights, [1] * 6, dtype, groups=2, padding=1, padding_mode="fill", fill_value=3)
    expect = expected(x, weights, [1] * 6, groups=2, padding=1, padding_mode="fill", fill_value=3)
    for each in (plan, pickle.loads(pickle.dumps(plan)), copy.copy(plan), copy.deepcopy(plan)):
        np.testing.assert_array_equal(each(x), expect)
        assert (each.x_dtype, each.dtype) == (plan.x_dtype, plan.dtype)
    assert plan.nbytes > weights.nbytes
    assert "stride (1, 1)" in repr(plan)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
@pytest.mark.parametrize("groups", [1, 64])
def test_packed_weights_are_copies(kernel, groups):
    # A worker that is late holds them when the caller resizes the array.
    weights, bias = np.ones((64, 64 // groups, *kernel), np.float32), np.ones(64, np.float32)
    x = np.ones((1, 64, 8, 8), np.float32)
    problem = problem_of(weights, x, (4, 4), x.dtype, Geometry((0, 0), groups=groups))
    engines = engine_loader.load()
    kind = engines.channelwise_engine if engines.channelwise_engine.supports(problem) else engines.layer_engine
    packed = kind.engine_of(problem).pack(weights, bias)
    assert not np.shares_memory(packed.weights, weights)
    assert not np.shares_memory(packed.bias, bias)


def test_plans_are_immutable():
    plan = layers.plan2d(np.ones((1, 1, 1, 1)))
    with pytest.raises(AttributeError, match="a plan cannot be changed, so dtype cannot be set"):
        plan.dtype = None
    with pytest.raises(AttributeError, match="a plan cannot be changed, so dtype cannot be deleted"):
        del plan.dtype


def test_the_dtype_of_a_plan():
    plan = layers.plan2d(np.ones((1, 1, 1, 1)))
    with pytest.raises(ValueError, match="x must have dtype float64, which the plan was made for; got float32"):
        plan(np.ones((1, 2, 2), np.float32))
    assert plan(np.ones((1, 2, 2), ">f8")).dtype == np.float64
    with pytest.raises(TypeError, match="dtype must be a type of numbers; got object"):
        layers.plan2d(np.ones((1, 1, 1, 1)), dtype=object)


def test_a_plan_in_several_threads():
    rng = np.random.default_rng(2)
    plan = layers.plan2d(whole_numbers(rng, (40, 16, 3, 3), "f4"), padding=1)
    batches = [whole_numbers(rng, (2, 16, 20, 20 + k), "f4") for k in range(6)]
    results = {}

    def work(k):
        for _ in range(5):
            results[k] = plan(batches[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, x in enumerate(batches):
        np.testing.assert_array_equal(results[k], plan(x))
