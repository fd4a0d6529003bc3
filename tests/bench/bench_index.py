"""The vector index beside the faiss package: same machine, same run, same shape of data.

    ./dev bench index

faiss runs as installed: the wheel of 1.15.1 scans once per query whatever their number (its BLAS
threshold is 128000), which is most of the difference from 32 queries on.
"""
import os
import threading
import time

import faiss
import numpy as np
import tools

N, DIM, K = 200_000, 1280, 10


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


def main(_):
    """Once: each of the two takes its own medians."""
    run = tools.run("bench/bench_index", N, DIM)
    ours = {name: float(value) for name, value in
            (line.split() for line in run.stdout.decode().splitlines())}
    theirs = bench_faiss(N, DIM)
    print(f"{N} vectors of {DIM}, {os.cpu_count()} cores, faiss {faiss.__version__}")
    print(f"{'':28}{'vidx':>10}{'faiss':>10}{'vidx is faster by':>20}")
    for name, value in ours.items():
        line = f"{name:28}{value:10.3f}"
        if name in theirs:
            ratio = theirs[name] / value if name.endswith("_ms") else value / theirs[name]
            line += f"{theirs[name]:10.3f}{ratio:19.2f}x"
        print(line)
