"""NumPy operations in chunks: coverage, sizes, results."""

import math
import os
import signal
import sys
import threading

import numpy as np
import pytest

from fastconv._runtime import interruptible_numpy

SHAPES = [(), (1,), (7,), (100,), (3, 5), (1, 100), (100, 1), (7, 11, 13), (2, 3, 5, 7), (50, 1, 3), (4, 0, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("most", [1, 2, 6, 10, 11, 1000])
def test_chunks_cover_each_element_once_in_order(shape, most):
    count = np.zeros(shape, int)
    order = []
    for chunk in interruptible_numpy.chunk_slices(shape, most):
        count[chunk] += 1
        assert count[chunk].size <= most
        order += np.arange(math.prod(shape)).reshape(shape)[chunk].ravel().tolist()
    assert (count == 1).all()
    assert order == sorted(order)


def test_chunks_are_as_large_as_possible():
    assert len(list(interruptible_numpy.chunk_slices((100, 100), 1000))) == 10
    assert len(list(interruptible_numpy.chunk_slices((3, 100), 1000))) == 1
    assert len(list(interruptible_numpy.chunk_slices((2000,), 1000))) == 2


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(interruptible_numpy, "CHUNK_ELEMENTS", 10)


@pytest.mark.usefixtures("small_chunks")
def test_copy_add_and_converted_equal_numpy():
    x = np.arange(60.0).reshape(3, 4, 5)
    for source in (x, x.transpose(2, 0, 1), x[::-1, ::2], np.broadcast_to(x[0, 0], (6, 5))):
        target = np.empty(source.shape)
        interruptible_numpy.copy(target, source)
        np.testing.assert_array_equal(target, source)
        converted = interruptible_numpy.converted(source, np.dtype(np.int16))
        assert converted.dtype == np.int16
        np.testing.assert_array_equal(converted, source)
        interruptible_numpy.add(target, source)
        np.testing.assert_array_equal(target, 2 * source)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("place", [0, 9, 10, 37, 59])
def test_is_finite_finds_non_finite_values_at_any_position(place):
    x = np.ones(60)
    assert interruptible_numpy.is_finite(x.reshape(4, 15))
    for value in (np.nan, np.inf, -np.inf):
        x[place] = value
        assert not interruptible_numpy.is_finite(x.reshape(4, 15))


def test_zeros_equals_numpy(monkeypatch):
    monkeypatch.setattr(interruptible_numpy, "CHUNKED_BYTES", 100)
    for shape in ((10,), (50, 7)):
        zeros = interruptible_numpy.zeros(shape, "f4")
        assert (zeros.dtype, zeros.shape, zeros.any()) == (np.float32, shape, False)


def test_decompositions_of_matrices_of_any_size(monkeypatch):
    for rows in (3, interruptible_numpy.LARGE_MATRIX):
        matrix = np.random.default_rng(1).standard_normal((rows, rows))
        values, vectors = interruptible_numpy.decomposed(np.linalg.eigh, matrix + matrix.T)
        np.testing.assert_allclose((matrix + matrix.T) @ vectors, values * vectors, atol=1e-10)
        right = interruptible_numpy.decomposed(np.linalg.qr, matrix, mode="r")
        np.testing.assert_allclose(right.T @ right, matrix.T @ matrix, atol=1e-10)
        with pytest.raises(np.linalg.LinAlgError):
            interruptible_numpy.decomposed(np.linalg.inv, np.zeros((rows, rows)))


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to processes")
def test_an_interrupt_does_not_wait_for_a_decomposition():
    running, release, ended = threading.Event(), threading.Event(), threading.Event()

    def lasting(matrix):
        running.set()
        release.wait()
        ended.set()

    def interrupt():
        running.wait()
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            interruptible_numpy.decomposed(lasting, np.empty((interruptible_numpy.LARGE_MATRIX, 1)))
        assert not ended.is_set()
    finally:
        signal.signal(signal.SIGINT, before)
        release.set()
        thread.join()
    assert ended.wait(60)
