"""Searches over HTTP while vectors are inserted, beside Milvus; and how long a start takes with them.

    ./dev bench search-http                 SIZE=200000x256 SECONDS=8 SIDES=vidx,Strong,Bounded in the environment
                                            change what it does

Milvus 2.3.5 is the one that PyPI has (milvus-server, one process), installed into build/bench/milvus. Its
collection is FLAT, inner product; REST, as vidx's clients use, with the consistency levels Strong (what was
inserted before is found, as in vidx) and Bounded (its default: may be late). Both sides get the same vectors,
queries, k 10 and 100 inserts a second in two groups of 50: vidx as two uploads of 50 clips, which it also
decodes, embeds by a tiny model and syncs to the disk; Milvus as two calls with 50 vectors. The client is
http_load.c. One side runs at a time.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import measure
import numpy as np
import requests
import tools
from bench_search import make_vectors
from server import Server

N, DIM = (int(part) for part in os.environ.get("SIZE", "200000x256").split("x"))
SECONDS, K, CONNECTIONS = float(os.environ.get("SECONDS", 8)), 10, (1, 16, 64)
CLIPS, UPLOADS_PER_S = 50, 2
MILVUS = measure.CACHE / "milvus"
VERSION = ["milvus==2.3.5", "pymilvus==2.3.7", "marshmallow<4", "setuptools<81", "numpy"]


# ---- vidx ----

def make_package(folder):
    """A model of DIM numbers that costs nothing: the mean colours of a clip's cells, spread by waves."""
    sys.path[:0] = [str(measure.ROOT / "models"), str(measure.ROOT / "tests" / "testmodel")]
    import make
    import torch
    from common import package
    from torch import nn
    from torch.nn import functional as F

    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            waves = torch.sin(torch.arange(193).view(-1, 1) * torch.arange(1, DIM + 1).view(1, -1) * 0.7)
            self.register_buffer("waves", waves)

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            cells = F.adaptive_avg_pool2d(clips.mean(1), [8, 8]).flatten(1)
            return F.normalize(F.pad(cells, [0, 1], "constant", 0.2) @ self.waves, dim=-1)

    manifest = make.manifest("wide", "bench", ("cpu",)) | {"name": "wide", "dim": DIM}
    package.write(folder / "wide", manifest, {"video.pt": torch.jit.freeze(torch.jit.script(Wide().eval()))})


def make_videos(folder, n):
    """Of CLIPS seconds, each of another noise."""
    import av
    rng = np.random.default_rng(3)
    paths = []
    for i in range(n):
        paths.append(folder / f"{i}.mp4")
        with av.open(str(paths[-1]), "w") as out:
            stream = out.add_stream("libx264", rate=4, options={"preset": "ultrafast", "crf": "30"})
            stream.width = stream.height = 64
            for picture in rng.integers(0, 256, (CLIPS * 4, 8, 8, 3), np.uint8):
                frame = av.VideoFrame.from_ndarray(picture.repeat(8, 0).repeat(8, 1), format="rgb24")
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
    return paths


def fill_vidx(data, models, vectors):
    with Server(data, models, "wide", ["--fingerprints", "off"]) as server:
        model = server.get("/v1/models/wide").json()
    subprocess.run([tools.path("bench/bench_fill"), data / "catalog.db", "wide", model["digest"], str(DIM),
                    vectors], check=True, stdout=subprocess.DEVNULL)


