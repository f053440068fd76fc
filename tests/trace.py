"""Tell which files compute a call: what is called of functions, plans and engines, and the routines that are compiled.

python -m tests.trace "image.box_blur(np.ones((64, 64), np.uint8), 5)"
"""

import inspect
import sys
from pathlib import Path

import numpy as np

import fastconv
from fastconv import image, kernels, layers
from fastconv._runtime.instrumentation import observed

NAMES = {"np": np, "fastconv": fastconv, "image": image, "kernels": kernels, "layers": layers}
# Floors that every call passes through, or that are compiled.
LEFT_OUT = "_model", "_runtime", "_simd", "_microkernels", "njit"


def files_of(call):
    """Evaluate a call; return the modules that take part, in order, each with its functions, or its compiled routines.

    Routines that the process has compiled before are not among them.
    """
    found = {}

    def note(module, name):
        found.setdefault(module, {})[name] = None

    def profile(frame, event, argument):
        code, (package, _, rest) = frame.f_code, frame.f_globals.get("__name__", "").partition(".")
        is_function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
        if event == "call" and is_function and package == "fastconv" and rest.split(".")[0] not in LEFT_OUT:
            note(f"{package}.{rest}", code.co_name)

    with observed(lambda event: event.name == "compile" and note(event.module, event.routine)):
        sys.setprofile(profile)
        try:
            eval(call, dict(NAMES))
        finally:
            sys.setprofile(None)
    return {module: [*names] for module, names in found.items()}


if __name__ == "__main__":
    root = Path(fastconv.__file__).parents[1]
    for module, names in files_of(sys.argv[1]).items():
        file = Path(sys.modules[module].__file__).relative_to(root)
        print(f"{file}: {', '.join(names)}")
