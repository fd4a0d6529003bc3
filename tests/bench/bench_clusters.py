"""k-means beside the faiss package, and clusters by density: same vectors, same machine, same run.

    ./dev bench clusters

Both sides run the same number of iterations over all vectors (faiss would take a sample), with unit centroids, and then
assign every vector. CPU time is printed beside the seconds: on a machine with other work only that one compares.
"""
import json
import os
import resource
import time

import faiss
import numpy as np
import tools
from measure import scratch

N, DIM, K, ITERATIONS = 1_000_000, 256, 1000, 20
DENSITY_N = 50_000


def make(path, n, groups, width=1.0, noise=0.0):
    """Unit vectors around so many directions; a share of them around none."""
    random = np.random.default_rng(1)
    centers = random.standard_normal((groups, DIM), dtype=np.float32)
    with open(path, "wb") as file:
        for start in range(0, n, 50_000):
            rows = min(50_000, n - start)
            x = centers[random.integers(groups, size=rows)]
            x[random.random(rows) < noise] = 0
            x += width * random.standard_normal((rows, DIM), dtype=np.float32)
            faiss.normalize_L2(x)
            x.tofile(file)


def ours(*arguments):
    return json.loads(tools.run("cluster/cluster_tool", *arguments).stdout)


def theirs(path):
    x = np.fromfile(path, np.float32).reshape(-1, DIM)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    clustering = faiss.Clustering(DIM, K)
    clustering.niter, clustering.spherical, clustering.seed = ITERATIONS, True, 1
    clustering.max_points_per_centroid = N
    index = faiss.IndexFlatIP(DIM)
    clustering.train(x, index)
    scores, _ = index.search(x, 1)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return {"wall_s": wall, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "mean_score": float(scores.mean()), "peak_kb": after.ru_maxrss}


def main(_):
    folder = scratch("clusters")
    path, out = folder / "vectors", folder / "out"
    make(path, N, 2 * K)
    a = ours("kmeans", path, DIM, 0, K, 0, ITERATIONS, 1, 1, out)
    b = theirs(path)
    print(f"k-means, {N} x {DIM}, k {K}, {ITERATIONS} iterations, {os.cpu_count()} cores, faiss {faiss.__version__}")
    print(f"{'':12}{'seconds':>10}{'CPU s':>10}{'mean cosine':>14}{'peak MB':>10}")
    for name, side in (("vidx", a), ("faiss", b)):
        print(f"{name:12}{side['wall_s']:10.1f}{side['cpu_s']:10.1f}{side['mean_score']:14.4f}{side['peak_kb'] / 1e3:10.0f}")
    print(f"{'faiss / vidx':12}{b['wall_s'] / a['wall_s']:9.2f}x{b['cpu_s'] / a['cpu_s']:9.2f}x")
    make(path, DENSITY_N, 200, 0.8, noise=0.1)
    c = ours("density", path, DIM, 0, 20, 10, out)
    print(f"density, {DENSITY_N} x {DIM}: {c['wall_s']:.1f} s, {c['cpu_s']:.1f} s of CPU, peak {c['peak_kb'] / 1e3:.0f} MB, "
          f"{c['k']} clusters of 200 groups")
    path.unlink()
