"""Disk cache of compiled kernels: keys, access, and recompilation after any failure."""

import compileall
import hashlib
import os
import pkgutil
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import fastconv
from fastconv._engines import scheduler
from fastconv._runtime import cache_folder
from fastconv._simd import disk_cache

IGNORED = shutil.ignore_patterns("__pycache__")

COUNTED = """
from fastconv._runtime.cache_folder import counts
print(counts["compiled"])
"""

CONVOLVE = """
import numpy as np
import fastconv
result = fastconv.convolve1d(np.arange(50, dtype="f4"), np.ones(3, "f4"))
assert np.array_equal(result, np.convolve(np.arange(50), np.ones(3))), result
"""

# The smallest kernel, compiled in a third of a second.
SPIN_WAIT = """
from fastconv._engines import scheduler
scheduler.epoch_waiter()(-1)
"""


def start(code, folder, **environment):
    """Start a process that runs `code` and prints the number of kernels compiled."""
    env = dict(os.environ, FASTCONV_CACHE_DIR=str(folder), PYTHONDONTWRITEBYTECODE="1", **environment)
    command = [sys.executable, "-c", code + COUNTED]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd="/")


def finish(process):
    """Wait for the process; return the number of kernels compiled."""
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    return int(out)


def compiled(code, folder, **environment):
    return finish(start(code, folder, **environment))


@pytest.fixture
def compiled_here(monkeypatch):
    """Run the smallest kernel with a cache folder, as a new process does; return the number of kernels compiled."""

    def count(folder):
        monkeypatch.setenv("FASTCONV_CACHE_DIR", str(folder))
        cache_folder.store.cache_clear()
        before = cache_folder.counts["compiled"]
        scheduler.epoch_waiter.__wrapped__()(-1)
        return cache_folder.counts["compiled"] - before

    for name, number in cache_folder.counts.items():
        monkeypatch.setitem(cache_folder.counts, name, number)  # restored in the end
    yield count
    cache_folder.store.cache_clear()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    folder.chmod(0o700)
    assert compiled(CONVOLVE, folder) == 3  # the block loop, a microkernel, a transfer
    assert compiled(SPIN_WAIT, folder) == 1
    assert len(list(folder.iterdir())) == 4
    return folder


@pytest.fixture
def cache(filled, tmp_path):
    folder = tmp_path / "cache"
    shutil.copytree(filled, folder)
    folder.chmod(0o700)
    return folder


def test_second_process_compiles_nothing_and_adds_no_file(cache):
    before = sorted((file.name, file.stat().st_mtime_ns) for file in cache.iterdir())
    assert compiled(CONVOLVE + SPIN_WAIT, cache) == 0
    assert sorted((file.name, file.stat().st_mtime_ns) for file in cache.iterdir()) == before


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "one bit", "another kernel", "a folder"])
def test_damaged_files_are_replaced(cache, compiled_here, damage):
    (file,) = cache.glob("wait_for_epoch-*")
    (other,) = cache.glob("transfer-*")
    content = file.read_bytes()
    if damage == "a folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(
            {
                "empty": b"",
                "truncated": content[:300],
                "garbage": bytes(reversed(content)),
                "one bit": content[:-1] + bytes([content[-1] ^ 1]),
                "another kernel": hashlib.sha256(b"no pickle").digest() + b"no pickle",
            }[damage]
        )
    assert compiled_here(cache) == 1
    assert compiled_here(cache) == (1 if damage == "a folder" else 0)
    assert other.exists()


def test_five_processes_can_fill_one_folder_at_once(tmp_path):
    folder = tmp_path / "cache"
    processes = [start(SPIN_WAIT, folder) for _ in range(5)]
    assert all(finish(process) in (0, 1) for process in processes)
    assert len(list(folder.iterdir())) == 1  # the file of the last process, and no temporary one
    assert compiled(SPIN_WAIT, folder) == 0


def test_full_disk(tmp_path):
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    assert compiled(full + SPIN_WAIT, tmp_path / "cache") == 1
    assert list((tmp_path / "cache").iterdir()) == []  # no incomplete file


def test_unusable_folder(tmp_path, compiled_here):
    (tmp_path / "file").write_text("not a folder")
    assert compiled_here(tmp_path / "file" / "cache") == 1
    assert compiled_here(tmp_path / "file") == 1


def test_neither_home_nor_folder(tmp_path, monkeypatch, compiled_here):
    for name in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "nothing").write_text("not a folder")
    monkeypatch.setenv("HOME", str(tmp_path / "nothing"))
    assert compiled_here("") == 1


def test_folder_that_others_can_write_to_is_not_used(cache, compiled_here):
    for mode in (0o777, 0o770, 0o702):
        cache.chmod(mode)
        assert state_of(cache) == f"none: others can write to {cache}"
    assert compiled_here(cache) == 1


def test_folder_of_another_user_is_not_used(cache, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: cache.stat().st_uid + 1)
    expect = "read and written" if cache.stat().st_uid == 0 else f"none: {cache} belongs to another user"
    assert state_of(cache) == expect


