"""Many at once, very long ones, a full queue, a stop in the middle."""

import concurrent.futures
import contextlib
import os
import selectors
import socket
import threading
import time

import pytest
import requests
from conftest import assert_problem, held_committer, raw_connection, wait_until


def reset_memory_peak(server):
    with open(f"/proc/{server.process.pid}/clear_refs", "w") as file:
        file.write("5")


def test_thousand_connections_are_all_answered(server):
    connections = []
    try:
        for _ in range(1000):
            connections.append(raw_connection(server, timeout=180))
        for connection in connections:
            connection.sendall(b"GET /v1/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for connection in connections:
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    finally:
        for connection in connections:
            connection.close()


def test_uploads_from_many_clients_are_all_stored(server, clip):
    paths = [clip(seed, seconds=1) for seed in range(200, 240)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(
            lambda path: requests.post(f"{server.url}/v1/videos", data=path.read_bytes(), timeout=120), paths))
    assert [answer.status_code for answer in answers] == [201] * 40
    stored = {video["id"] for video in server.get("/v1/videos", params={"limit": 500}).json()["items"]}
    assert {answer.json()["id"] for answer in answers} <= stored


def drip(server, chunk, seconds):
    """Sends an upload's body chunk by chunk, ten a second; whether it could be sent to the end."""
    with raw_connection(server, timeout=180) as connection:
        connection.sendall(b"PUT /v1/videos/slow.mp4 HTTP/1.1\r\nHost: localhost\r\n"
                           b"Content-Length: %d\r\n\r\n" % (len(chunk) * 10 * seconds))
        connection.settimeout(0.1)
        for _ in range(10 * seconds):
            try:
                connection.sendall(chunk)
                if connection.recv(1) == b"":
                    return False
                return True  # an answer: all of it has arrived
            except TimeoutError:
                continue
            except OSError:
                return False
        connection.settimeout(60)
        return connection.recv(1) != b""


def test_body_that_comes_a_byte_at_a_time_is_cut_off(start):
    server = start("--idle-timeout", "1")
    assert not drip(server, b"x", seconds=60)
    assert not list((server.data / "incoming").iterdir())
    assert drip(server, b"x" * 1000, seconds=3)


def test_headers_that_come_a_byte_at_a_time_are_cut_off(start):
    server = start("--idle-timeout", "1")
    with raw_connection(server) as new, raw_connection(server) as used, raw_connection(server) as waiting:
        used.sendall(b"GET /v1/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert used.recv(4096).startswith(b"HTTP/1.1 200 ")
        dripping = [new, used]
        for connection in dripping:
            connection.sendall(b"GET /v1/health/live HTTP/1.1\r\nX: ")
            connection.settimeout(0.1)
        deadline = time.monotonic() + 60
        while dripping and time.monotonic() < deadline:
            for connection in list(dripping):
                try:
                    connection.sendall(b"x")
                    assert connection.recv(4096) == b""
                    dripping.remove(connection)
                except TimeoutError:
                    continue
                except OSError:
                    dripping.remove(connection)
        assert not dripping
        assert waiting.recv(4096) == b""
    assert server.get("/v1/health/live").status_code == 200


def test_answer_that_takes_longer_than_headers_may_is_sent(start, clip):
    server = start("--idle-timeout", "1", model="slow")
    answer = server.upload(clip(260, seconds=240), clip="fixed:0.2")
    assert answer.status_code == 201 and answer.elapsed.total_seconds() > 2


@pytest.mark.release  # memory that is given back is kept by the sanitizer
@pytest.mark.parametrize("form", [False, True])
def test_long_upload_does_not_grow_the_memory(server, form):
    """2 GB (VIDX_TEST_UPLOAD_MB=4096 for more) of nothing, as a body and as a form."""
    megabytes = int(os.environ.get("VIDX_TEST_UPLOAD_MB", "2048"))
    room = os.statvfs(server.data)
    if room.f_bavail * room.f_frsize < megabytes * 3 << 20:
        pytest.skip("not enough disk")
    before = server.memory_peak_bytes()
    reset_memory_peak(server)
    head, tail = b"", b""
    if form:
        head = b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        tail = b"\r\n--frontier--\r\n"
    length = len(head) + (megabytes << 20) + len(tail)
    kind = "multipart/form-data; boundary=frontier" if form else "video/mp4"
    block = bytes(1 << 20)
    with raw_connection(server, timeout=300) as connection:
        connection.sendall(f"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
                           f"Content-Length: {length}\r\n\r\n".encode() + head)
        for _ in range(megabytes):
            connection.sendall(block)
        connection.sendall(tail)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 415"), answer
    grown = server.memory_peak_bytes() - before
    assert grown <= 64 << 20, f"grew by {grown / 2**20:.0f} MiB"
    # 2 GB are given back after the answer
    wait_until(lambda: not list((server.data / "incoming").iterdir()), "files are left in incoming/")


def test_full_queue_answers_503_and_when_to_come_back(start, clip):
    server = start("--queue", "2", "--ingest-threads", "1", model="slow")
    paths = [clip(seed, seconds=1) for seed in range(300, 324)]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(
            lambda path: requests.post(f"{server.url}/v1/videos", data=path.read_bytes(), timeout=120), paths))
    codes = {answer.status_code for answer in answers}
    assert codes == {201, 503}, codes
    for answer in answers:
        if answer.status_code == 503:
            assert_problem(answer, 503, "busy")
            assert int(answer.headers["Retry-After"]) > 0
    stored = sum(answer.status_code == 201 for answer in answers)
    assert server.get("/v1/stats").json()["videos"] == stored


CHANGES = {
    "delete": b"DELETE /v1/videos/none HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "patch": b'PATCH /v1/videos/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
             b'Content-Length: 22\r\n\r\n{"metadata": {"a": 1}}',
    "backfill": b"POST /v1/models/tiny/backfill HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("kind", CHANGES)
def test_change_while_a_thousand_wait_is_told_to_come_back(server, clip, kind):
    id = server.upload(clip(250)).json()["id"]
    request = CHANGES[kind].replace(b"%s", id.encode())
    with contextlib.ExitStack() as stack:
        answered = stack.enter_context(selectors.DefaultSelector())
        connections = [stack.enter_context(raw_connection(server)) for _ in range(1200)]
        stack.enter_context(held_committer(server))
        for connection in connections:  # a group of up to 64 is held, 1024 wait
            connection.sendall(request)
            answered.register(connection, selectors.EVENT_READ)
        (first, _), *_ = answered.select(60)
        answer = first.fileobj.recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"/problems/busy" in answer
        assert b"\r\nRetry-After: " in answer
        assert requests.get(f"{server.url}/v1/health/live", timeout=180).status_code == 200
    assert server.get(f"/v1/videos/{id}").status_code == 200


def test_slow_client_is_not_in_the_way_of_others(server, clip):
    with raw_connection(server) as slow:
        slow.sendall(b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc")
        assert server.upload(clip(240)).status_code == 201


def test_connection_is_used_for_many_requests(server):
    with raw_connection(server) as connection:
        for number in range(50):
            connection.sendall(b"GET /v1/health/live HTTP/1.1\r\nHost: localhost\r\n"
                               b"X-Request-Id: keep-%d\r\n\r\n" % number)
            assert b"keep-%d\r\n" % number in connection.recv(4096)


def test_stop_answers_what_waits_and_loses_nothing(start, clip):
    server = start("--ingest-threads", "1", model="slow")
    answers = []

    def send(path):
        try:
            answers.append(requests.post(f"{server.url}/v1/videos", data=path.read_bytes(), timeout=180,
                                         params={"clip": "fixed:0.1"}))  # 10 runs of the slow model
        except requests.RequestException as error:
            answers.append(error)

    threads = [threading.Thread(target=send, args=(clip(seed, seconds=1),)) for seed in range(330, 350)]
    for thread in threads:
        thread.start()
    while server.get("/v1/stats").json()["requests"]["waiting"] < 15:
        time.sleep(0.01)
    assert server.stop() == 0
    for thread in threads:
        thread.join()
    refused = [a for a in answers if not isinstance(a, Exception) and a.status_code == 503]
    stored = [a.json()["id"] for a in answers if not isinstance(a, Exception) and a.status_code == 201]
    assert len(refused) + len(stored) >= 15
    assert refused, "the work of all was finished first"
    for answer in refused:
        assert_problem(answer, 503, "stopping")
    server.start()
    found = {video["id"] for video in server.get("/v1/videos", params={"limit": 100}).json()["items"]}
    assert set(stored) <= found
    assert server.stop() == 0


def test_stop_does_not_wait_for_a_search_by_file(start, clip):
    server = start("--clip", "fixed:0.1", model="slow")  # 40 runs of the slow model
    answers = []

    def search():
        with open(clip(360, seconds=4), "rb") as file:
            answers.append(requests.post(f"{server.url}/v1/search", files={"file": file}, timeout=180))

    thread = threading.Thread(target=search)
    thread.start()
    while server.get("/v1/stats").json()["requests"]["waiting"] < 1:
        time.sleep(0.01)
    assert server.stop() == 0
    thread.join()
    assert_problem(answers[0], 503, "stopping")


def test_port_that_is_taken_is_told_and_not_shared(server, tiny_model, tmp_path):
    from server import BINARY
    import subprocess

    address = server.url.removeprefix("http://")
    second = subprocess.run([BINARY, "serve", "--listen", address, "--data", tmp_path / "d", "--models", tiny_model,
                             "--model", "tiny"], capture_output=True, text=True, timeout=180)
    assert second.returncode == 1
    assert f"cannot listen on {address}: another program uses this port; stop it, or choose another port" in second.stderr


@pytest.mark.parametrize("address", ["8000", "localhost", "127.0.0.1:", "127.0.0.1:99999", "::1:80", "nowhere.invalid:80"])
def test_listen_address_that_is_none_is_told(tiny_model, tmp_path, address):
    from server import BINARY
    import subprocess

    run = subprocess.run([BINARY, "serve", "--listen", address, "--data", tmp_path / "d", "--models", tiny_model,
                          "--model", "tiny"], capture_output=True, text=True, timeout=180)
    assert run.returncode == 1 and address in run.stderr


def test_ipv6_is_served(start):
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    server = start("--listen", "[::1]:0")
    url = server.url.replace("127.0.0.1", "[::1]")
    assert requests.get(f"{url}/v1/health/live", timeout=10).status_code == 200
