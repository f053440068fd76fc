"""Jobs that last long enough to be met in the middle, however fast the machine."""

import time


def lasting(make, seconds, size, most):
    """A job that takes `seconds` or more, and what it takes: ``make(size)`` of a size that grows until then.

    At `most` it stops growing: what depends on the job has to call it again and again.
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
