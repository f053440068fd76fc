"""Ctrl-C and other signals: raised soon, deferred during compilation; other Python threads run meanwhile."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import image
from fastconv._runtime import signals
from fastconv.compat import ndimage
from fastconv.compat import signal as compat
from tests.lasting import lasting
from tests.sample_calls import succeed

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

# Enlarges a job until it lasts long enough, repeats it, and interrupts it at three points, twice at each. Prints
# whether the interrupt was raised long before the end of the job, whether the output was unchanged after it, and the
# times of both in milliseconds.
INTERRUPTED = """
import os, signal, sys, threading, time, traceback
import numpy as np
import fastconv
from fastconv import image
from tests.lasting import lasting

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have set it to be ignored
rng = np.random.default_rng(1)

def ones(*shape, dtype="f4"):
    return np.ones(shape, dtype)

def direct(n):
    x, kernel, out = ones(2000, 2000), ones(n, n), ones(2000, 2000)
    return lambda: fastconv.convolve2d(x, kernel, "same", method="direct", out=out), out

def few_pieces(n):
    x, kernel, out = ones(5 * n), ones(4 * n), ones(5 * n)
    return lambda: fastconv.convolve1d(x, kernel, "same", method="direct", out=out), out

def separable(n):
    x, kernel, out = np.broadcast_to(ones(8000), (8000, 8000)), ones(n, n), ones(8000, 8000)
    return lambda: fastconv.convolve2d(x, kernel, "same", method="separable", out=out, workers=1), out

def fft(n):
    x, kernel, out = np.broadcast_to(ones(n), (n, n)), rng.random((61, 61), dtype="f4"), ones(n, n)
    return lambda: fastconv.convolve2d(x, kernel, "same", method="fft", out=out, workers=1), out

def one_tile(n):
    x, kernel, out = ones(2 * n), ones(n), ones(2 * n)
    return lambda: fastconv.convolve1d(x, kernel, "same", method="fft", out=out), out

def digits(n):
    x, out = np.broadcast_to(rng.integers(-2**62, 2**62, n), (n, n)), ones(n, n, dtype="i8")
    kernel = rng.integers(-2**62, 2**62, (41, 41))
    return lambda: fastconv.convolve2d(x, kernel, "same", method="fft", out=out, workers=1), out

def tap_by_tap(n):
    x, kernel, out = ones(2000, 2000), ones(n, n, dtype="g"), ones(2000, 2000, dtype="g")
    return lambda: fastconv.convolve2d(x, kernel, "same", out=out), out

def half(n):
    x, kernel, out = ones(n, n, dtype="f2"), ones(61, 61, dtype="f2"), ones(n, n, dtype="f2")
    return lambda: fastconv.convolve2d(x, kernel, "same", method="direct", out=out), out

def picture(n):
    x, kernel = np.broadcast_to(ones(n, 3, dtype="u1"), (n, n, 3)), rng.random((23, 23))
    out = ones(n, n, 3, dtype="u1")
    return lambda: image.filter(x, kernel, out=out, workers=1), out

def volume(n):
    x, out = np.broadcast_to(ones(400), (400, 500, 400)), ones(400, 500, 400)
    return lambda: image.gaussian_blur(x, n, axes=(0, 1, 2), out=out, workers=1), out

def volume_fft(n):
    x, kernel, out = np.broadcast_to(ones(n), (n, n, n)), rng.random((21, 21, 21), dtype="f4"), ones(n, n, n)
    return lambda: fastconv.convolve3d(x, kernel, "same", method="fft", out=out, workers=1), out

def tiny_images(n):
    x, kernel, out = np.broadcast_to(ones(2, 2), (n, 2, 2)), ones(2, 2), ones(n, 2, 2)
    return lambda: fastconv.convolve2d(x, kernel, "same", out=out, workers=1), out

