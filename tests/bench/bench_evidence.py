"""What the second look costs: uploads into 100,000 unrelated videos with it and without.

    ./dev bench evidence               some minutes; only when named

All uploads are unrelated, so each is looked at with eight others: those stored before them, for the 100,000 rows have
vectors and hashes but no files. A look runs beside later uploads and after them; how long the last waits is told.
"""
import concurrent.futures
import time

import measure
from bench_server import fill_catalog, make_small
from server import Server

N_STORED, N_FIRST, N_MEASURED, AT_ONCE = 100_000, 12, 40, 4


def stats(server):
    return server.get("/v1/stats").json()


def wait_until_looked(server):
    while stats(server)["evidence"]["pending"]:
        time.sleep(0.05)


def upload_rate(data, bodies, level):
    """(videos a second, seconds from the last answer to the last look, looks, seconds of looking)"""
    with Server(data, measure.MODELS, measure.DEFAULT_MODEL, flags=("--evidence", level)) as server, \
            concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        def send(body):
            answer = server.http.post(f"{server.url}/v1/videos?filename=a.mp4", data=body)
            assert answer.status_code == 201, answer.text
            assert answer.json()["duplicate"]["verdict"] in ("new", "similar"), answer.text
            return answer.json()["id"]
        ids = list(pool.map(send, bodies[:N_FIRST]))
        wait_until_looked(server)
        before, start = stats(server)["evidence"], time.perf_counter()
        ids += pool.map(send, bodies[N_FIRST:])
        answered = time.perf_counter()
        wait_until_looked(server)
        after, ended = stats(server)["evidence"], time.perf_counter()
        for video_id in ids:
            assert server.delete(f"/v1/videos/{video_id}").ok
    looks = sum(after["looks"].values()) - sum(before["looks"].values())
    return N_MEASURED / (answered - start), ended - answered, looks, after["seconds"] - before["seconds"]


def main(rounds):
    data = measure.scratch("evidence")
    bodies = []
    for seed in range(N_FIRST + N_MEASURED):
        path = measure.CACHE / f"small-{seed}.mp4"
        if not path.exists():
            make_small(path, seed)
        bodies.append(path.read_bytes())
    with Server(data, measure.MODELS, measure.DEFAULT_MODEL) as server:
        server.get("/v1/stats")
    fill_catalog(data / "catalog.db", N_STORED)
    levels = ("off", "fast", "full")
    results = measure.alternate(rounds, *(lambda level=level: upload_rate(data, bodies, level) for level in levels))
    print(f"{N_MEASURED} unrelated videos of 15 s, {AT_ONCE} at once, into {N_STORED} others: videos a second")
    for level, found in zip(levels, results):
        ratio = [row[0] / off[0] for row, off in zip(found, results[0])]
        measure.line(f"--evidence {level}", measure.spread([row[0] for row in found]), f"{measure.spread(ratio)} of off")
    looks, seconds = (sum(row[i] for row in results[-1]) for i in (2, 3))
    measure.line("the last look after the last answer, seconds", measure.spread([row[1] for row in results[-1]]))
    measure.line("a look with its decoding, beside the uploads, ms", f"{seconds / max(1, looks) * 1e3:.0f}")
    measure.scratch("evidence")


if __name__ == "__main__":
    main(3)
