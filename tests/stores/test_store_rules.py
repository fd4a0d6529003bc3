"""Where a collection may be sent, what is never shown, and what a hostile store can do: nothing."""

import json
import socket
import ssl
import subprocess
import threading

import pytest
from conftest import KEY, start_mock
from server import BINARY, Server, wait_until


def post(server, url, name="out"):
    return server.post("/v1/stores", json={"name": name, "url": url})


def state(server, *states, name="out"):
    return wait_until(lambda: (s := server.get(f"/v1/stores/{name}").json())["state"] in states and s,
                      f"none of {states}", seconds=60)


@pytest.fixture(scope="module")
def served(tmp_path_factory, tiny_model):
    """served(hosts) is a server with these --store-hosts, the same one for all who ask."""
    servers = {}

    def get(hosts="http://127.0.0.1"):
        if hosts not in servers:
            servers[hosts] = Server(tmp_path_factory.mktemp("served") / "data", tiny_model,
                                    flags=["--store-hosts", hosts]).start()
        return servers[hosts]

    yield get
    for server in servers.values():
        assert server.stop() == 0, server.tail()


@pytest.mark.parametrize("url, words", [
    ("qdrant+http://10.0.0.9:6333/clips", "not allowed"),
    ("qdrant+http://127.0.0.1.evil.example/clips", "not allowed"),
    ("qdrant+http://127.0.0.1@evil.example/clips", "user"),
    ("qdrant+http://user:pw@127.0.0.1/clips", "password"),
    ("postgresql://vidx:pw@127.0.0.1/db", "password"),
    ("http://127.0.0.1/clips", "must begin"),
    ("file:///etc/passwd", "must begin"),
    ("qdrant+http://127.0.0.1", "collection"),
    ("qdrant+http://127.0.0.1/../x", "collection"),
    ("qdrant+http://127.0.0.1:80x/clips", "port"),
    ("qdrant+http://127.0.0.1/clips?wait=1", "after ?"),
    ("postgresql://127.0.0.1/db?sslmode=prefer", "sslmode"),
    ("postgresql://127.0.0.1/db?table=a%22;drop", "after ?"),
    ("postgresql://127.0.0.1/db?sslkey=/etc/shadow", "after ?"),
    ("qdrant+http://127.0.0.1/" + "c" * 600, "URL"),
])
def test_address_that_is_not_allowed_is_refused(served, url, words):
    answer = post(served(), url)
    assert answer.status_code == 400 and words in answer.json()["detail"], answer.text


def test_without_store_hosts_no_store_can_be_added(served):
    answer = post(served(""), "qdrant+http://127.0.0.1/clips")
    assert answer.status_code == 400 and "--store-hosts" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a/b"])
def test_name_that_is_none_is_refused(served, name):
    assert post(served(), "qdrant+http://127.0.0.1/clips", name).status_code == 400


@pytest.mark.parametrize("hosts, url, is_allowed", [
    ("127.0.0.1", "qdrant://127.0.0.1/clips", True),
    ("127.0.0.1", "qdrant://127.0.0.1:6333/clips", True),
    ("127.0.0.1", "qdrant://127.0.0.1:1/clips", False),
    ("127.0.0.1", "postgresql://127.0.0.1:6333/db", False),
    ("127.0.0.1", "qdrant+http://127.0.0.1/clips", False),
    ("127.0.0.1", "postgresql://127.0.0.1/db?sslmode=disable", False),
    ("127.0.0.1:1", "qdrant://127.0.0.1:1/clips", True),
    ("127.0.0.1:1", "qdrant://127.0.0.1/clips", False),
    ("127.0.0.1:1", "qdrant+http://127.0.0.1:1/clips", False),
    ("[::1]:1", "qdrant://[::1]:1/clips", True),
    ("[::1]", "qdrant://[::1]:1/clips", False),
    ("x, http://127.0.0.1:1", "qdrant+http://127.0.0.1:1/clips", True),
    ("http://127.0.0.1:1", "qdrant://127.0.0.1:1/clips", True),
    ("http://127.0.0.1:1", "qdrant+http://127.0.0.1/clips", False),
    ("http://127.0.0.1", "postgresql://127.0.0.1/db?sslmode=disable", True),
    ("*.example.invalid:1", "qdrant://a.example.invalid:1/clips", True),
    ("*.example.invalid", "qdrant://a.example.invalid:1/clips", False),
])
def test_only_the_listed_port_and_plain_text_are_allowed(served, hosts, url, is_allowed):
    answer = post(served(hosts), url)
    assert answer.status_code == (201 if is_allowed else 400), answer.text
    if is_allowed:
        assert served(hosts).delete("/v1/stores/out").status_code == 204


