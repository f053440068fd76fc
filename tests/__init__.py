import os

# Thread limits that the shell sets for other libraries must not affect the tests.
for _name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.pop(_name, None)
