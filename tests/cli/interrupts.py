"""Commands that are interrupted in the middle of their work in other threads."""

import _thread
import os
import signal
import threading

from fastconv._runtime.instrumentation import observed


def leaves_no_files(command):
    """Interrupt a command once, in the middle of the first part; check that it reports that, and leaves no file."""
    before, interrupts = sorted(os.listdir()), []
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have set it to be ignored

    def interrupt(event):
        if not interrupts and threading.current_thread() is not threading.main_thread():
            interrupts.append(event)
            assert sorted(os.listdir()) != before
            _thread.interrupt_main()

    try:
        with observed(interrupt):
            assert command() == 130
    finally:
        signal.signal(signal.SIGINT, handler)
    assert interrupts
    assert sorted(os.listdir()) == before
