"""Searches of the vector index beside other engines that search exactly: same machine, run and vectors.

    ./dev bench search

The peers (faiss-cpu, usearch, lancedb without an index, qdrant-client's local mode) are installed into
build/bench/peers, in their newest versions. chromadb is none of them: it has no exact search. Vectors lie
around 2000 random directions, as embeddings do. Prints a table with vidx's time and how many times as long
each peer took, and writes build/bench/search.json. Sizes need up to three times their vectors in memory.
"""
import json
import subprocess
import sys

import measure
import numpy as np
import tools

SIZES = [(100_000, 256), (100_000, 768), (100_000, 1280), (1_000_000, 256), (1_000_000, 768)]
PEERS = {"faiss": "faiss-cpu", "usearch": "usearch", "lancedb": "lancedb", "qdrant": "qdrant-client"}
SLOW = {"qdrant"}  # takes its vectors as Python lists; only the small sizes
QUERIES = 512


def peers_python():
    folder = measure.CACHE / "peers"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "numpy", *PEERS.values()], check=True)
        (folder / "done").touch()
    return python


def make_vectors(n, dim, folder):
    rng = np.random.default_rng(1)
    directions = rng.standard_normal((2000, dim), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def rows(m):
        noise = rng.standard_normal((m, dim), dtype=np.float32) * np.float32(0.8 / np.sqrt(dim))
        x = noise + np.float32(0.6) * directions[rng.integers(0, len(directions), m)]
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    with open(folder / "vectors.f32", "wb") as file:
        for first in range(0, n, 20000):
            rows(min(20000, n - first)).tofile(file)
    rows(QUERIES).tofile(folder / "queries.f32")
    return folder / "vectors.f32", folder / "queries.f32"


def lines(command):
    output = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE,
                            cwd=measure.CACHE / "search").stdout
    return [json.loads(line) for line in output.decode().splitlines()]


def run_size(n, dim, python):
    vectors, queries = make_vectors(n, dim, measure.scratch("search"))
    sides = {"vidx": lines([tools.path("bench/bench_search"), vectors, queries, dim])}
    for name in PEERS:
        if name not in SLOW or n <= 100_000:
            script = measure.ROOT / "tests" / "bench" / "search_peers.py"
            sides[name] = lines([python, script, name, vectors, queries, dim])
    return sides


def cell(rows, n, k):
    return next((row["ms"] for row in rows if row["what"] == "search" and (row["n"], row["k"]) == (n, k)),
                None)


def print_size(n, dim, sides):
    ids = {name: next(row["ids"] for row in rows if row["what"] == "ids") for name, rows in sides.items()}
    peers = [name for name in PEERS if name in sides]
    for name in peers:
        same = sum(a == b for a, b in zip(ids["vidx"], ids[name]))
        if same < 0.99 * len(ids["vidx"]):  # ties and float32 sums may swap neighbours
            print(f"  {name} finds other rows: {same} of {len(ids['vidx'])} are the same")
    print(f"{n} x {dim}{'':8}{'vidx, ms':>14}" + "".join(f"{name:>12}" for name in peers))
    for row in sides["vidx"]:
        if row["what"] != "search":
            continue
        name = f"{row['n']} queries, k {row['k']}"
        ratios = [cell(sides[peer], row["n"], row["k"]) for peer in peers]
        print(f"  {name:20}{row['ms']:14.2f}" + "".join(
            f"{took / row['ms']:11.1f}x" if took else f"{'':12}" for took in ratios))
    for row in sides["vidx"]:
        if row["what"] == "some":
            print(f"  {row['share']:6.1%} of videos, {row['n']} queries, k 10{row['ms']:10.2f} ms")
        elif row["what"].startswith("groups"):
            print(f"  10 {row['what']:30}{row['ms']:10.2f} ms")
        elif row["what"] == "add":
            print(f"  add {n * dim * 4 / row['ms'] / 1e6:10.2f} GB/s")


def main(_):
    """Once: each side takes its own medians."""
    python, results = peers_python(), []
    for n, dim in SIZES:
        sides = run_size(n, dim, python)
        print_size(n, dim, sides)
        results.append({"n": n, "dim": dim, "sides": sides})
        (measure.CACHE / "search.json").write_text(json.dumps(results, indent=1))
