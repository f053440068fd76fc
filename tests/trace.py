"""Tell which files compute a call: the engines that run, and the files of all routines that are compiled for them.

python -m tests.trace "image.box_blur(np.ones((64, 64), np.uint8), 5)"
"""

import sys

import numpy as np

import fastconv
from fastconv import image, kernels, layers
from fastconv._runtime.instrumentation import observed

NAMES = {"np": np, "fastconv": fastconv, "image": image, "kernels": kernels, "layers": layers}


def files_of(call):
    """Evaluate a call; return the modules that take part, in order, each with its events and its routines.

    Routines that the process has compiled before are not among them.
    """
    found = {}

    def listen(event):
        caller = sys._getframe(2)  # of `notify`
        what, owner = event.name, caller.f_locals.get("self")
        module = caller.f_globals["__name__"] if owner is None else type(owner).__module__
        if event.name == "compile":
            module, what = event.module, event.routine
        found.setdefault(module, {})[what] = None

    with observed(listen):
        eval(call, dict(NAMES))
    return {module: [*what] for module, what in found.items()}


if __name__ == "__main__":
    for module, what in files_of(sys.argv[1]).items():
        print(f"{module.replace('.', '/')}.py: {', '.join(what)}")