# The smallest size, and the largest that fits into some gigabytes of memory.
SIZES = {
    "direct": (5, 1999),
    "few_pieces": (1000, 4_000_000),
    "separable": (51, 4001),
    "fft": (1000, 16_000),
    "one_tile": (100_000, 20_000_000),
    "digits": (500, 8000),
    "tap_by_tap": (2, 301),
    "half": (500, 8000),
    "picture": (500, 16_000),
    "volume": (2, 100),
    "volume_fft": (100, 600),
    "tiny_images": (100_000, 100_000_000),
}

def traces(out):
    return out.reshape(-1)[::101].tobytes()

def grown(n):
    global out
    call, out = globals()[sys.argv[1]](n)
    return call

def interrupted(call, delay):
    "Seconds from the interrupt of a call to the exception."
    while True:
        sent = []

        def interrupt():
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(delay, interrupt)
        try:
            timer.start()
            while True:
                call()
        except KeyboardInterrupt as error:
            took = time.perf_counter() - sent[0]
            names = [frame.f_globals["__name__"] for frame, _ in traceback.walk_tb(error.__traceback__)]
        timer.join()
        if any(name.startswith("fastconv.") for name in names):  # not between two calls
            return took

LONG = 0.6
call, duration = lasting(grown, LONG, *SIZES[sys.argv[1]])
for place in 2 * (0.05, 0.2, 0.4):
    took = interrupted(call, place * duration)
    before = traces(out)
    time.sleep(0.05)
    # If no size lasts that long, the end of the job is soon enough.
    print(took < max(duration, LONG) / 4, traces(out) == before, f"{1000 * took:.0f}/{1000 * duration:.0f}")
"""

JOBS = [
    "direct",
    "few_pieces",
    "separable",
    "fft",
    "one_tile",
    "digits",
    "tap_by_tap",
    "half",
    "picture",
    "volume",
    "volume_fft",
    "tiny_images",
]


@pytest.mark.parametrize("name", JOBS)
def test_ctrl_c_is_raised_soon_and_nothing_is_written_after_it(name):
    words = succeed(INTERRUPTED, name)
    soon, unchanged, times = words[::3], words[1::3], words[2::3]
    assert unchanged == ["True"] * 6
    # One of two attempts at each point must succeed: the machine may be busy.
    assert all("True" in pair for pair in zip(soon[:3], soon[3:])), (
        f"milliseconds, of the interrupt/of the job: {times}"
    )


# A handler raises during the first call, which imports Numba and compiles, or during a later compilation; after that
# everything must work. Without a delay, prints the time of the first call.
FIRST = """
import itertools, signal, sys, time
import numpy as np
import fastconv

class Late(Exception):
    pass

def late(*_):
    raise Late

signal.signal(signal.SIGALRM, late)
image, kernel = np.ones((9, 9), "i8"), np.ones((3, 3), "i8")
if len(sys.argv) == 1:
    begun = time.perf_counter()
    fastconv.convolve2d(image, kernel)
    print(time.perf_counter() - begun)
    sys.exit()
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
try:
    fastconv.convolve2d(image, kernel)
    from numba import types
    from fastconv._simd import compilation
    from fastconv._microkernels.blocks import direct_tile
    for dtype in itertools.cycle([types.int16, types.float32]):
        compilation.compile_routine(direct_tile.convolve_rows, direct_tile.signature(dtype))
except Late:
    print("late")
