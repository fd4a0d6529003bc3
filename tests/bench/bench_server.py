"""vidx serve: start with nothing stored and with a large catalog, uploads into both, a huge upload."""
import concurrent.futures
import os
import re
import sqlite3
import statistics
import subprocess
import time

import av
import measure
import numpy as np
import requests
from server import Server

N_VIDEOS, FRAMES_A_VIDEO = 200_000, 30
HUGE_BYTES = 4 << 30
N_UPLOADS, SECONDS, RATE, SIZE, BLOCK = 64, 15, 10, (240, 320), 20  # rows, columns; one block of colour


def ready_seconds(data):
    """From the start of the process to its first answer that it is ready."""
    server = Server(data, measure.MODELS, measure.DEFAULT_MODEL)
    start = time.perf_counter()
    with server:
        while server.get("/v1/health/ready").status_code != 200:
            time.sleep(0.005)
        return time.perf_counter() - start


def start(rounds):
    data = measure.scratch("data")
    ready_seconds(data)
    times = [ready_seconds(data) for _ in range(rounds)]
    print("Start to ready, nothing stored, model in the page cache, seconds")
    measure.line(f"vidx serve --model {measure.DEFAULT_MODEL}", measure.spread(times))


def fill_catalog(path, n=N_VIDEOS):
    """n videos of one clip each, as the server would have stored them."""
    rng = np.random.default_rng(1)
    with sqlite3.connect(path) as db:
        space, dim = db.execute("SELECT row, dim FROM spaces").fetchone()
        columns = [row[1] for row in db.execute("PRAGMA table_info(videos)")]
        marks = ",".join("?" * len(columns))
        for first in range(1, n + 1, 10_000):
            rows = range(first, min(first + 10_000, n + 1))
            vectors = rng.standard_normal((len(rows), dim), dtype=np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            records = np.zeros((len(rows), FRAMES_A_VIDEO),
                               np.dtype([("t", "<f4"), ("quality", "u1"), ("hash", "u1", 32)]))
            records["t"], records["quality"] = np.arange(FRAMES_A_VIDEO) / 2, 100
            records["hash"] = rng.integers(0, 256, records["hash"].shape, np.uint8)
            known = {"id": lambda i: f"v{i:024x}", "sha256": lambda i: i.to_bytes(32, "big"),
                     "metadata": lambda i: "{}", "row": lambda i: i, "fps": lambda i: 30.0,
                     "duration_s": lambda i: 15.0, "source_path": lambda i: None}
            text = {"filename", "container", "codec", "duplicate_of", "decode_path"}
            db.executemany(f"INSERT INTO videos ({','.join(columns)}) VALUES ({marks})", (
                [known.get(c, lambda i, c=c: "" if c in text else 0)(i) for c in columns]
                for i in rows))
            db.executemany("INSERT INTO clips VALUES (?, ?, 0, 0, 15)", ((i, i) for i in rows))
            db.executemany("INSERT INTO vectors (key, data) VALUES (?, ?)",
                           ((space << 40 | i, v.tobytes()) for i, v in zip(rows, vectors)))
            db.executemany("INSERT INTO fingerprints (video, data) VALUES (?, ?)",
                           ((i, r.tobytes()) for i, r in zip(rows, records)))
        db.execute("UPDATE spaces SET vectors = ? WHERE row = ?", (n, space))
    db.close()


def evict(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def read_file(path):
    start = time.perf_counter()
    subprocess.run(f"cat {path} >/dev/null", shell=True, check=True)
    return os.path.getsize(path) / (time.perf_counter() - start) / 1e9


def rebuild(data):
    """What the server itself says of its start: GB/s of vectors, seconds for fingerprints."""
    server = Server(data, measure.MODELS, measure.DEFAULT_MODEL)
    offset = server.log.stat().st_size
    with server:
        log = server.log.read_text()[offset:]
    vectors = re.search(r"rows=(\d+) ms=[\d.]+ gb_per_s=([\d.]+)", log)
    fingerprints = re.search(r"fingerprints_ms=([\d.]+)", log)
    assert int(vectors[1]) == N_VIDEOS, log
    return float(vectors[2]), float(fingerprints[1]) / 1e3


def restart(rounds):
    data = measure.scratch("data")
    path = data / "catalog.db"
    ready_seconds(data)
    fill_catalog(path)
    rebuild(data)  # folds the log into the file

    def cold(call):
        evict(path)
        return call()

    disk, cold_load, cache, warm_load = measure.alternate(
        rounds, lambda: cold(lambda: read_file(path)), lambda: cold(lambda: rebuild(data)),
        lambda: read_file(path), lambda: rebuild(data))
    print(f"Index rebuilt at start: {N_VIDEOS} videos, a catalog of "
          f"{path.stat().st_size / 1e9:.2f} GB, GB/s")
    measure.line("cat catalog.db, from the disk", measure.spread(disk))
    measure.line("vidx, from the disk", measure.spread([r[0] for r in cold_load]),
                 f"{statistics.median(a[0] / b for a, b in zip(cold_load, disk)):.2f} of cat")
    measure.line("cat catalog.db, from memory", measure.spread(cache))
    measure.line("vidx, from memory", measure.spread([r[0] for r in warm_load]))
    measure.line(f"then {N_VIDEOS * FRAMES_A_VIDEO} fingerprints, seconds",
                 measure.spread([r[1] for r in warm_load]))
    measure.scratch("data")


def make_small(path, seed):
    """Coloured blocks that wander, other ones every five seconds: little to decode, much to compare."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE)
        stream.height, stream.width = SIZE
        for i in range(SECONDS * RATE):
            if i % (5 * RATE) == 0:
                blocks = rng.integers(0, 255, (SIZE[0] // BLOCK, SIZE[1] // BLOCK, 3), np.uint8)
                picture = blocks.repeat(BLOCK, 0).repeat(BLOCK, 1)
            moved = np.ascontiguousarray(np.roll(picture, 3 * i, 1))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(moved, "rgb24")))
        out.mux(stream.encode(None))


def upload_rate(data, bodies):
    """Videos a second, sixteen at once; they are deleted again."""
    with Server(data, measure.MODELS, measure.DEFAULT_MODEL) as server, \
            concurrent.futures.ThreadPoolExecutor(16) as pool:
        def send(body):
            answer = requests.post(f"{server.url}/v1/videos", data=body, timeout=600)
            assert answer.status_code == 201, answer.text
            return answer.json()["id"]
        start = time.perf_counter()
        ids = list(pool.map(send, bodies))
        seconds = time.perf_counter() - start
        for video in ids:
            assert server.delete(f"/v1/videos/{video}").status_code == 204
    return len(bodies) / seconds


def crowd(rounds):
    folder, empty, full = (measure.scratch(name) for name in ("small", "data", "crowded"))
    bodies = []
    for seed in range(N_UPLOADS):
        make_small(folder / "clip.mp4", seed)
        bodies.append((folder / "clip.mp4").read_bytes())
    for data in (empty, full):
        ready_seconds(data)
    fill_catalog(full / "catalog.db")
    alone, crowded = measure.alternate(rounds, lambda: upload_rate(empty, bodies),
                                       lambda: upload_rate(full, bodies))
    print(f"Uploads of {SECONDS}-s clips of {SIZE[1]}x{SIZE[0]}, 16 at once, videos a second")
    measure.line("nothing stored", measure.spread(alone))
    measure.line(f"{N_VIDEOS} videos stored", measure.spread(crowded),
                 f"{statistics.median(b / a for a, b in zip(alone, crowded)):.2f} of that")
    for name in ("small", "data", "crowded"):
        measure.scratch(name)


def memory():
    huge = measure.CACHE / "huge.mp4"
    with huge.open("wb") as file:
        file.truncate(HUGE_BYTES)
    with Server(measure.scratch("data"), measure.MODELS, measure.DEFAULT_MODEL) as server:
        before = server.memory_peak_bytes()
        run = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", "-T", huge,
             f"{server.url}/v1/videos/huge.mp4"], capture_output=True, text=True, check=True)
        status, seconds = run.stdout.split()
        grown = (server.memory_peak_bytes() - before) / 2**20
    huge.unlink()
    assert status == "415", status
    print("One upload of 4 GiB of zeros, answered 415")
    measure.line("the server's memory grows by, MiB", f"{grown:.1f}")
    measure.line("received and hashed, MB/s", f"{HUGE_BYTES / 1e6 / float(seconds):.0f}")


def main(rounds):
    start(rounds)
    restart(rounds)
    crowd(rounds)
    memory()
