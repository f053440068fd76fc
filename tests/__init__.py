import os

# Limits of threads that the shell sets for other libraries are none of the tests', which set their own.
for _name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.pop(_name, None)