assert (fastconv.convolve2d(image, kernel, "valid") == 9).all()
assert (fastconv.convolve1d(image, [1, 1], "valid") == 2).all()
assert signal.getsignal(signal.SIGALRM) is late
"""


@pytest.fixture(scope="module")
def first_call(tmp_path_factory):
    """Seconds of a first call with an empty kernel cache."""
    (seconds,) = succeed(FIRST, FASTCONV_CACHE_DIR=str(tmp_path_factory.mktemp("kernels")))
    return float(seconds)


@pytest.mark.parametrize("place", [0.05, 0.2, 0.6])
def test_exception_of_a_handler_in_the_first_call_does_no_harm(place, first_call, tmp_path):
    words = succeed(FIRST, place * first_call, FASTCONV_CACHE_DIR=str(tmp_path / "kernels"))
    assert words == ["late"]


class Late(Exception):
    """Raised by a signal handler."""


@pytest.fixture
def handled():
    """Numbers of the signals handled so far; the handler of SIGUSR1 raises."""
    numbers = []

    def handler(number, frame):
        numbers.append(number)
        if number == signal.SIGUSR1:
            raise Late

    before = {number: signal.signal(number, handler) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    yield numbers
    for number, former in before.items():
        signal.signal(number, former)


def handlers():
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def test_signals_are_deferred_and_each_is_handled_once(handled):
    context = signals.deferred()
    context.__enter__()
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    assert handled == []
    with pytest.raises(Late):
        context.__exit__(None, None, None)
    assert handled == [signal.SIGUSR1, signal.SIGUSR2]
    with pytest.raises(ZeroDivisionError), signals.deferred():
        signal.raise_signal(signal.SIGUSR2) or 1 / 0
    assert handled == [signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR2]


def deferred_meanwhile(sent):
    """Enter and leave the context, with signals sent before given bytecodes of its module; return their number."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename != signals.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += 1
            for number in sent.get(count, ()):
                signal.raise_signal(number)
        return trace

    former = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # needed by Python 3.12
    sys.settrace(trace)
    try:
        with signals.deferred():
            pass
    finally:
        sys.settrace(former)
    return count


def test_signal_at_any_bytecode_is_handled_once_and_handlers_are_restored(handled):
    before = handlers()
    bytecodes = deferred_meanwhile({})
    assert bytecodes > 500
    for place in range(1, bytecodes + 1):
        with pytest.raises(Late):
            deferred_meanwhile({place: [signal.SIGUSR1]})
        assert handled == [signal.SIGUSR1], place
        assert handlers() == before, place
        handled.clear()


def test_signals_in_quick_succession_leave_all_handlers_restored(handled):
    bytecodes = deferred_meanwhile({})
    for place in range(1, bytecodes + 1):
        for distance in range(0, 12, 3):
            with pytest.raises(Late):
                deferred_meanwhile({place: [signal.SIGUSR1], place + distance: [signal.SIGUSR2, signal.SIGUSR1]})
            handled.clear()
            for number in (signal.SIGUSR2, signal.SIGUSR1):
                with pytest.raises(Late) if number == signal.SIGUSR1 else contextlib.nullcontext():
                    signal.raise_signal(number)
            assert handled == [signal.SIGUSR2, signal.SIGUSR1], (place, distance)
            handled.clear()


