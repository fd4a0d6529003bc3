"""Cosmos-Embed1 on a GPU, through HTTP: bulk uploads, single queries, texts at once.

    VIDX_GPU_MODELS=build/models-gpu python tests/bench/run.py gpu

What NVIDIA's services publish for the same network, as far as it can be the same: 15-s clips in
1080p H.264 (clips.py) uploaded 32 at a time, each stored durably, fingerprinted and compared with all
before; then, one caller at a time, a clip and a text to /v1/embeddings; then texts from 32 callers. The
weights are random (tests/gpu/packages.py), which costs the same. Decoding is on the processor.
"""
import base64
import http.client
import json
import multiprocessing
import os
import statistics
import time
from pathlib import Path
from urllib.parse import urlparse

import clips
import measure
from client import send_all
from server import Server

MODELS = Path(os.environ.get("VIDX_GPU_MODELS", measure.ROOT / "build/models-gpu"))
VARIANTS = ("224p", "336p", "448p")
N_FILES, AT_ONCE = 96, 32
N_QUERIES = 40
TEXT_PROCESSES, TEXT_CONNECTIONS, TEXT_SECONDS = 8, 4, 4
WORDS = "a man in a red jacket rides a bicycle down a steep hill near the sea".split()


def uploads(server, paths):
    """Clips a second, and where the time went."""
    before = server.get("/v1/stats").json()
    seconds = send_all(server.url, paths, AT_ONCE)
    after = server.get("/v1/stats").json()
    return {"rate": len(paths) / seconds, "seconds": seconds, "phases": {
        name: (phase["total_s"] - before["ingest"]["phases"][name]["total_s"]) / len(paths)
        for name, phase in after["ingest"]["phases"].items()},
        "decoded": after["ingest"]["frames_decoded"] / after["ingest"]["frames_total"],
        "models": after["models"], "models_before": before["models"]}


def post(connection, body):
    connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    data = answer.read()
    assert answer.status == 200, data[:300]


def request(model, text):
    return json.dumps({"model": model, "input": text, "request_type": "query"})


def latency_ms(url, bodies):
    """Milliseconds of each request, one after the other on one connection."""
    address = urlparse(url)
    connection = http.client.HTTPConnection(address.hostname, address.port)
    took = []
    for body in bodies:
        start = time.perf_counter()
        post(connection, body)
        took.append(1e3 * (time.perf_counter() - start))
    connection.close()
    return took[len(took) // 5:]  # the first warm up


def text_of(i):
    return f"{' '.join(WORDS[i % 5:5 + i % 10])} {i}"


def ask(url, model, first, start, counts):
    """A process: some connections in threads, texts one after the other on each."""
    from threading import Thread

    done = [0] * TEXT_CONNECTIONS

    def run(slot):
        address = urlparse(url)
        connection = http.client.HTTPConnection(address.hostname, address.port)
        post(connection, request(model, text_of(slot)))
        start.wait()
        end, i = time.perf_counter() + TEXT_SECONDS, first * 100000 + slot * 1000
        while time.perf_counter() < end:
            post(connection, request(model, text_of(i)))
            i, done[slot] = i + 1, done[slot] + 1

    threads = [Thread(target=run, args=(slot,)) for slot in range(TEXT_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts.put(sum(done))


def texts_per_s(url, model):
    start = multiprocessing.Barrier(TEXT_PROCESSES * TEXT_CONNECTIONS)
    counts = multiprocessing.Queue()
    workers = [multiprocessing.Process(target=ask, args=(url, model, i, start, counts))
               for i in range(TEXT_PROCESSES)]
    for worker in workers:
        worker.start()
    total = sum(counts.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total / TEXT_SECONDS


def bulk(name, keyint, rounds, flags=()):
    paths = clips.distinct(clips.full_hd(keyint), measure.scratch("files"), N_FILES)
    results = []
    for _ in range(rounds):
        with Server(measure.scratch("data"), MODELS, name, flags) as server:
            uploads(server, clips.distinct(paths[:1], measure.scratch("warm"), 8))
            results.append(uploads(server, paths))
    last = results[-1]
    phases = ", ".join(f"{k} {v:.3f}" for k, v in last["phases"].items() if v >= 0.001)
    model, before = last["models"][name], last["models_before"][name]
    busy = model["busy_s"] - before["busy_s"]
    runs = model["batches"] - before["batches"]
    measure.line(f"{name}, keyframe every {keyint} {' '.join(flags)}",
                 measure.spread([r["rate"] for r in results]),
                 f"{last['decoded']:.0%} decoded; GPU busy {busy / last['seconds']:.0%}, "
                 f"{N_FILES / runs:.1f} clips a run")
    print(f"    seconds a clip: {phases}", flush=True)


def queries(name):
    clip = measure.ROOT / "build/samples/real/bikes.mp4"
    video = request(name, "data:video/mp4;base64," + base64.b64encode(clip.read_bytes()).decode())
    film = clips.full_hd(30)[0].read_bytes()
    hd = request(name, "data:video/mp4;base64," + base64.b64encode(film).decode())
    with Server(measure.scratch("data"), MODELS, name) as server:
        for what, bodies in (("bikes.mp4 as base64", [video] * N_QUERIES),
                             ("15 s of 1080p as base64", [hd] * 12),
                             ("text", [request(name, text_of(i)) for i in range(5 * N_QUERIES)])):
            took = latency_ms(server.url, bodies)
            measure.line(f"{name}, {what}, ms", measure.spread(took, 1),
                         f"mean {statistics.mean(took):.1f}")
        measure.line(f"{name}, texts a second, {TEXT_PROCESSES * TEXT_CONNECTIONS} callers",
                     f"{texts_per_s(server.url, name):.0f}")


def main(rounds):
    names = [f"cosmos-embed1-{variant}" for variant in VARIANTS
             if (MODELS / f"cosmos-embed1-{variant}").exists()]
    for name in names:
        queries(name)
    for name in names:
        for keyint in (30, 250):
            bulk(name, keyint, rounds)
    if names:
        bulk(names[0], 30, rounds, ["--no-fingerprints"])
