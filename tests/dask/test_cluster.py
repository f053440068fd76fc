"""Two worker processes on this machine."""

import os
import signal
import warnings

import dask.array as da
import numpy as np
import pytest
import zarr
from distributed import Client, LocalCluster

import fastconv
import fastconv.dask
from fastconv import image, kernels
from fastconv.cli.entry import main


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of two processes of one thread."""
    environment = dict(os.environ)  # which the cluster changes: threads of other libraries
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ports in use
        cluster = LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,
            local_directory=str(tmp_path_factory.mktemp("workers")),
        )
        with cluster, Client(cluster) as client:
            yield client
    os.environ.clear()
    os.environ.update(environment)


def test_workers_give_the_bits_of_the_whole_array(client, tmp_path):
    rng = np.random.default_rng(9)
    x, kernel = rng.standard_normal((700, 500)).astype("f4"), rng.standard_normal((9, 11)).astype("f4")
    lazy = da.from_array(x, (150, 130))
    whole = fastconv.convolve2d(x, kernel, "same", boundary="wrap", method="direct")
    found = fastconv.dask.convolve2d(lazy, kernel, "same", boundary="wrap", method="direct")
    np.testing.assert_array_equal(client.compute(found).result(), whole)
    large = rng.standard_normal((200, 90)).astype("f4")
    whole = fastconv.convolve2d(x, large, "same", method="direct")
    found = fastconv.dask.convolve2d(lazy, large, "same", method="direct")
    np.testing.assert_array_equal(client.compute(found).result(), whole)
    weights = rng.random(x.shape)
    values, shares = fastconv.dask.convolve2d(lazy, np.abs(kernel), weights=weights, return_weight=True)
    expected = fastconv.convolve2d(x, np.abs(kernel), weights=weights, return_weight=True)
    for got, whole in zip(client.gather(client.compute([values, shares])), expected):
        np.testing.assert_array_equal(got, whole)
    swapped = x.astype(">f4")  # pickles lose the byte order
    found = fastconv.dask.correlate2d(da.from_array(swapped, (150, 130)), kernel.astype(">f4"), method="direct")
    whole = fastconv.correlate2d(swapped, kernel.astype(">f4"), method="direct")
    np.testing.assert_array_equal(client.compute(found).result(), whole)


def test_the_command_uses_a_running_scheduler(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(9).integers(0, 256, (500, 400)).astype(np.uint8)
    zarr.open_array("in.zarr", mode="w", shape=x.shape, chunks=(50, 60), dtype=x.dtype)[:] = x
    np.save("in.npy", x)
    # Workers have another working directory.
    for source, target in (("in.zarr", "out.zarr"), ("in.npy", "out.npy")):
        paths = [str(tmp_path / name) for name in (source, target)]
        assert main([*paths, "--kernel", "gaussian", "--cluster", client.scheduler.address]) == 0
        found = np.load(target) if target.endswith("npy") else zarr.open_array(target, mode="r")[:]
        np.testing.assert_array_equal(found, image.filter(x, kernels.gaussian()))


def kill_once(block, flag):
    """Kill the worker process that computes the first block, once."""
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return block
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_changes_nothing(client, tmp_path):
    rng = np.random.default_rng(9)
    x, kernel = rng.standard_normal((400, 300)), rng.standard_normal((7, 7))
    lazy = da.from_array(x, 50)
    before = {worker["pid"] for worker in client.run(lambda: {"pid": os.getpid()}).values()}
    first = fastconv.dask.convolve2d(lazy, kernel, "same", method="direct")
    flag = str(tmp_path / "killed")
    killing = first.map_blocks(kill_once, flag, dtype=first.dtype, meta=np.empty((0, 0)))
    found = fastconv.dask.convolve2d(killing, kernel, "same", method="direct")
    whole = fastconv.convolve2d(x, kernel, "same", method="direct")
    whole = fastconv.convolve2d(whole, kernel, "same", method="direct")
    np.testing.assert_array_equal(client.compute(found).result(), whole)
    assert os.path.exists(flag)
    client.wait_for_workers(2)
    assert {worker["pid"] for worker in client.run(lambda: {"pid": os.getpid()}).values()} != before