@pytest.mark.parametrize(
    "call",
    [
        lambda: image.box_blur(np.zeros((3, 4), np.uint8), 3),
        lambda: fastconv.convolve1d(np.ones(9), np.ones(3), "same", workers=1, stride=2, start=1, dilation=2),
        lambda: ndimage.gaussian_filter(np.ones((3, 4)), 2, mode="nearest", truncate=3),
        lambda: compat.convolve2d(np.ones((3, 4)), np.ones((2, 2)), "same", "fill", 1),
    ],
    ids=["image", "fastconv", "ndimage", "signal"],
)
def test_exceptions_of_handlers_are_not_taken_for_those_of_arguments(call, handled):
    call()
    folders = tuple(str(Path(fastconv.__file__).parent / folder) for folder in ("_model", "compat"))
    count, sent = 0, 0

    def trace(frame, event, argument):
        nonlocal count
        if not frame.f_code.co_filename.startswith(folders):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += 1
            if count == sent:
                signal.raise_signal(signal.SIGUSR1)
        return trace

    def traced():
        nonlocal count
        count, former = 0, sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # needed by Python 3.12
        sys.settrace(trace)
        try:
            call()
        finally:
            sys.settrace(former)

    traced()
    bytecodes = count
    assert bytecodes > 100
    for place in range(1, bytecodes + 1, max(1, bytecodes // 300)):
        sent = place
        with pytest.raises(Late):
            traced()


class Hasty:
    """A value whose methods are interrupted."""

    def _interrupted(self, *_):
        signal.raise_signal(signal.SIGUSR1)

    __index__ = __float__ = __array__ = __iter__ = __len__ = __bool__ = __ne__ = _interrupted
    dtype = property(_interrupted)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: fastconv.convolve1d(x, [1]),
        lambda x: fastconv.convolve1d([1], [1], boundary="zero", fill_value=x),
        lambda x: fastconv.convolve1d([1], [1], workers=x),
        lambda x: fastconv.convolve1d([1], [1], start=x),
        lambda x: fastconv.convolve1d([1], [1], axis=x),
        lambda x: image.box_blur(np.ones((3, 3)), 3, dtype=x),
        lambda x: fastconv.correlate1d([1], [1], lags=x),
        lambda x: image.gaussian_blur(np.ones((3, 3)), 1, order=x),
        lambda x: image.box_blur(np.ones((3, 3, 4)), 3, alpha_channel=x),
        lambda x: ndimage.gaussian_filter([1.0], 1, radius=x),
        lambda x: ndimage.uniform_filter([1.0], 3, mode="constant", cval=x),
        lambda x: compat.convolve2d([[1.0]], [[1.0]], fillvalue=x),
        lambda x: compat.fftconvolve([[1.0]], [[1.0]], axes=x),
    ],
)
def test_exceptions_of_handlers_pass_through_methods_of_arguments(call, handled):
    with pytest.raises(Late):
        call(Hasty())


def test_signals_are_not_deferred_in_other_threads():
    def work():
        with signals.deferred():
            done.append(signal.getsignal(signal.SIGINT))

    done = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGINT)]


def test_signals_are_not_deferred_if_handlers_cannot_be_set(monkeypatch):
    """In a C program, the main thread of `threading` may not be that of `signal`."""
    main = threading.main_thread
    monkeypatch.setattr(signals, "threading", types.SimpleNamespace(current_thread=main, main_thread=main))
    done = []

    def work():
        with signals.deferred():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGINT)]


def test_other_python_threads_run_during_the_work():
    x = np.ones((1500, 1500))

    def counted(work):
        """Return how far another thread counts per second of CPU time while this thread works."""
        count, stop, without = [0], threading.Event(), []

        def counting():
            before = waited()
            while not stop.is_set():
                count[0] += 1
            without.append(waited() - before)

        thread = threading.Thread(target=counting)
        start = time.perf_counter()
        thread.start()
        work()
        seconds = time.perf_counter() - start
        stop.set()
        thread.join()
        return count[0] / (seconds - without[0])

    def waited():
        """Return the seconds for which this thread was runnable without a processor."""
        try:
            return int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[1]) / 1e9
        except OSError:
            return 0.0

    def of_size(taps):
        kernel = np.ones((taps, taps))
        return lambda: fastconv.convolve2d(x, kernel, "same", method="direct", workers=1)

    convolve, _ = lasting(of_size, 0.3, 5, 1499)
    paces = []
    while len(paces) < 10 and max(paces, default=0) < 0.5:
        alone = counted(lambda: time.sleep(0.3))
        paces.append(counted(convolve) / alone)
    assert max(paces) >= 0.5


def test_deferred_signal_is_handled_once_and_wakes_an_event_loop_once(handled):
    """Several pending signals of one number count as one, as in POSIX."""
    with signals.deferred():
        for _ in range(3):
            signal.raise_signal(signal.SIGUSR2)
    assert handled == [signal.SIGUSR2]

    async def waiting():
        loop, called = asyncio.get_running_loop(), []
        loop.add_signal_handler(signal.SIGUSR2, called.append, True)
        with signals.deferred():
            signal.raise_signal(signal.SIGUSR2)
        for _ in range(20):
            await asyncio.sleep(0.01)
        loop.remove_signal_handler(signal.SIGUSR2)
        return called

    assert asyncio.run(waiting()) == [True]
