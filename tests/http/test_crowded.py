"""More connections than there may be: probes are answered all the same, and what has no place is told so."""

import contextlib
import re
import socket

import pytest
import requests
from conftest import raw_connection, wait_until
from server import Server

HEAD = b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\nContent-Length: 1000000\r\n\r\n"


@pytest.fixture
def hold(request):
    """hold(server, n, data) opens n connections that send these bytes and then stay silent."""
    with contextlib.ExitStack() as stack:

        def open_connections(server, n, data=HEAD + b"x" * 1000):
            connections = [stack.enter_context(raw_connection(server, 30)) for _ in range(n)]
            for connection in connections:
                connection.sendall(data)
            return connections

        yield open_connections


def probe(server, path):
    """On a connection of its own, as a supervisor does."""
    return requests.get(server.url + path, timeout=30, headers={"Connection": "close"})


def is_alive(server):
    return [probe(server, f"/v1/health/{name}").status_code for name in ("live", "ready")] == [200, 200]


def test_held_uploads_silence_no_probe_where_few_files_may_be_open(tmp_path, tiny_model, clip, hold):
    with Server(tmp_path / "data", tiny_model, open_files=64) as server:
        fit = int(re.search(r"open_files=64 connections=(\d+)", server.tail()).group(1))
        assert "ulimit" in server.tail()
        connections = hold(server, 120)
        for _ in range(10):
            assert is_alive(server)
        refused = 0
        for connection in connections:
            connection.settimeout(0.01)
            with contextlib.suppress(TimeoutError, ConnectionError):
                answer = connection.recv(65536)
                assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After" in answer, answer
                refused += 1
        assert 0 < refused <= 120 - fit
        for connection in connections:
            connection.close()
        wait_until(lambda: server.upload(clip(1)).status_code == 201)


def test_request_beyond_the_limit_is_refused_and_a_probe_is_not(start, hold):
    server = start("--max-connections", "3")
    held = hold(server, 3)
    wait_until(lambda: probe(server, "/v1/videos").status_code == 503)
    assert is_alive(server)
    answer = probe(server, "/v1/videos")
    assert answer.json()["type"] == "/problems/busy" and int(answer.headers["Retry-After"]) > 0
    held[0].close()
    wait_until(lambda: probe(server, "/v1/videos").status_code == 200)


def test_idle_connections_are_closed_for_new_ones_and_keep_nobody_out(start, hold):
    server = start("--max-connections", "3")
    get = b"GET /v1/videos HTTP/1.1\r\nHost: localhost\r\n\r\n"
    idle = hold(server, 40, get)
    for connection in idle:
        assert connection.recv(1, socket.MSG_PEEK)  # its request has ended, with 200 or 503
    for _ in range(20):
        assert probe(server, "/v1/videos").status_code == 200
    assert is_alive(server)

    def n_closed():
        n = 0
        for connection in idle:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while connection.recv(65536):
                    continue
                n += 1
        return n

    wait_until(lambda: n_closed() >= 37)


def test_idle_connections_within_the_limit_stay(start, hold):
    server = start("--max-connections", "30")
    get = b"GET /v1/videos HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for connection in hold(server, 20, get):
        while b"\r\n\r\n" not in connection.recv(65536, socket.MSG_PEEK):
            continue
        connection.recv(65536)
        connection.sendall(get)
        assert connection.recv(12) == b"HTTP/1.1 200"
