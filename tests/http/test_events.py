"""GET /v1/jobs/{id}/events: a job's progress as server-sent events."""

import json
import subprocess

import pytest
import requests
from conftest import assert_problem, raw_connection, raw_request, wait_until

FILM = {"wait": "false", "clip": "fixed:0.2"}  # many runs of the slow model


def listen(server, job_id, **kw):
    return requests.get(f"{server.url}/v1/jobs/{job_id}/events", stream=True, timeout=180, **kw)


def events(text):
    """[(event, job)] of a whole stream, which begins with the time to come back."""
    first, *blocks = text.split("\n\n")
    assert first == "retry: 2000" and blocks.pop() == ""
    found = []
    for block in blocks:
        if block == ":":
            continue
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields["event"], json.loads(fields["data"])))
        assert fields.get("id") == ("end" if fields["event"] == "end" else None)
    return found


def active(server):
    return server.get("/v1/stats").json()["requests"]["active"] - 1  # without this one


@pytest.fixture(scope="module")
def slow(start):
    return start("--ingest-threads", "1", "--idle-timeout", "8", model="slow")


def test_progress_is_told_until_the_job_ends(slow, clip):
    job_id = slow.upload(clip(600, seconds=240), **FILM).json()["id"]
    answer = listen(slow, job_id)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    told = events(answer.text)
    assert [kind for kind, _ in told] == ["progress"] * (len(told) - 1) + ["end"] and len(told) > 2
    assert told[-1][1] == slow.get(f"/v1/jobs/{job_id}").json() and told[-1][1]["state"] == "done"
    seen = [(job["state"], job["phase"], job["done"]) for _, job in told]
    assert len(set(seen)) == len(seen), "told again without news"
    assert any(job["state"] == "running" and job["total"] > job["done"] > 0 for _, job in told)


def test_ended_job_is_told_at_once_and_seen_only_once(server, clip):
    job = server.wait_for_job(server.upload(clip(601), wait="false").json()["id"])
    assert events(listen(server, job["id"]).text) == [("end", job)]
    again = listen(server, job["id"], headers={"Last-Event-ID": "end"})
    assert again.status_code == 204 and again.content == b""
    head = requests.head(f"{server.url}/v1/jobs/{job['id']}/events")
    assert head.status_code == 200 and head.headers["Content-Type"] == "text/event-stream"
    old = raw_request(server, b"GET /v1/jobs/%s/events HTTP/1.0\r\nHost: localhost\r\n\r\n" % job["id"].encode())
    assert events(old.partition(b"\r\n\r\n")[2].decode()) == [("end", job)]


def test_cancelled_job_ends_the_stream(slow, clip):
    job_id = slow.upload(clip(602, seconds=240), **FILM).json()["id"]
    answer = listen(slow, job_id)
    cancelled = slow.delete(f"/v1/jobs/{job_id}").json()
    assert events(answer.text)[-1] == ("end", cancelled) and cancelled["state"] == "cancelled"


def test_unknown_job_has_no_events(server):
    assert_problem(listen(server, "j000000000000000000000000"), 404, "not-found", "job")


def test_client_that_leaves_is_let_go(slow, clip):
    job_id = slow.upload(clip(603, seconds=240), **FILM).json()["id"]
    path = f"/v1/jobs/{job_id}"
    request = f"GET {path}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    connections = [raw_connection(slow) for _ in range(20)]
    for connection in connections:
        connection.sendall(request)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert active(slow) == 20
    for connection in connections:
        connection.close()
    wait_until(lambda: active(slow) == 0)
    assert slow.get(path).json()["state"] == "running", "it may have been the job that ended"
    slow.delete(path)


def test_silence_is_broken_by_a_comment(slow, clip):
    *others, last = (slow.upload(clip(seed, seconds=240), **FILM).json()["id"] for seed in range(640, 644))
    with raw_connection(slow, timeout=180) as connection:
        connection.sendall(f"GET /v1/jobs/{last}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = b""
        while b"\n:\n\n" not in received:
            received += connection.recv(4096)
            assert b"event: end" not in received
    for job_id in (last, *others):
        slow.delete(f"/v1/jobs/{job_id}")


def test_many_listeners_are_all_told_and_hold_no_thread(slow, clip):
    job_id = slow.upload(clip(606, seconds=240), **FILM).json()["id"]
    listeners = [listen(slow, job_id) for _ in range(200)]
    assert slow.get("/v1/health/live").status_code == 200
    ends = [events(listener.text)[-1] for listener in listeners]
    assert ends == [("end", slow.get(f"/v1/jobs/{job_id}").json())] * 200


def test_listeners_leave_half_of_the_connections_to_others(start, clip):
    server = start("--max-connections", "32", "--ingest-threads", "1", model="slow")
    job_id = server.upload(clip(607, seconds=240), **FILM).json()["id"]
    listeners = [listen(server, job_id) for _ in range(16)]
    refused = listen(server, job_id)
    assert_problem(refused, 503, "busy", "listen")
    assert refused.headers["Retry-After"]
    server.delete(f"/v1/jobs/{job_id}")
    assert all(events(listener.text)[-1][0] == "end" for listener in listeners)
    assert listen(server, job_id).status_code == 200


def test_stop_ends_the_streams(start, clip):
    server = start("--ingest-threads", "1", model="slow")
    job_id = server.upload(clip(608, seconds=240), **FILM).json()["id"]
    listeners = [listen(server, job_id) for _ in range(20)]
    curl = subprocess.Popen(["curl", "-sN", f"{server.url}/v1/jobs/{job_id}/events"], stdout=subprocess.PIPE, text=True)
    assert curl.stdout.readline() == "retry: 2000\n"
    assert server.stop() == 0
    for text in [listener.text for listener in listeners] + ["retry: 2000\n" + curl.stdout.read()]:
        assert {kind for kind, _ in events(text)} == {"progress"}  # the browser comes back, the job goes on
    assert curl.wait() == 0
    server.start()
    assert listen(server, job_id).status_code == 200
