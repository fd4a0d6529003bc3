"""Vectors in: how many a second are durable, and searched in the two last rows, beside Milvus.

    ./dev bench import                 SIZE=200000x256 in the environment changes what it does

`vidx import` and POST /v1/import of one NumPy file, each vector a video of its own, and ten of them a video. Both read the
file twice, first to check every number. Milvus 2.3.5 as in bench_search_http.py: its client inserts 5,000 at a
time, then flushes. One side runs at a time; processor time is that of the importing process, where it is known.
"""
import json
import resource
import shutil
import subprocess
import time

import measure
import numpy as np
from bench_search_http import DIM, Milvus, N, install_milvus, make_package
from server import BINARY, Server


def made(folder):
    """The vectors as NumPy and bare, and rows of ten clips a video."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((N, DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / "v.npy", vectors)
    vectors.tofile(folder / "v.f32")
    with open(folder / "rows.jsonl", "w") as file:
        for i in range(N):
            file.write(json.dumps({"video_id": f"film{i // 10}", "start_s": i % 10, "end_s": i % 10 + 1}) + "\n")


def row(name, seconds, processor=None):
    used = f"  {processor / N * 1e6:5.1f} us of a processor each" if processor else ""
    print(f"{name:44} {N / seconds:9.0f} vectors/s{used}", flush=True)
    return N / seconds


def command(folder, empty, *rows):
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(empty, data)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([BINARY, "import", "--data", data, "--model", "wide", "--input", folder / "v.npy", *rows],
                   check=True, stdout=subprocess.DEVNULL)
    took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def request(folder, models, rows):
    data = folder / "served"
    shutil.rmtree(data, ignore_errors=True)
    with Server(data, models, "wide") as server:
        files = {"file": (folder / "v.npy").open("rb")} | ({"rows": (folder / "rows.jsonl").open("rb")} if rows else {})
        job = server.http.post(f"{server.url}/v1/import", files=files, data={"model": "wide"}).json()["id"]
        start = time.perf_counter()
        done = server.wait_for_job(job, seconds=600)
        assert done["report"]["vectors"] == N, done
        return time.perf_counter() - start


def main(_rounds):
    print(f"import: {N} vectors of {DIM}")
    install_milvus()
    folder = measure.scratch("import")
    made(folder)
    make_package(folder / "models")
    with Server(folder / "empty", folder / "models", "wide"):
        pass
    ours = row("vidx import, a video each", *command(folder, folder / "empty"))
    row("vidx import, ten a video", *command(folder, folder / "empty", "--rows", folder / "rows.jsonl"))
    row("POST /v1/import, a video each", request(folder, folder / "models", False))
    row("POST /v1/import, ten a video", request(folder, folder / "models", True))
    with Milvus() as milvus:
        theirs = row("Milvus, insert and flush", milvus.fill("imported", "Strong", folder / "v.f32"))
    print(f"of Milvus: {ours / theirs:.2f}")
    shutil.rmtree(folder)
