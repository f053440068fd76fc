"""Ctrl-C: raised soon, after which nobody writes; and Python goes on during the work."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import _interrupts

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are other things there")

# Runs a job of some seconds again and again, interrupts it at other times, and prints how many milliseconds each
# interrupt took, and whether somebody wrote into the output after it.
INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
import fastconv
from fastconv import image

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have had ignored
rng = np.random.default_rng(1)

def ones(*shape, dtype="f4"):
    return np.ones(shape, dtype)

def job(name):
    if name == "direct":
        x, kernel, out = ones(2000, 2000), ones(201, 201), ones(2000, 2000)
        return lambda: fastconv.convolve2d(x, kernel, "same", method="direct", out=out), out
    if name == "direct, few pieces":
        x, kernel, out = ones(500_000), ones(400_001), ones(500_000)
        return lambda: fastconv.convolve1d(x, kernel, "same", method="direct", out=out), out
    if name == "separable":
        x, kernel, out = np.broadcast_to(ones(8000), (8000, 8000)), ones(801, 801), ones(8000, 8000)
        return lambda: fastconv.convolve2d(x, kernel, "same", method="separable", out=out, workers=1), out
    if name == "fft":
        x, kernel = np.broadcast_to(ones(8000), (8000, 8000)), rng.random((401, 401), dtype="f4")
        out = ones(8000, 8000)
        return lambda: fastconv.convolve2d(x, kernel, "same", method="fft", out=out, workers=1), out
    if name == "fft, one tile":
        x, kernel, out = ones(40_000_000), ones(20_000_000), ones(40_000_000)
        return lambda: fastconv.convolve1d(x, kernel, "same", method="fft", out=out), out
    if name == "tap by tap":
        x, kernel, out = ones(2000, 2000), ones(15, 15), ones(2000, 2000, dtype="g")
        return lambda: fastconv.convolve2d(x, kernel.astype("g"), "same", out=out), out
    if name == "half precision":
        x, kernel, out = ones(6000, 6000, dtype="f2"), ones(61, 61, dtype="f2"), ones(6000, 6000, dtype="f2")
        return lambda: fastconv.convolve2d(x, kernel, "same", method="direct", out=out), out
    if name == "picture":
        x, kernel, out = ones(8000, 8000, 3, dtype="u1"), rng.random((23, 23)), ones(8000, 8000, 3, dtype="u1")
        return lambda: image.filter(x, kernel, out=out, workers=1), out

def traces(out):
    return out.reshape(-1)[::101].tobytes()

call, out = job(sys.argv[1])
fastconv.warmup("float32")
if sys.argv[1] == "picture":
    fastconv.warmup("uint8")
for delay in 2 * (0.03, 0.1, 0.2, 0.35):
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(delay, interrupt)
    timer.start()
    try:
        call()
        sys.exit("the job was over before the interrupt came")
    except KeyboardInterrupt:
        took = time.perf_counter() - sent[0]
    timer.join()
    before = traces(out)
    time.sleep(0.05)
    print(round(1000 * took), traces(out) == before)
"""


@pytest.mark.parametrize(
    "name",
    [
        "direct",
        "direct, few pieces",
        "separable",
        "fft",
        "fft, one tile",
        "tap by tap",
        "half precision",
        "picture",
    ],
)
def test_ctrl_c_is_raised_soon_and_nobody_writes_after_it(name):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, name], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    milliseconds, unchanged = zip(*(line.split() for line in done.stdout.splitlines()))
    assert unchanged == ("True",) * 8
    # Of both times at each place the better: the machine may be busy with other things.
    took = list(map(int, milliseconds))
    assert all(min(pair) < 200 for pair in zip(took[:4], took[4:])), took


# A handler raises somewhere in the first call, which imports Numba and compiles; then all is as it should be.
FIRST = """
import signal, sys, time
import numpy as np
import fastconv

class Late(Exception):
    pass

def late(*_):
    raise Late

signal.signal(signal.SIGALRM, late)
image, kernel = np.ones((9, 9), "i8"), np.ones((3, 3), "i8")
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
try:
    fastconv.convolve2d(image, kernel)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("done")
except Late:
    print("late")
assert (fastconv.convolve2d(image, kernel, "valid") == 9).all()
assert (fastconv.convolve1d(image, [1, 1], "valid") == 2).all()
assert signal.getsignal(signal.SIGALRM) is late
"""


@pytest.mark.parametrize("delay", [0.05, 0.4, 1.0])
def test_whatever_is_raised_in_a_first_call_does_no_harm(delay, tmp_path):
    env = dict(os.environ, FASTCONV_CACHE_DIR=str(tmp_path / "kernels"))
    command = [sys.executable, "-c", FIRST, str(delay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "late\n", "")


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
    context = _interrupts.deferred()
    context.__enter__()
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    assert handled == []
    with pytest.raises(Late):
        context.__exit__(None, None, None)
    assert handled == [signal.SIGUSR1, signal.SIGUSR2]
    with pytest.raises(ZeroDivisionError), _interrupts.deferred():
        signal.raise_signal(signal.SIGUSR2) or 1 / 0
    assert handled == [signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR2]


def deferred_meanwhile(sent):
    """Enter and leave the context, with signals sent before given bytecodes of its module; return how many it has."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename != _interrupts.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += 1
            for number in sent.get(count, ()):
                signal.raise_signal(number)
        return trace

    former = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks at this one
    sys.settrace(trace)
    try:
        with _interrupts.deferred():
            pass
    finally:
        sys.settrace(former)
    return count


def test_a_signal_at_any_bytecode_is_handled_once_and_all_handlers_are_restored(handled):
    before = handlers()
    bytecodes = deferred_meanwhile({})
    assert bytecodes > 500
    for place in range(1, bytecodes + 1):
        with pytest.raises(Late):
            deferred_meanwhile({place: [signal.SIGUSR1]})
        assert handled == [signal.SIGUSR1], place
        assert handlers() == before, place
        handled.clear()


def test_signals_in_quick_succession_leave_none_without_its_handler(handled):
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


def test_other_threads_defer_nothing():
    def work():
        with _interrupts.deferred():
            done.append(signal.getsignal(signal.SIGINT))

    done = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGINT)]


def test_nothing_is_deferred_where_no_handler_can_be_set(monkeypatch):
    """A program in C may run Python in a thread that is the main one to `threading`, and not to `signal`."""
    main = threading.main_thread
    monkeypatch.setattr(_interrupts, "threading", types.SimpleNamespace(current_thread=main, main_thread=main))
    done = []

    def work():
        with _interrupts.deferred():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGINT)]


def test_python_counts_on_during_the_work():
    x, kernel = np.ones((1500, 1500)), np.ones((45, 45))

    def counted(work):
        """How far another thread counts in a second that it has a processor, while this thread is at work."""
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
        """Seconds that this thread could have run, and had no processor: the machine may be busy with other things."""
        try:
            return int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[1]) / 1e9
        except OSError:
            return 0.0

    def convolve():
        fastconv.convolve2d(x, kernel, "same", method="direct", workers=1)

    fastconv.convolve2d(x[:50], kernel, "same", method="direct", workers=1)
    paces = []
    while len(paces) < 10 and max(paces, default=0) < 0.7:
        alone = counted(lambda: time.sleep(0.3))
        paces.append(counted(convolve) / alone)
    assert max(paces) >= 0.7