def test_second_store_of_a_name_is_refused(start):
    server = start(hosts="http://127.0.0.1:1")
    assert post(server, "qdrant+http://127.0.0.1:1/clips").status_code == 201
    answer = post(server, "qdrant+http://127.0.0.1:1/clips")
    assert answer.status_code == 409 and answer.json()["type"] == "/problems/store-exists"
    assert server.delete("/v1/stores/out").status_code == 204
    assert server.delete("/v1/stores/out").status_code == 404
    assert server.post("/v1/stores/out/check").status_code == 404


def test_host_that_is_allowed_no_longer_gets_nothing(start, clip):
    with start_mock("qdrant-mock") as mock:
        server = start(mock.store)
        assert post(server, mock.store.url).status_code == 201
        state(server, "equal")
        server.stop()
        asked = len(mock.requests)
        server.flags[1] = "other.example"
        server.start()
        server.upload(clip(1))
        assert "--store-hosts" in state(server, "blocked")["last_error"]
        assert len(mock.requests) == asked


def test_plain_http_to_a_public_address_is_refused_before_a_byte_is_sent(start):
    server = start(hosts="http://8.8.8.8")
    assert post(server, "qdrant+http://8.8.8.8/clips").status_code == 201
    assert "without TLS" in state(server, "blocked")["last_error"]


@pytest.fixture
def tls(tmp_path):
    """A listener with a certificate of its own making: (its port, that certificate, what it was sent after the handshake)."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    seen = []

    def serve(listener):
        while True:
            try:
                connection = listener.accept()[0]
                if connection.recv(8, socket.MSG_PEEK)[:4] == b"\0\0\0\x08":  # PostgreSQL asks in plain text first
                    connection.recv(8)
                    connection.sendall(b"S")
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    seen.append(wrapped.recv(1000))
            except ssl.SSLError:
                continue
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1], tmp_path / "cert", seen


@pytest.mark.parametrize("url", ["qdrant://localhost:{}/clips", "postgresql://vidx@localhost:{}/db"])
def test_certificate_that_nobody_vouches_for_is_refused(start, tls, url):
    port, _, seen = tls
    server = start(hosts=f"localhost:{port}")
    assert post(server, url.format(port)).status_code == 201
    assert "certificate" in state(server, "waiting", "blocked")["last_error"].lower()
    assert not any(seen)


@pytest.mark.parametrize("url, word", [("qdrant://localhost:{}/clips", b"GET /"), ("postgresql://vidx@localhost:{}/db", b"vidx")])
def test_certificates_of_store_ca_are_trusted(start, tls, url, word):
    port, ca, seen = tls
    server = start(hosts=f"localhost:{port}", flags=["--store-ca", ca])
    assert post(server, url.format(port)).status_code == 201
    wait_until(lambda: any(word in text for text in seen), lambda: server.get("/v1/stores/out").text)


def test_credential_is_in_no_answer_log_or_error(start, clip, tmp_path):
    """The store sends the key back in every error; start's end looks into the log."""
    with start_mock("qdrant-mock") as mock:
        server = start(mock.store)
        mock.hook = lambda *_: (500, json.dumps({"status": {"error": f"bad key {KEY}"}}).encode())
        post(server, mock.store.url)
        shown = state(server, "waiting")
        assert KEY not in json.dumps(shown) and "left out" in shown["last_error"]
        assert KEY not in server.get("/v1/metrics").text
        # A long text that is cut within the key must not show its beginning.
        mock.hook = lambda *_: (500, json.dumps({"status": {"error": "x" * 165 + KEY}}).encode())
        server.post("/v1/stores/out/check")
        wait_until(lambda: server.get("/v1/stores/out").json()["failures"] >= 2)
        assert KEY[:8] not in server.get("/v1/stores/out").text
        mock.hook = None
        mock.key = "another"
        server.post("/v1/stores/out/check")
        assert "credential is not accepted" in state(server, "blocked")["last_error"]


