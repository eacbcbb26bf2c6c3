"""A join of two sets of boxes on a local cluster, and the same in memory: time, memory and bits.

``python -m bench.dask_join`` joins 10,000,000 boxes with as many, about one overlap each, on two
workers of one thread and 2 GB. The pairs are written to parquet, block by block.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 10.0
THRESHOLD = 0.01


def block(seed: int, count: int, width: float) -> Any:
    """Boxes of one size in a square of some width: float32, in no order."""
    corners = np.random.default_rng(seed).uniform(0, width, (count, 2)).astype(np.float32)
    return np.concatenate([corners, corners + np.float32(SIDE)], axis=1)


def width_of(count: int) -> float:
    """Of the square in which a box overlaps one other on average."""
    return float(2 * SIDE * count**0.5)


def peak() -> float:
    """The most memory that this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def in_memory(count: int, chunk: int) -> dict[str, Any]:
    import fastiou

    sets = [
        np.concatenate([block(2 * n + side, chunk, width_of(count)) for n in range(count // chunk)])
        for side in (0, 1)
    ]
    for _ in range(3):  # all forms of the kernels are compiled before
        fastiou.pairs(sets[0][:chunk], sets[1][:chunk], THRESHOLD)
    begin, before = time.perf_counter(), time.process_time()
    found = fastiou.pairs(*sets, THRESHOLD)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - before
    columns = found.to_numpy()
    digests = [hashlib.sha256(column).hexdigest()[:16] for column in columns]
    return {
        "seconds": seconds,
        "CPU seconds": cpu,
        "peak": peak(),
        "pairs": len(found),
        "digests": digests,
    }


def on_cluster(count: int, chunk: int, workers: int, limit: str, parts: int) -> dict[str, Any]:
    import dask.array as da
    import pyarrow.parquet as parquet
    from dask import delayed
    from distributed import Client, LocalCluster

    import fastiou.dask

    width = width_of(count)
    sets = [
        da.concatenate(
            [
                da.from_delayed(
                    delayed(block, pure=True)(2 * n + side, chunk, width), (chunk, 4), np.float32
                )
                for n in range(count // chunk)
            ]
        )
        for side in (0, 1)
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=limit,
            dashboard_address=None,
            local_directory=folder,
        ) as cluster,
        Client(cluster) as client,
    ):
        some = [array[: min(count, 200_000)] for array in sets]
        fastiou.dask.pairs(*some, THRESHOLD, parts=2).count().compute()  # compiled before
        before = sum(client.run(time.process_time).values())
        begin = time.perf_counter()
        found = fastiou.dask.pairs(*sets, THRESHOLD, parts=parts)
        out = Path(folder) / "pairs"
        found.to_dask_dataframe().to_parquet(str(out), write_index=False)
        seconds = time.perf_counter() - begin
        cpu = sum(client.run(time.process_time).values()) - before
        begin = time.perf_counter()
        pairs = found.count().compute()
        counting = time.perf_counter() - begin
        peaks = sorted(client.run(peak).values())
        files = sorted(out.glob("*.parquet"), key=lambda path: int(path.name.split(".")[1]))
        digests = [hashlib.sha256() for _ in range(3)]
        for file in files:
            table = parquet.read_table(file)
            for digest, name in zip(digests, ("rows", "cols", "values"), strict=True):
                digest.update(table[name].to_numpy())
    return {
        "seconds": seconds,
        "CPU seconds of workers": cpu,
        "seconds to count": counting,
        "peak": peaks,
        "pairs": int(pairs),
        "digests": [digest.hexdigest()[:16] for digest in digests],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--chunk", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", default="2GB")
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument("--only", choices=["memory", "cluster"])
    given = parser.parse_args()
    if given.only == "memory":
        print(json.dumps(in_memory(given.count, given.chunk)))
        return
    if given.only == "cluster":
        options = (given.count, given.chunk, given.workers, given.limit, given.parts)
        print(json.dumps(on_cluster(*options)))
        return
    for only in ("memory", "cluster"):  # each in a process of its own
        subprocess.run([sys.executable, "-m", "bench.dask_join", *sys.argv[1:], "--only", only])


if __name__ == "__main__":
    main()
