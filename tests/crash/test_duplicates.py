"""Scans of very many copies: killed, cancelled, beside uploads and deletions; and what 100,000 copies cost.

VIDX_MANY_COPIES=N makes N of them, for example 100000.
"""

import os
import subprocess
import time
from pathlib import Path

import pytest
from many_copies import multiply
from server import Server, wait_until

N = int(os.environ.get("VIDX_MANY_COPIES", "3000"))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "mandelbrot=s=320x180:r=25", "-t", "4",
                    "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", path], check=True)
    return path


@pytest.fixture(scope="module")
def other_films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("others")
    for i in range(4):
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", f"cellauto=s=320x180:r=25:rule={90 + 20 * i}",
                        "-t", "3", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", folder / f"{i}.mp4"], check=True)
    return sorted(folder.iterdir())


@pytest.fixture
def server(tmp_path, tiny_model, film):
    """Holds a film and N copies of it; running."""
    server = Server(tmp_path / "data", tiny_model)
    with server:
        server.original = server.upload(film).json()["id"]
    multiply(server.data / "catalog.db", server.original, N)
    server.start()
    yield server
    server.stop()


def cpu_seconds(server):
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_scan(server):
    return server.post("/v1/duplicates/scan").json()["id"]


def job(server, scan):
    return server.get(f"/v1/jobs/{scan}").json()


def wait_until_ended(server, scan, seconds=540):
    wait_until(lambda: job(server, scan)["finished_at"], "the scan does not end", seconds)
    return job(server, scan)


def only_group(server):
    page = server.get("/v1/duplicates", params={"keep": "oldest"}).json()
    assert page["total"] == 1
    return page["items"][0]


def test_scan_that_is_killed_goes_on_after_the_restart(server):
    scan = start_scan(server)
    wait_until(lambda: job(server, scan)["done"] > 0, "the scan does not begin")
    server.kill()
    server.start()
    ended = wait_until_ended(server, scan)
    assert ended["state"] == "done" and 0 < ended["report"]["videos"] < N + 1
    group = only_group(server)
    assert group["videos_total"] == N + 1


def test_scan_that_is_cancelled_keeps_what_it_found_and_the_next_one_goes_on(server):
    scan = start_scan(server)
    wait_until(lambda: job(server, scan)["done"] > 0, "the scan does not begin")
    assert server.delete(f"/v1/jobs/{scan}").json()["state"] == "cancelled"
    wait_until(lambda: server.get("/v1/stats").json()["duplicates"]["scans"]["cancelled"] == 1, "the scan goes on")
    assert 1 < only_group(server)["videos_total"] < N + 1
    ended = wait_until_ended(server, start_scan(server))
    assert ended["report"]["videos"] < N + 1 and only_group(server)["videos_total"] == N + 1


def test_scan_beside_uploads_and_deletions_finds_what_stays(server, other_films):
    gone = [v["id"] for v in server.get("/v1/videos", params={"limit": 50}).json()["items"] if v["id"] != server.original]
    scan = start_scan(server)
    for i, video in enumerate(gone):
        assert server.delete(f"/v1/videos/{video}").ok
        if i % 10 == 0 and i // 10 < len(other_films):
            assert server.upload(other_films[i // 10]).ok
    assert wait_until_ended(server, scan)["state"] == "done"
    wait_until_ended(server, start_scan(server))
    assert only_group(server)["videos_total"] == N + 1 - len(gone)


def test_deletion_that_is_killed_goes_on_after_the_restart(server):
    wait_until_ended(server, start_scan(server))
    group = only_group(server)
    answer = server.post(f"/v1/duplicates/{group['id']}/resolve", json={"action": "delete", "keep": "oldest"})
    assert answer.ok, answer.text
    decision = answer.json()["decision"]
    assert len(answer.json()["deleted"]) == N
    server.kill()
    server.start()
    wait_until(lambda: not server.get(f"/v1/duplicate-decisions/{decision['id']}").json()["pending"],
               "the copies stay", 540)
    assert [v["id"] for v in server.get("/v1/videos").json()["items"]] == [group["keeper"]["video_id"]]


def test_many_copies_of_one_clip_cost_neither_pairs_nor_memory(server):
    base, took, cpu_before = server.memory_peak_bytes(), {}, cpu_seconds(server)

    def timed(name, work):
        start = time.monotonic()
        answer = work()
        took[name] = time.monotonic() - start
        return answer
    ended = timed("scan", lambda: wait_until_ended(server, start_scan(server), 3600))
    assert ended["report"]["pairs"] <= 20 * N
    scanned, cpu = server.memory_peak_bytes(), cpu_seconds(server) - cpu_before
    group = timed("first list", lambda: only_group(server))
    assert group["videos_total"] == N + 1
    timed("list", lambda: only_group(server))
    path, by_age = f"/v1/duplicates/{group['id']}", {"keep": "oldest"}
    whole = timed("group", lambda: server.get(path, params=by_age).json())
    assert sum(v["action"] == "delete" for v in whole["videos"]) == N
    dry = timed("dry run", lambda: server.post(f"{path}/resolve", json={"action": "delete", "dry_run": True, **by_age}).json())
    assert len(dry["deleted"]) == N
    for form in ("csv", "jsonl"):
        lines = timed(form, lambda form=form: server.get("/v1/duplicates", params={"format": form, **by_age}).text.splitlines())
        assert len(lines) == N + 1 + (form == "csv")
    peak = server.memory_peak_bytes()
    assert scanned - base < 300e6 + 2000 * N and peak - base < 300e6 + 6000 * N
    print(f"\n{N} copies: {ended['report']['pairs']} pairs; scan {cpu:.0f} s of CPU, {(scanned - base) / 1e6:.0f} MB more, then {(peak - scanned) / 1e6:.0f}; "
          + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items()))
