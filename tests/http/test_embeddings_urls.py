"""Inputs that are URLs: what is fetched, what is refused, and that a bad host costs only its request.

The other side is a small server here, on loopback, which vidx fetches from only where it is told to:
127.0.0.1 is allowed by --fetch-private in most tests, its other name localhost is not.
"""

import http.server
import threading
import time

import numpy as np
import pytest
from test_embeddings import assert_error, base64_of, embed, pictures, vectors_of

VIDEO = "data:video/mp4;presigned_url,"
FRAMES = "data:video_frames/jpg;presigned_url,"


class Host(http.server.BaseHTTPRequestHandler):
    """Answers by path; self.server.files maps a path to bytes, .seen lists what was asked."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        path, _, query = self.path.partition("?")
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", query.replace("PORT", str(self.server.server_port)))
            self.end_headers()
        elif path == "/slow":
            self.answer(b"", length=1000)
            while not self.server.closing:
                self.wfile.write(b"x")
                time.sleep(0.05)
        elif path == "/endless":
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.end_headers()
            while not self.server.closing:
                self.wfile.write(bytes(65536))
        elif path == "/broken":
            self.answer(b"abc", length=1000)
        elif path == "/page":
            self.answer(b"<html>log in</html>", type="text/html; charset=utf-8")
        elif path in self.server.files:
            self.answer(self.server.files[path])
        else:
            self.send_error(404)

    def answer(self, data, type="application/octet-stream", length=None):
        self.send_response(200)
        self.send_header("Content-Type", type)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def host(clip):
    """A running server of files; host.url(path) is its address by number."""

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):
            pass  # the other side hangs up: that is what is tested

    server = Quiet(("127.0.0.1", 0), Host)
    server.files, server.seen, server.closing = {"/clip.mp4": clip(70).read_bytes()}, [], False
    server.files |= {f"/{i}.jpg": data for i, data in enumerate(pictures(1))}
    server.url = lambda path: f"http://127.0.0.1:{server.server_port}{path}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.closing = True
    server.shutdown()


@pytest.fixture(scope="module")
def server(start):
    return start("--fetch-http", "--fetch-private", "127.0.0.1", "--fetch-max", "4m", "--fetch-timeout", "3",
                 model="tiny-text")


def post(server, input, **more):
    return server.post("/v1/embeddings", json={"input": input} | more)


def test_video_behind_a_url_gets_the_vector_of_its_bytes(server, host):
    fetched = embed(server, VIDEO + host.url("/clip.mp4"), request_type="query")
    assert fetched["usage"]["num_videos"] == 1
    sent = embed(server, "data:video/mp4;base64," + base64_of(host.files["/clip.mp4"]))
    assert np.allclose(vectors_of(fetched), vectors_of(sent), atol=1e-6)
    assert list((server.data / "incoming").iterdir()) == []


def test_pictures_behind_urls_get_the_vector_of_their_bytes(server, host):
    urls = ",".join(host.url(f"/{i}.jpg?sign=a,b,{i}") for i in range(8))  # commas may be part of a URL
    host.files |= {f"/{i}.jpg": data for i, data in enumerate(pictures(1))}
    sent = "data:video_frames/jpg;base64," + ",".join(base64_of(data) for data in pictures(1))
    fetched = vectors_of(embed(server, FRAMES + urls))
    assert np.allclose(fetched, vectors_of(embed(server, sent)), atol=1e-6)


def test_bulk_of_urls_keeps_its_order(server, host, clip):
    for seed in range(71, 75):
        host.files[f"/{seed}.mp4"] = clip(seed).read_bytes()
    seeds = [71, 72, 73, 74] * 4
    vectors = vectors_of(embed(server, [VIDEO + host.url(f"/{seed}.mp4") for seed in seeds],
                               request_type="bulk_video"))
    alone = {seed: vectors_of(embed(server, VIDEO + host.url(f"/{seed}.mp4")))[0] for seed in set(seeds)}
    for seed, vector in zip(seeds, vectors, strict=True):
        assert np.allclose(vector, alone[seed], atol=1e-5)


def test_redirect_is_followed_where_each_hop_is_allowed(server, host):
    vectors_of(embed(server, VIDEO + host.url("/to/?" + host.url("/to/?/clip.mp4"))))


@pytest.mark.parametrize("path, word", [
    ("/to/?http://localhost:PORT/clip.mp4", "localhost has no public address"),
    ("/to/?http://[::1]:PORT/clip.mp4", "no public address"),
    ("/to/?http://[::ffff:127.0.0.1]:PORT/clip.mp4", "no public address"),
    ("/to/?http://169.254.169.254/latest/meta-data/", "no public address"),
    ("/to/?file:///etc/passwd", "scheme"),
    ("/to/?ftp://127.0.0.1:PORT/clip.mp4", "scheme"),
    ("/to/?http://user:secret@127.0.0.1:PORT/clip.mp4", "user name"),
    ("/to/?http://127.0.0.1:PORT/to/?http://127.0.0.1:PORT/to/?http://127.0.0.1:PORT/to/?"
     "http://127.0.0.1:PORT/to/?/clip.mp4", "redirects"),
    ("/none.mp4", "404"), ("/page", "text/html"), ("/broken", "127.0.0.1"), ("/0.jpg", "not a video"),
    ("/endless", "4194304"),
])
def test_what_a_url_leads_to_is_judged(server, host, path, word):
    assert_error(post(server, VIDEO + host.url(path)), 400, "bad-input", word)
    assert list((server.data / "incoming").iterdir()) == []


def test_announced_size_over_the_limit_is_refused_before_it_is_sent(server, host):
    host.files["/large.mp4"] = bytes(5 << 20)
    assert_error(post(server, VIDEO + host.url("/large.mp4")), 400, "bad-input", "announces 5242880")


@pytest.mark.parametrize("url, word", [
    ("http://localhost:PORT/clip.mp4", "localhost has no public address"),
    ("http://127.0.0.2:PORT/clip.mp4", "no public address"),
    ("http://10.0.0.1/clip.mp4", "no public address"),
    ("http://nothing.invalid/clip.mp4", "resolve"), ("file:///etc/passwd", "scheme"), ("clip.mp4", "not a valid URL"),
    ("http://127.0.0.1:1/clip.mp4", "127.0.0.1"),
])
def test_url_that_leads_inward_is_refused(server, host, url, word):
    host.seen.clear()
    url = url.replace("PORT", str(host.server_port))
    assert_error(post(server, VIDEO + url), 400, "bad-input", word)
    assert host.seen == []


def test_nothing_private_nor_unencrypted_is_fetched_by_default(start, host):
    server = start(model="tiny-text")
    host.seen.clear()
    assert_error(post(server, VIDEO + host.url("/clip.mp4")), 400, "bad-input", "scheme must be https")
    assert_error(post(server, VIDEO + "https://127.0.0.1:1/a"), 400, "bad-input", "no public address")
    assert host.seen == []


def test_listed_hosts_alone_are_fetched_from(start, host):
    server = start("--fetch-http", "--fetch-hosts", "media.example.org,*.cdn.example.net", model="tiny-text")
    assert_error(post(server, VIDEO + host.url("/clip.mp4")), 400, "bad-input", "127.0.0.1 is not among")


def test_request_carries_nothing_of_this_machine(server, host):
    host.seen.clear()
    embed(server, VIDEO + host.url("/clip.mp4?secret=1"))
    (path, headers), = host.seen
    assert path == "/clip.mp4?secret=1"
    assert set(headers) == {"Host", "User-Agent", "Accept"} and headers["User-Agent"].startswith("vidx/")
    assert "secret" not in server.log.read_text()


def test_failing_input_of_many_is_named(server, host):
    good = VIDEO + host.url("/clip.mp4")
    answer = post(server, [good, good, VIDEO + host.url("/none.mp4"), good], request_type="bulk_video")
    assert_error(answer, 400, "bad-input", "input[2]", "404")


def test_slow_host_holds_up_nobody_else(server, host):
    """Six transfers that never end wait on the pool; texts and searches pass; each ends in time."""
    answers = []

    def ask():
        answers.append(post(server, VIDEO + host.url("/slow")))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    embed(server, "left")
    assert server.get("/v1/search?q=left").status_code == 200
    assert not answers  # they were still at it
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    for answer in answers:
        assert_error(answer, 400, "bad-input", "too slow")
    assert list((server.data / "incoming").iterdir()) == []


def test_server_stops_while_a_host_keeps_it_waiting(start, host):
    server = start("--fetch-http", "--fetch-private", "127.0.0.1", "--fetch-timeout", "600", model="tiny-text")
    answers = []
    asker = threading.Thread(target=lambda: answers.append(post(server, VIDEO + host.url("/slow"))))
    asker.start()
    time.sleep(0.5)
    assert server.stop(30) == 0
    asker.join()
    assert_error(answers[0], 503, "stopping", param=None)
