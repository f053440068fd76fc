"""Jobs large enough to be still running when a test interrupts or observes them."""

import time


def lasting(make, seconds, size, most):
    """Return a job that takes at least `seconds`, and its time: ``make(size)``, with `size` enlarged as needed.

    The size does not grow beyond `most`: the caller must repeat a job that is shorter even then.
    """
    make(size)()  # imports, compiles, starts workers
    while True:
        job = make(size)
        begun = time.perf_counter()
        job()
        took = time.perf_counter() - begun
        if took >= seconds or size >= most:
            return job, took
        size = min(most, size + max(1, 2 * size // 5))