def test_key_of_the_environment_is_for_the_default_port(start, clip):
    with start_mock("qdrant-mock", port=6333) as mock, start_mock("qdrant-mock") as other:
        server = start(hosts=f"http://127.0.0.1,http://127.0.0.1:{other.port}")
        server.stop()
        server.env = {"VIDX_STORE_KEY_127_0_0_1": KEY}
        server.start()
        server.upload(clip(1))
        post(server, mock.store.url)
        post(server, other.store.url, "other")
        state(server, "equal")
        assert len(mock.rows()) == 1
        assert "credential" in state(server, "blocked", name="other")["last_error"]


def test_line_of_the_keys_without_a_port_is_for_the_default_port(start, tmp_path):
    (tmp_path / "keys").write_text(f"127.0.0.1 {KEY}\n127.0.0.1:1 {KEY}\n")
    with start_mock("qdrant-mock") as mock:
        server = start(hosts=f"http://127.0.0.1:{mock.port}")
        post(server, mock.store.url)
        assert "credential" in state(server, "blocked")["last_error"]


DEEP = b'{"result":' + b"[" * 100000


@pytest.mark.parametrize("answer", [
    (200, b""), (200, b"[]"), (200, b"null"), (200, b"\x00\xff\xfe"), (200, DEEP), (200, b"x" * (40 << 20)),
    (200, b'{"result": {"config": {"params": {"vectors": {"size": -1}}}}}'),
    (200, b'{"result": {"config": {"params": {"vectors": {"size": 1e999}}}}}'),
    (200, b'{"result": "config"}'), (302, b"{}"), (404, b"<html>"), (599, b"\r\n\x1b[31m"), (100, b"{}"),
], ids=range(13))
def test_hostile_answer_is_an_error_of_the_store_alone(start, clip, answer):
    with start_mock("qdrant-mock") as mock:
        server = start(mock.store)
        mock.hook = lambda method, path, body: answer
        post(server, mock.store.url)
        found = state(server, "waiting", "blocked")
        assert "\x1b" not in found["last_error"]
        assert server.upload(clip(1)).status_code == 201
        assert server.get("/v1/health/ready").status_code == 200


@pytest.mark.parametrize("page", [
    {"points": [{"payload": {"id": "x" * 5000, "digest": "y"}}], "next_page_offset": 5},
    {"points": [{"payload": {"id": "v" + "0" * 24 + ".99999999999", "digest": 7}}, {}, None, 3],
     "next_page_offset": {"a": 1}},
    {"points": "many", "next_page_offset": None},
], ids=["circle", "odd", "text"])
def test_hostile_list_of_points_harms_nothing(start, clip, page):
    with start_mock("qdrant-mock") as mock:
        server = start(mock.store)
        server.upload(clip(1))
        mock.hook = lambda method, path, body: (
            (200, json.dumps({"result": page}).encode()) if path.endswith("/scroll") else None)
        post(server, mock.store.url)
        state(server, "equal", "waiting")
        mock.hook = None
        server.post("/v1/stores/out/check")
        wait_until(lambda: (s := server.get("/v1/stores/out").json())["state"] == "equal" and not s["check"]["due"])
        assert len(mock.rows()) == 1


def test_points_of_others_are_left_alone(start, clip):
    with start_mock("qdrant-mock") as mock:
        server = start(mock.store)
        server.upload(clip(1))
        mock.dim = 64
        mock.points[7] = ([0.5] * 64, {"id": "mine", "what": "not of vidx"})
        post(server, mock.store.url)
        assert state(server, "equal")["check"]["foreign"] == 1
        assert set(mock.rows()) > {"mine"}


def test_collection_of_another_dimension_is_refused_with_both(start):
    with start_mock("qdrant-mock") as mock:
        mock.dim = 5
        server = start(mock.store)
        post(server, mock.store.url)
        error = state(server, "blocked")["last_error"]
        assert "5 dimensions" in error and "64" in error
        assert mock.dim == 5 and not mock.points


def test_silent_store_holds_up_neither_the_server_nor_its_end(start, clip):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = start(hosts=f"http://127.0.0.1:{port}")
        assert post(server, f"qdrant+http://127.0.0.1:{port}/clips", "a").status_code == 201
        assert post(server, f"postgresql://127.0.0.1:{port}/db?sslmode=disable", "b").status_code == 201
        assert server.upload(clip(1)).status_code == 201
        assert server.stop(timeout=180) == 0


def test_sync_of_a_folder_that_a_server_uses_says_so(start, tmp_path):
    server = start()
    done = subprocess.run([BINARY, "sync", "--data", server.data, "--to", "qdrant+http://127.0.0.1/clips"],
                          capture_output=True, text=True)
    assert done.returncode == 1 and "POST /v1/stores" in done.stderr
