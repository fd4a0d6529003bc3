"""Searches of the vector index beside other engines that search exactly: same machine, run and vectors.

    ./dev bench search          SIZES=100000x256,100000xreal and PEERS=faiss,usearch in the environment: only these

The peers (faiss-cpu, usearch, lancedb without an index, qdrant-client's local mode, chromadb) are installed into
build/bench/peers, in their newest versions. One runs at a time, in a process of its own; where one is left out, why is
printed. Vectors lie around 2000 random directions, as embeddings do. Those of the size "real" lie around the embeddings that the
default model makes of each second of a film, with a cosine of 0.96 to them. Prints a table with vidx's time and
how many times as long each peer took, and writes build/bench/search.json. Sizes need up to three times their
vectors in memory.
"""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import measure
import numpy as np
import tools

SIZES = "100000x256,100000x768,100000x1280,100000xreal,1000000x256,1000000x768"
PEERS = {"faiss": "faiss-cpu", "usearch": "usearch", "lancedb": "lancedb", "qdrant": "qdrant-client",
         "chroma": "chromadb"}
COPIES = {"faiss": 1, "qdrant": 1, "chroma": 3}  # of the vectors in its memory, about; the others read the file's
MOST_ROWS = {"chroma": 100_000}  # it takes minutes to build its graph of these, and half an hour of a million
QUERIES = 512


def peers_python():
    folder = measure.CACHE / "peers"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "numpy", *PEERS.values()], check=True)
        (folder / "done").touch()
    return python


def real_vectors():
    """float32 [seconds of the film, dim], made once."""
    import make  # the samples of the tests
    folder = measure.CACHE / "real"
    if not (folder / "out" / "embeddings.npy").exists():
        (folder / "in").mkdir(parents=True, exist_ok=True)
        shutil.copy(make.real("film.mp4"), folder / "in")
        subprocess.run([tools.path("../vidx"), "embed", "--input", folder / "in", "--output", folder / "out",
                        "--models", measure.MODELS, "--model", measure.DEFAULT_MODEL, "--clip", "fixed:1",
                        "--fingerprints", "off"], check=True)
    return np.load(folder / "out" / "embeddings.npy")


def make_vectors(n, dim, folder, directions=None):
    """Around directions (float32 [any, dim]; None: 2000 at random)."""
    rng = np.random.default_rng(1)
    along, across = (0.6, 0.8) if directions is None else (0.96, 0.28)
    if directions is None:
        directions = rng.standard_normal((2000, dim), dtype=np.float32)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def rows(m):
        noise = rng.standard_normal((m, dim), dtype=np.float32) * np.float32(across / np.sqrt(dim))
        x = noise + np.float32(along) * directions[rng.integers(0, len(directions), m)]
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


def why_not(name, n, dim):
    """Why a peer cannot be asked; None: it can."""
    if n > MOST_ROWS.get(name, n):
        return f"with more than {MOST_ROWS[name]} rows it takes half an hour and more to build its graph"
    free = int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) * 1024
    wanted = n * dim * 4 * COPIES.get(name, 0) + n * 500
    return None if wanted < free else f"it needs about {wanted >> 30} GiB of memory, and {free >> 30} are free"


def run_size(n, dim, directions, python):
    vectors, queries = make_vectors(n, dim, measure.scratch("search"), directions)
    sides = {"vidx": lines([tools.path("bench/bench_search"), vectors, queries, dim])}
    for name in os.environ.get("PEERS", ",".join(PEERS)).split(","):
        reason = why_not(name, n, dim)
        if reason:
            print(f"  {name} is left out at {n} x {dim}: {reason}")
            continue
        script = measure.ROOT / "tests" / "bench" / "search_peers.py"
        sides[name] = lines([python, script, name, vectors, queries, dim])
    return sides


def cell(rows, n, k):
    return next((row["ms"] for row in rows if row["what"] == "search" and (row["n"], row["k"]) == (n, k)),
                None)


def print_size(n, dim, kind, sides):
    ids = {name: next(row["ids"] for row in rows if row["what"] == "ids") for name, rows in sides.items()}
    peers = [name for name in PEERS if name in sides]
    for name in peers:
        same = sum(a == b for a, b in zip(ids["vidx"], ids[name]))
        if same < 0.99 * len(ids["vidx"]):  # ties and float32 sums may swap neighbours
            print(f"  {name} finds other rows: {same} of {len(ids['vidx'])} are the same")
    print(f"{n} x {dim}{kind:8}{'vidx, ms':>14}" + "".join(f"{name:>12}" for name in peers))
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
    for size in os.environ.get("SIZES", SIZES).split(","):
        n, dim = size.split("x")
        directions = real_vectors() if dim == "real" else None
        n, dim = int(n), int(dim) if directions is None else directions.shape[1]
        sides = run_size(n, dim, directions, python)
        print_size(n, dim, " real" if directions is not None else "", sides)
        results.append({"n": n, "dim": dim, "sides": sides})
        (measure.CACHE / "search.json").write_text(json.dumps(results, indent=1))
