"""Single queries and texts of bench_gpu.py: one caller after the other, then 32 at once."""
import base64
import http.client
import json
import multiprocessing
import statistics
import time
from threading import Thread
from urllib.parse import urlparse

import measure
from server import Server

N_QUERIES, N_UPLOADS = 40, 20
TEXT_PROCESSES, TEXT_CONNECTIONS, TEXT_SECONDS = 8, 4, 4
WORDS = "a man in a red jacket rides a bicycle down a steep hill near the sea".split()


def post(connection, body):
    connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    data = answer.read()
    assert answer.status == 200, data[:300]


def request(model, text):
    return json.dumps({"model": model, "input": text, "request_type": "query"})


def connect(url):
    address = urlparse(url)
    return http.client.HTTPConnection(address.hostname, address.port)


def latency_ms(url, bodies):
    """Milliseconds of each request, one after the other on one connection."""
    connection = connect(url)
    took = []
    for body in bodies:
        start = time.perf_counter()
        post(connection, body)
        took.append(1e3 * (time.perf_counter() - start))
    connection.close()
    return took[len(took) // 5:]  # the first warm up


def upload_ms(server, clips):
    """Milliseconds from the first byte sent to the durable answer, for clips without common pictures."""
    took = []
    for path in clips[:N_UPLOADS]:
        start = time.perf_counter()
        answer = server.upload(path, clip="whole")
        took.append(1e3 * (time.perf_counter() - start))
        assert answer.status_code == 201, answer.text
    return took[N_UPLOADS // 5:]


def text_of(i):
    return f"{' '.join(WORDS[i % 5:5 + i % 10])} {i}"


def ask(url, model, first, start, counts):
    """A process: some connections in threads, texts one after the other on each."""
    done = [0] * TEXT_CONNECTIONS

    def run(slot):
        connection = connect(url)
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


def measured(models, name, clips):
    """The rows of one model; `clips` are 15 s of 1080p each, the first ones without common pictures."""
    has_text = "text" in json.loads((models / name / "manifest.json").read_text())
    bikes = measure.ROOT / "build/samples/real/bikes.mp4"
    rows = []

    def row(what, values, unit="ms"):
        measure.line(f"{name}, {what}, {unit}", measure.spread(values, 1), f"mean {statistics.mean(values):.1f}")
        rows.append({"model": name, "way": what, unit: statistics.median(values)})

    with Server(measure.scratch("data"), models, name) as server:
        row("one 15-s clip, upload to durable answer", upload_ms(server, clips))
        for what, path, count in (("a query with bikes.mp4", bikes, N_QUERIES),
                                  ("a query with 15 s of 1080p", clips[0], N_UPLOADS)):
            body = request(name, "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode())
            row(what, latency_ms(server.url, [body] * count))
        if has_text:
            row("a text", latency_ms(server.url, [request(name, text_of(i)) for i in range(5 * N_QUERIES)]))
            row(f"{TEXT_PROCESSES * TEXT_CONNECTIONS} callers, texts", [texts_per_s(server.url, name)], "per_s")
    return rows