def start_seconds(data, models):
    """Start to ready with all vectors, from the page cache; and the processor time of it."""
    server = Server(data, models, "wide", ["--fingerprints", "off"])
    start = time.perf_counter()
    with server:
        while server.get("/v1/health/ready").status_code != 200:
            time.sleep(0.005)
        took = time.perf_counter() - start
        with open(f"/proc/{server.process.pid}/stat") as stat:
            user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
        return took, (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


# ---- Milvus ----

class Milvus:
    """The server, and what its REST API does not do (the level of a collection), by its client in its own
    Python."""

    def __enter__(self):
        """Its etcd takes fixed ports, which another program may have for a moment: then it dies at once."""
        for _ in range(5):
            self.data = tempfile.mkdtemp(dir=measure.CACHE)
            self.process = subprocess.Popen([MILVUS / "bin" / "milvus-server", "--data", self.data],
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                            start_new_session=True)
            if self.is_up():
                return self
            self.__exit__()
        raise AssertionError("Milvus does not start")

    def is_up(self):
        log, deadline = os.path.join(self.data, "logs", "milvus-stderr.log"), time.monotonic() + 180
        while time.monotonic() < deadline:
            if os.path.exists(log) and "panic:" in open(log, errors="replace").read():
                return False
            try:
                url = "http://127.0.0.1:19530/v1/vector/collections"
                if requests.get(url, timeout=5).json()["code"] == 200:
                    return True
            except (requests.RequestException, KeyError, ValueError):
                pass
            time.sleep(1)
        return False

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        shutil.rmtree(self.data, ignore_errors=True)

    def fill(self, name, level, path):
        script = measure.ROOT / "tests" / "bench" / "milvus_fill.py"
        """Seconds until the vectors were durable."""
        done = subprocess.run([MILVUS / "bin" / "python", script, name, level, path, str(DIM)], check=True, stdout=subprocess.PIPE)
        return float(done.stdout)


def install_milvus():
    if not (MILVUS / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", MILVUS], check=True)
        subprocess.run([MILVUS / "bin" / "pip", "install", "-q", *VERSION], check=True)
        (MILVUS / "done").touch()


# ---- both ----

class Inserts(threading.Thread):
    """Calls insert(i) UPLOADS_PER_S times a second, each on a thread of its own, until it is told to end."""

    def __init__(self, insert):
        super().__init__()
        self.insert, self.over, self.n, self.failures = insert, threading.Event(), 0, []

    def run(self):
        start = time.monotonic()
        calls = []
        while not self.over.wait(max(0, start + self.n / UPLOADS_PER_S - time.monotonic())):
            calls.append(threading.Thread(target=self.call, args=(self.n,)))
            calls[-1].start()
            self.n += 1
        for call in calls:
            call.join()

    def call(self, i):
        if problem := self.insert(i):
            self.failures.append(problem)


def load(url, bodies, insert):
    """{connections: what http_load.c says}, while inserts go on."""
    results = {}
    for n in CONNECTIONS:
        inserts = Inserts(insert)
        inserts.start()
        run = subprocess.run([tools.path("bench/http_load"), url, bodies, str(n), str(SECONDS)], check=True,
                             stdout=subprocess.PIPE)
        inserts.over.set()
        inserts.join()
        results[n] = json.loads(run.stdout) | {"inserts": inserts.n, "failures": inserts.failures[:1]}
    return results


def write_bodies(folder, name, queries, body):
    path = folder / name
    path.write_text("".join(json.dumps(body([round(float(x), 6) for x in q]), separators=(",", ":")) + "\n"
                            for q in queries))
    return path


def run_vidx(folder, vectors, queries):
    models, data = folder / "models", folder / "data"
    make_package(models)
    videos = make_videos(folder, int(len(CONNECTIONS) * (SECONDS + 10) * UPLOADS_PER_S))
    fill_vidx(data, models, vectors)
    starts = [start_seconds(data, models) for _ in range(2)]
    bodies = write_bodies(folder, "vidx.jsonl", queries, lambda q: {"vector": q, "k": K, "group_by": "clip"})
    taken = iter(videos)
    with Server(data, models, "wide", ["--fingerprints", "off", "--clip", "fixed:1"]) as server:
        while server.get("/v1/health/ready").status_code != 200:
            time.sleep(0.02)
        first = server.post("/v1/search", json=json.loads(bodies.read_text().splitlines()[0])).json()
        assert len(first["items"]) == K, first

        def insert(_):
            path = next(taken, None)
            if not path:
                return "there are no more videos: the searches went on too long"
            answer = requests.put(f"{server.url}/v1/videos/{path.name}", data=path.read_bytes(),
                                  headers={"Content-Type": "video/mp4"})
            clips = len(answer.json().get("clips", [])) if answer.status_code == 201 else 0
            return None if clips == CLIPS else f"{answer.status_code}, {clips} clips: {answer.text[:200]}"
        return load(f"{server.url}/v1/search", bodies, insert), starts


def run_milvus(folder, vectors, queries, level):
    rng = np.random.default_rng(5)
    name = f"c{level}"
    bodies = write_bodies(folder, "milvus.jsonl", queries,
                          lambda q: {"collectionName": name, "vector": q, "limit": K})
    with Milvus() as server:
        server.fill(name, level, vectors)

        def insert(i):
            rows = rng.standard_normal((CLIPS, DIM), dtype=np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            data = [{"id": N + 1000 + i * CLIPS + j + int(time.monotonic() * 1e3) * 1000, "vector": row.tolist()}
                    for j, row in enumerate(rows)]
            answer = requests.post("http://127.0.0.1:19530/v1/vector/insert",
                                   json={"collectionName": name, "data": data}).json()
            return None if answer.get("code") == 200 else str(answer)[:300]
        return load("http://127.0.0.1:19530/v1/vector/search", bodies, insert)


def show(name, sides):
    for n, r in sides[name].items():
        ratio = f"{sides['vidx'][n]['per_s'] / r['per_s']:.1f}x" if name != "vidx" and "vidx" in sides else ""
        print(f"{name:20}{n:11} {r['per_s']:10.1f}{r['p50']:9.2f}{r['p99']:9.2f}{r['p99'] / r['p50']:9.1f}"
              f"{r['wrong']:7}{r['client_cpu']:8.2f}{r['inserts'] * CLIPS / SECONDS:11.0f}   {ratio}", flush=True)
        if r["failures"]:
            print(f"  an insert failed: {r['failures'][0]}", flush=True)


def main(_):
    """Once."""
    install_milvus()
    folder = measure.scratch("search-http")
    vectors, query_path = make_vectors(N, DIM, folder)
    queries = np.fromfile(query_path, np.float32).reshape(-1, DIM)
    wanted, sides = os.environ.get("SIDES", "vidx,Strong,Bounded").split(","), {}
    print(f"{'':20}connections {'queries/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'p99/p50':>9}{'wrong':>7}"
          f"{'client':>8}{'inserts/s':>11}   vidx is faster by", flush=True)
    if "vidx" in wanted:
        sides["vidx"], starts = run_vidx(folder, vectors, queries)
        show("vidx", sides)
        print(f"{N} x {DIM}: start to ready {measure.spread([took for took, _ in starts])} s, of all processors "
              f"{measure.spread([cpu for _, cpu in starts])} s", flush=True)
    for level in ("Strong", "Bounded"):
        if level in wanted:
            sides[f"Milvus, {level}"] = run_milvus(folder, vectors, queries, level)
            show(f"Milvus, {level}", sides)
    (measure.CACHE / "search-http.json").write_text(json.dumps(sides, indent=1))
    shutil.rmtree(folder)
