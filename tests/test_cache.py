"""The cache of compiled kernels costs a compilation when something is wrong with it, and nothing else."""

import os
import pkgutil
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv
from fastconv import _jit

CODE = """
import sys
import numpy as np
import fastconv
from fastconv import _jit
compiled = []
save = _jit._KernelCache.save_overload
def spy(self, signature, result):
    compiled.append(self._name)
    save(self, signature, result)
_jit._KernelCache.save_overload = spy
result = fastconv.convolve1d(np.arange(50, dtype="f4"), np.ones(3, "f4"))
assert np.array_equal(result, np.convolve(np.arange(50), np.ones(3))), result
print(len(compiled))
"""


def first_result(folder, package=None, **environment):
    """Convolve in a fresh process, and return how many kernels it compiled."""
    env = dict(os.environ, FASTCONV_CACHE_DIR=str(folder), **environment)
    if package is not None:
        env["PYTHONPATH"] = str(package)
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=env, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return int(done.stdout)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    folder.chmod(0o700)
    assert first_result(folder) == 3  # the driver, a microkernel, a transfer
    assert len(list(folder.iterdir())) == 3
    return folder


@pytest.fixture
def cache(filled, tmp_path):
    folder = tmp_path / "cache"
    shutil.copytree(filled, folder)
    folder.chmod(0o700)
    return folder


def test_a_second_process_compiles_nothing_and_adds_no_file(cache):
    before = sorted(cache.iterdir())
    assert first_result(cache) == 0
    assert sorted(cache.iterdir()) == before


@pytest.mark.parametrize("damage", ["empty", "truncated", "rubbish", "one bit"])
def test_damaged_files_are_compiled_again(cache, damage):
    for file in cache.iterdir():
        content = file.read_bytes()
        file.write_bytes(
            {
                "empty": b"",
                "truncated": content[:300],
                "rubbish": bytes(reversed(content)),
                "one bit": content[:-1] + bytes([content[-1] ^ 1]),
            }[damage]
        )
    assert first_result(cache) == 3
    assert first_result(cache) == 0


def test_an_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert first_result(tmp_path / "file" / "cache") == 3


def test_a_folder_that_others_can_write_to_is_not_used(cache):
    cache.chmod(0o777)
    assert first_result(cache) == 3


def test_a_new_folder_is_private(tmp_path):
    folder = tmp_path / "a" / "b"
    first_result(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_processors_share_a_folder(cache):
    assert first_result(cache, NUMBA_CPU_NAME="generic") == 3
    assert first_result(cache, NUMBA_CPU_NAME="generic") == 0
    assert first_result(cache) == 0


@pytest.mark.parametrize("name", _jit.KERNEL_SOURCES)
def test_the_digest_is_of_every_kernel_source(monkeypatch, name):
    read = pkgutil.get_data

    def edited(package, file):
        return read(package, file) + (b"#" if file == name else b"")

    digest = _jit._source_digest()
    monkeypatch.setattr(_jit.pkgutil, "get_data", edited)
    assert _jit._source_digest.__wrapped__() not in (digest, None)


def test_an_edit_is_seen(cache, tmp_path):

    copy = tmp_path / "package" / "fastconv"
    shutil.copytree(Path(fastconv.__file__).parent, copy)
    assert first_result(cache, package=copy.parent) == 0
    with open(copy / "_tile.py", "a") as file:
        file.write("# edited\n")
    assert first_result(cache, package=copy.parent) == 3


def test_no_home_and_no_folder(tmp_path):
    env = {
        name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")
    }
    env.pop("FASTCONV_CACHE_DIR", None)
    env["HOME"] = str(tmp_path / "nothing")
    (tmp_path / "nothing").write_text("not a folder")
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=env, cwd="/")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


ASSEMBLY = """
import numpy as np, fastconv
from fastconv import _jit
fastconv.convolve2d(np.ones((9, 9), "f4"), np.ones((3, 3), "f4"))
print(_jit.processor().fma)
print(next(text for name, text in _jit.assembly().items() if name.startswith("convolve_tiles")))
"""


@pytest.mark.parametrize("processor", [None, "generic"])
def test_a_product_and_a_sum_are_one_instruction_or_two_and_never_a_call(tmp_path, processor):
    env = dict(os.environ, FASTCONV_CACHE_DIR=str(tmp_path / "cache"))
    if processor is not None:
        env["NUMBA_CPU_NAME"] = processor
    done = subprocess.run([sys.executable, "-c", ASSEMBLY], capture_output=True, text=True, env=env, check=True)
    fma, _, assembly = done.stdout.partition("\n")
    if fma == "True":
        assert "vfmadd" in assembly or "fmla" in assembly
    else:
        assert "vfmadd" not in assembly
    assert "fmaf" not in assembly


def test_without_a_compiler_the_results_are_the_same(tmp_path):
    code = """
import numpy as np, fastconv
image = np.arange(12.0).reshape(3, 4)
print(fastconv.convolve2d(image, np.ones((2, 2)), "valid", boundary="wrap").tolist())
"""
    env = dict(os.environ, NUMBA_DISABLE_JIT="1")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout == "[[10.0, 14.0, 18.0], [26.0, 30.0, 34.0]]\n"
