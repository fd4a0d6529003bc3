"""The HTTP tests: the real program, the small test model, one server per file of tests.

`./dev test` runs each once, with the server under the sanitizers (asan_http_a_d, asan_http_e_z). The suite http is the
optimised program: it runs what is marked `release`, which the sanitizers change or have no part in, and what is
marked `release_too`, whose result is a figure of the optimised program as well.
"""

import contextlib
import re
import socket
import sqlite3
from pathlib import Path
from urllib.parse import urlparse

import make as samples
import pytest
from server import Server, wait_until  # noqa: F401  (tests take it from here)


def pytest_configure(config):
    config.addinivalue_line("markers", "release: with the optimised program alone")
    config.addinivalue_line("markers", "release_too: with the optimised program and under the sanitizers")


@pytest.fixture(scope="module")
def start(tmp_path_factory, tiny_model):
    """start(*flags, model=…) gives a running server that is stopped with the file of tests."""
    servers = []

    def start_server(*flags, model="tiny", data=None, **more):
        data = data or tmp_path_factory.mktemp("server") / "data"
        server = Server(data, tiny_model, model=model, flags=flags, **more)
        servers.append(server.start())
        return server

    yield start_server
    for server in servers:
        assert server.stop() == 0, server.tail()


@pytest.fixture(scope="module")
def server(start):
    return start()


@pytest.fixture(scope="module")
def emptied(start):
    return start()


@pytest.fixture
def empty(emptied):
    """A server without videos and decisions: one for all tests of the file, which is emptied before each."""
    while videos := emptied.get("/v1/videos", params={"limit": 100}).json()["items"]:
        for video in videos:  # the newest first, so that no copy loses its original
            assert emptied.delete(f"/v1/videos/{video['id']}").status_code == 204
    for decision in emptied.get("/v1/duplicate-decisions").json()["items"]:
        assert emptied.delete(f"/v1/duplicate-decisions/{decision['id']}").status_code == 204
    wait_until(lambda: not any(emptied.get("/v1/jobs", params={"state": state}).json()["items"] for state in ("queued", "running")))
    return emptied


@pytest.fixture(autouse=True)
def still_answers(request):
    """Whatever a test did to its server: it goes on."""
    yield
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        assert server.process.poll() is None, server.tail()
        assert server.get("/v1/health/ready").json() == {"status": "ready"}


@pytest.fixture(scope="session")
def clip():
    """clip(seed) is the path of a small video, another scene for each seed."""
    return samples.small


@pytest.fixture
def stored(server, clip):
    """stored(seed) uploads that clip and gives its video object."""

    def upload(seed, **params):
        answer = server.upload(clip(seed), **params)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    return upload


ROWS = (Path(__file__).resolve().parents[2] / "api/http/errors.def").read_text()
HINTS = {name: "".join(re.findall(r'"([^"]*)"', hint)) for name, hint in
         re.findall(r'VX_PROBLEM\(\w+, "([a-z0-9-]+)", \d+, "[^"]*",\s*((?:"[^"]*"\s*)+)\)', ROWS)}


def assert_problem(answer, status, name, *words):
    """The answer is that problem, well formed, and its detail has the words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"/problems/{name}", body
    assert body["status"] == status and body["title"] and body.get("hint", "") == HINTS[name], body
    assert body["detail"].endswith((".", "?", "!")) and body["detail"] != body.get("hint"), body
    assert body["request_id"] == answer.headers["X-Request-Id"]
    for word in words:
        assert word.lower() in body["detail"].lower(), body
    return body


def raw_request(server, data, timeout=20):
    """Sends bytes as they are, gives all that comes back until the server closes."""
    with raw_connection(server, timeout) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def raw_connection(server, timeout=20):
    address = urlparse(server.url)
    return socket.create_connection((address.hostname, address.port), timeout)


@contextlib.contextmanager
def held_committer(server):
    """Nothing can be written to the catalog meanwhile."""
    catalog = sqlite3.connect(server.data / "catalog.db", isolation_level=None)
    try:
        catalog.execute("BEGIN IMMEDIATE")
        yield
    finally:
        catalog.close()