def test_read_only_folder_of_root_is_used(cache, monkeypatch):
    # As in a container image where root has compiled ahead. The mode of the folder does not restrict root.
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert state_of(cache) == "read only"


def test_file_of_another_user_is_replaced(cache, monkeypatch, compiled_here):
    (file,) = cache.glob("wait_for_epoch-*")
    file.chmod(0o666)
    assert compiled_here(cache) == 1
    assert compiled_here(cache) == 0  # the file was replaced
    found = cache_folder.store.__wrapped__()
    assert found.load(file.stem) is not None
    status, other = os.fstat, file.stat().st_uid + 1
    monkeypatch.setattr(os, "fstat", lambda number: os.stat_result((*status(number)[:4], other, *status(number)[5:])))
    assert found.load(file.stem) is None


def test_creates_nothing_in_the_home_of_another_user(tmp_path, monkeypatch):
    for name in ("FASTCONV_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(cache_folder.sys, "platform", "linux")
    assert cache_folder.store.__wrapped__().folder == tmp_path / ".cache" / "fastconv"
    shutil.rmtree(tmp_path / ".cache")
    status = Path.stat

    def of_another(path, **options):
        found = status(path, **options)
        return os.stat_result((*found[:4], os.getuid() + 1, *found[5:])) if path == tmp_path else found

    monkeypatch.setattr(Path, "stat", of_another)
    assert cache_folder.store.__wrapped__().state == f"none: {tmp_path} belongs to another user"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become another user")
def test_kernels_compiled_by_root_serve_other_users(cache):
    # As in the build of a container image. Modules are imported first, since only root may be able to read them.
    for path in (cache.parent, *cache.parent.parents):
        path.chmod(path.stat().st_mode | 0o111)
    become = (
        CONVOLVE
        + """
import cmath, os
from fastconv._engines import scheduler
from fastconv._runtime.cache_folder import store
os.setgid(65534)
os.setuid(65534)
store.cache_clear()
assert store().state == {!r}, store().state
"""
    )
    unreadable = f"none: {cache} cannot be read"
    assert compiled(become.format(unreadable), cache) == 0
    subprocess.run(["chmod", "-R", "a+rX", str(cache)], check=True)
    assert compiled(become.format("read only") + SPIN_WAIT, cache) == 0


def test_read_only_folders_are_read_and_not_written(cache, monkeypatch, compiled_here):
    def forbidden(*arguments, **options):
        raise PermissionError(13, "read only")

    monkeypatch.setattr(tempfile, "mkstemp", forbidden)
    (file,) = cache.glob("wait_for_epoch-*")
    assert compiled_here(cache) == 0
    file.unlink()
    assert compiled_here(cache) == 1
    assert not file.exists()


def state_of(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTCONV_CACHE_DIR", str(folder))
        return cache_folder.store.__wrapped__().state


def test_new_folder_and_files_are_private(tmp_path, compiled_here):
    folder = tmp_path / "a" / "b"
    assert compiled_here(folder) == 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]


def test_relative_folder_is_resolved_once(tmp_path):
    code = f"import os; os.chdir({str(tmp_path)!r})\n"
    code += "from fastconv._runtime.cache_folder import store\nstore()\nos.chdir('/')"
    assert compiled(code + SPIN_WAIT, "kernels") == 1
    assert len(list((tmp_path / "kernels").iterdir())) == 1


def test_processors_can_share_a_folder(cache, compiled_here):
    assert compiled(SPIN_WAIT, cache, NUMBA_CPU_NAME="generic") == 1
    assert compiled(SPIN_WAIT, cache, NUMBA_CPU_NAME="generic") == 0
    assert compiled_here(cache) == 0


@pytest.mark.parametrize("name", disk_cache.kernel_sources())
def test_key_depends_on_every_kernel_source(monkeypatch, name):
    read = pkgutil.get_data

    def edited(package, file):
        return read(package, file) + (b"#" if file == name else b"")

    digest = disk_cache.source_digest()
    monkeypatch.setattr(disk_cache.pkgutil, "get_data", edited)
    assert disk_cache.source_digest.__wrapped__() not in (digest, None)


def test_nothing_is_cached_if_kernel_sources_are_unknown(monkeypatch):
    monkeypatch.setattr(disk_cache.pkgutil, "iter_modules", lambda paths: iter(()))
    assert disk_cache.kernel_sources() == []
    assert disk_cache.source_digest.__wrapped__() is None


@pytest.fixture
def package_copy(tmp_path):
    """A copy of the package in a separate folder."""
    copy = tmp_path / "packages" / "fastconv"
    shutil.copytree(Path(fastconv.__file__).parent, copy, ignore=IGNORED)
    return copy


def test_edited_sources_are_recompiled_and_versions_share_a_folder(cache, package_copy):
    there = {"PYTHONPATH": str(package_copy.parent)}
    where = f"import fastconv; assert fastconv.__file__.startswith({str(package_copy)!r})"
    assert compiled(where + SPIN_WAIT, cache, **there) == 0
    with open(package_copy / "_microkernels" / "blocks" / "direct_tile.py", "a") as file:
        file.write("# edited\n")
    assert compiled(where + SPIN_WAIT, cache, **there) == 1
    assert compiled(where + SPIN_WAIT, cache, **there) == 0
    assert compiled(SPIN_WAIT, cache) == 0


def test_nothing_is_written_into_the_package_folder(cache, package_copy):
    for path in (package_copy, *package_copy.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(package_copy.rglob("*"))
    assert compiled(CONVOLVE + SPIN_WAIT, cache, PYTHONPATH=str(package_copy.parent)) == 0
    assert compiled(SPIN_WAIT, "/proc/nowhere", PYTHONPATH=str(package_copy.parent)) == 1
    assert sorted(package_copy.rglob("*")) == before
    for path in (package_copy, *package_copy.rglob("*")):
        path.chmod(0o755)


def test_cache_works_from_a_zip_file(cache, package_copy):
    archive = shutil.make_archive(str(package_copy.parent / "fastconv"), "zip", package_copy.parent, "fastconv")
    where = f"import fastconv; assert fastconv.__file__.startswith({archive!r})"
    assert compiled(where + CONVOLVE + SPIN_WAIT, cache, PYTHONPATH=archive) == 0
    assert compiled(where + SPIN_WAIT, "/proc/nowhere", PYTHONPATH=archive) == 1


def without_sources(package):
    """Replace the sources of the package by bytecode, as some programs are shipped."""
    assert compileall.compile_dir(package, quiet=1, legacy=True)
    for source in package.rglob("*.py"):
        source.unlink()


@pytest.mark.parametrize("zipped", [False, True])
def test_cache_works_without_sources(tmp_path, package_copy, zipped):
    folder, moved = tmp_path / "cache", tmp_path / "moved"
    where = "import fastconv; assert fastconv.__file__.startswith({!r}) and fastconv.__file__.endswith('.pyc')\n"
    for packages, count in ((package_copy.parent, 4), (moved, 0)):
        if packages is moved:
            shutil.copytree(Path(fastconv.__file__).parent, moved / "fastconv", ignore=IGNORED)
        without_sources(packages / "fastconv")
        path = shutil.make_archive(str(packages / "f"), "zip", packages, "fastconv") if zipped else str(packages)
        for expect in (count, 0):
            assert compiled(where.format(path) + CONVOLVE + SPIN_WAIT, folder, PYTHONPATH=path) == expect


def digest_of(text, file="file.py"):
    return repr(disk_cache.canonical(compile(text, file, "exec")))


def test_digest_of_code_depends_on_behaviour_only():
    text = "def f(x, y):\n    g = lambda z: z in {'a', 'b', 'c'}\n    return g(x) + 1, (2, 'd')\n"
    found = digest_of(text)
    assert digest_of("# a comment\n\n" + text.replace("return", "return  "), "another/file.py") == found
    changes = [("+ 1", "+ 2"), ("+ 1", "+ 1.0"), ("+ 1", "- 1"), ("'c'", "'e'"), ("'d'", "b'd'"), ("g(x)", "h(x)")]
    changes += [("x, y", "y, x"), ("x, y", "x, *y"), ("x, y", "x, /, y"), ("z in", "z not in"), ("2,", "3,")]
    found = {found, *(digest_of(text.replace(*change)) for change in changes)}
    assert len(found) == 1 + len(changes)


def test_key_without_sources_depends_on_every_file(monkeypatch):
    names = disk_cache.kernel_sources()
    contents = {name: disk_cache.bytecode(name) for name in names}
    monkeypatch.setattr(disk_cache, "source", lambda name: None)
    monkeypatch.setattr(disk_cache, "bytecode", contents.get)
    digest = disk_cache.digest_of(names)
    assert disk_cache.source_digest.__wrapped__() == digest is not None
    for name, content in contents.items():
        contents[name] = content + b"#"
        assert disk_cache.digest_of(names) not in (digest, None), name
        contents[name] = None
        assert disk_cache.digest_of(names) is None, name
        contents[name] = content


ASSEMBLY = """
import numpy as np, fastconv
from fastconv._simd import compilation, target
fastconv.convolve2d(np.ones((9, 9), "f4"), np.ones((3, 3), "f4"))
print(target.processor().fma)
print(next(text for name, text in compilation.assembly().items() if name.startswith("convolve_tiles")))
"""


@pytest.mark.parametrize("processor", [None, "generic"])
def test_multiply_add_is_never_a_function_call(tmp_path, processor):
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


def test_results_are_the_same_if_the_compiler_is_disabled(tmp_path):
    code = """
import numpy as np, fastconv
image = np.arange(12.0).reshape(3, 4)
print(fastconv.convolve2d(image, np.ones((2, 2)), "valid", boundary="wrap").tolist())
"""
    env = dict(os.environ, NUMBA_DISABLE_JIT="1")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout == "[[10.0, 14.0, 18.0], [26.0, 30.0, 34.0]]\n"
