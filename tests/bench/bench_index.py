"""The vector index beside the faiss package: same machine, same run, same shape of data.

    python tests/bench/bench_index.py [N] [DIM]        (default 200000 1280)

faiss runs as installed: the wheel of 1.15.1 scans once per query whatever their number (its BLAS
threshold is 128000), which is most of the difference from 32 queries on.
Takes the newest tests/bench/bench_index under build/, or the one of VIDX_BUILD.
"""
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import faiss
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
K = 10


def bench_binary():
    if "VIDX_BUILD" in os.environ:
        return ROOT / os.environ["VIDX_BUILD"] / "tests/bench/bench_index"
    return max(ROOT.glob("build/*/tests/bench/bench_index"), key=lambda p: p.stat().st_mtime)


def median_ms(call, seconds=2.0, at_most=101):
    took, end = [], time.perf_counter() + seconds
    while len(took) < 5 or (len(took) < at_most and time.perf_counter() < end):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return 1e3 * float(np.median(took))


def callers_per_s(index, queries, n_callers=32, seconds=3.0):
    """Single queries from many threads at once; faiss lets go of Python's lock while it searches."""
    end, counts = time.perf_counter() + seconds, [0] * n_callers

    def call(i):
        while time.perf_counter() < end:
            index.search(queries[i:i + 1], K)
            counts[i] += 1

    threads = [threading.Thread(target=call, args=(i,)) for i in range(n_callers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def bench_faiss(n, dim):
    rng = np.random.default_rng(1)
    index, queries = faiss.IndexFlatIP(dim), rng.standard_normal((64, dim), dtype=np.float32)
    faiss.normalize_L2(queries)
    for start in range(0, n, 20000):
        rows = rng.standard_normal((min(20000, n - start), dim), dtype=np.float32)
        faiss.normalize_L2(rows)
        index.add(rows)
    result = {f"search_{m}_ms": median_ms(lambda m=m: index.search(queries[:m], K))
              for m in (1, 4, 32, 64)}
    result["callers_32_queries_per_s"] = callers_per_s(index, queries)
    return result


def main():
    n, dim = (int(a) for a in sys.argv[1:3]) if len(sys.argv) > 2 else (200000, 1280)
    run = subprocess.run([bench_binary(), str(n), str(dim)], check=True, capture_output=True)
    ours = {name: float(value) for name, value in
            (line.split() for line in run.stdout.decode().splitlines())}
    theirs = bench_faiss(n, dim)
    print(f"{n} vectors of {dim}, {os.cpu_count()} cores, faiss {faiss.__version__}")
    print(f"{'':28}{'vidx':>10}{'faiss':>10}{'vidx is faster by':>20}")
    for name, value in ours.items():
        line = f"{name:28}{value:10.3f}"
        if name in theirs:
            ratio = theirs[name] / value if name.endswith("_ms") else value / theirs[name]
            line += f"{theirs[name]:10.3f}{ratio:19.2f}x"
        print(line)


if __name__ == "__main__":
    main()
