"""Graphs of lazy convolutions: the time to build them, their tasks, memory and size, and the bytes that workers send.

``python -m bench.graphs [CHUNKS ...]`` prints a table for each, as in docs/beyond-memory.md; needs the extra `cluster`.
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import time
import warnings

import dask
import dask.array as da
import numpy as np

import fastconv.dask

KERNEL = np.ones((9, 9), np.float32)
CHUNK = 4096


class Handle:
    """Something like a stored array, of which graphs hold a handle only."""

    store = "nowhere"
    name = "x"
    dtype = np.dtype(np.float32)
    chunks = (CHUNK, CHUNK)
    shape: tuple[int, ...] = ()

    def __init__(self, side: int):
        self.shape = (side, side)

    def __getitem__(self, where: tuple[slice, ...]) -> np.ndarray:
        return np.ones(tuple(len(range(*part.indices(self.shape[0]))) for part in where), self.dtype)


def stored(side: int) -> da.Array:
    """Of an array on disk."""
    return fastconv.dask.convolve2d(Handle(side), KERNEL, "same")


def chunked(side: int) -> da.Array:
    """Of a dask array."""
    x = da.zeros((side, side), chunks=CHUNK, dtype="f4")
    return fastconv.dask.convolve2d(x, KERNEL, "same", boundary="reflect")


def overlapping(side: int) -> da.Array:
    """The same by dask's `map_overlap`."""
    x = da.zeros((side, side), chunks=CHUNK, dtype="f4")
    return x.map_overlap(lambda block: block, depth=4, boundary="reflect", dtype="f4")


KINDS = {"stored": stored, "chunked": chunked, "map_overlap": overlapping}


def resident() -> float:
    """Megabytes of memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def measure(kind: str, chunks: int) -> None:
    """Print a row of the table of graphs, in a process of its own; times are of the processor."""
    side = round(chunks**0.5) * CHUNK
    make = KINDS[kind]
    make(4 * CHUNK)
    before = resident()
    start = time.process_time()
    result = make(side)
    built = time.process_time() - start
    start = time.process_time()
    graph = dict(result.__dask_optimize__(result.dask, result.__dask_keys__()))
    optimized = time.process_time() - start
    memory = resident() - before
    size = "-" if kind == "map_overlap" else f"{len(pickle.dumps(graph)) / 1e6:,.1f} MB"
    print(
        f"| {kind} | {result.npartitions:,} | {len(graph):,} | {built:.2f} s | {optimized:.2f} s | {memory:,.0f} MB | "
        f"{size} |",
        flush=True,
    )


def on_scheduler(kind: str, chunks: int) -> None:
    """Print the memory that a scheduler takes for a graph that waits for workers."""
    from distributed import Client, LocalCluster

    result = KINDS[kind](round(chunks**0.5) * CHUNK)
    with LocalCluster(n_workers=0, processes=True, host="127.0.0.1", dashboard_address=None) as cluster:
        scheduler, before = cluster.scheduler, resident()
        with Client(cluster) as client:
            future = client.persist(result)
            counts = [-1, 0]
            while counts[-1] != counts[-2] or not counts[-1]:
                time.sleep(3)
                counts.append(len(scheduler.tasks))
            memory = resident() - before
            row = f"| {kind} | {result.npartitions:,} | {counts[-1]:,} | {memory:,.0f} MB |"
            print(f"{row} {memory / counts[-1] * 1000:.1f} kB |", flush=True)
            del future


def transfers(chunk: int, side: int) -> None:
    """Print what two workers send each other for an array of ``side * side``, by chunk size."""
    from distributed import Client, LocalCluster

    x = da.random.default_rng(1).random((side, side), chunks=chunk, dtype="f4")
    lazy = fastconv.dask.convolve2d(x, KERNEL, "same", method="direct")
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        with Client(cluster) as client:
            client.compute(lazy.max()).result()

            def sent(dask_worker):
                return dask_worker.transfer_outgoing_bytes_total

            total = sum(client.run(sent).values())
    whole = x.nbytes
    halo = 2 * 4 * (2 * chunk + 2 * 4) * 4 * x.npartitions
    print(f"| {chunk}x{chunk} | {x.npartitions} | {halo / whole:.2%} | {total / whole:.2%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chunks", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--row", nargs=3, metavar=("TABLE", "KIND", "NUMBER"), help="one row, in this process")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    dask.config.set({"array.chunk-size": CHUNK * CHUNK * 4})
    if options.row:
        table, kind, number = options.row
        if table == "transfers":
            transfers(int(kind), int(number))
        else:
            {"graphs": measure, "scheduler": on_scheduler}[table](kind, int(number))
        return

    def rows(table: str, pairs: list[tuple[object, object]], heading: str) -> None:
        columns = heading.split("|")
        print(f"\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}", flush=True)
        for kind, number in pairs:
            subprocess.run([sys.executable, "-m", "bench.graphs", "--row", table, str(kind), str(number)], check=True)

    # That of `map_overlap` takes minutes for more.
    pairs = [(kind, chunks) for kind in KINDS for chunks in options.chunks if kind != "map_overlap" or chunks <= 10_000]
    rows("graphs", pairs, "graph|chunks|tasks|building|optimization|memory|pickled")
    rows(
        "scheduler",
        [(kind, min(options.chunks[-1], 10_000)) for kind in KINDS],
        "graph|chunks|tasks|memory|for each task",
    )
    rows("transfers", [(chunk, 8192) for chunk in (512, 1024, 2048)], "chunk|chunks|samples around|sent")


if __name__ == "__main__":
    main()
