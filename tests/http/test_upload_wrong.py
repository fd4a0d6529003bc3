"""Uploads that must be refused, each with its reason, and cost nothing but themselves."""

import struct
import time

import make as samples
import pytest
import requests
from conftest import assert_problem, raw_connection, raw_request, wait_until


@pytest.fixture(scope="module")
def server(start):
    return start("--max-upload", "4m", "--max-side", "4096")


@pytest.fixture(autouse=True)
def nothing_is_stored(server):
    before = server.get("/v1/stats").json()["videos"]
    yield
    assert server.get("/v1/stats").json()["videos"] == before
    # a body that broke off is noticed a moment later
    wait_until(lambda: not list((server.data / "incoming").iterdir()), "files are left in incoming/")


def post_bytes(server, data, **params):
    return server.post("/v1/videos", data=data, params={"filename": "x.mp4", **params})


# ---- Files that are no good -----------------------------------------------------------------------


def test_text_named_mp4_is_unsupported(server):
    assert_problem(post_bytes(server, b"hello, I am a film\n" * 50), 415, "media-unsupported")


def test_empty_file_in_form_is_refused(server):
    answer = server.post("/v1/videos", files={"file": ("empty.mp4", b"")})
    assert_problem(answer, 422, "file-empty", "part file")


def test_empty_body_is_refused(server):
    assert_problem(server.post("/v1/videos", data=b""), 400, "file-missing", "no body")


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95, 0.99])
def test_mp4_that_breaks_off_is_damaged(server, keep):
    data = samples.sample("h264_closed.mp4").read_bytes()
    answer = post_bytes(server, data[:int(len(data) * keep)])
    assert_problem(answer, 422, "media-damaged", "index (moov)", f"{int(len(data) * keep)} bytes", "is its end missing?")


@pytest.mark.parametrize("name", ["h264_pyramid_strict.mkv", "vp9.webm", "mpeg4.avi"])
def test_stream_that_breaks_off_before_its_first_picture_is_damaged(server, name):
    answer = post_bytes(server, samples.sample(name).read_bytes()[:600])
    assert_problem(answer, 422, "media-damaged", "600 bytes", "is its end missing?")


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_fragmented_mp4_that_breaks_off_is_damaged(server, keep):
    data = samples.sample("h264_fragmented.mp4").read_bytes()
    answer = post_bytes(server, data[:int(len(data) * keep)])
    assert_problem(answer, 422, "media-damaged")


def test_sound_without_pictures_has_no_video(server, tmp_path):
    samples.write_tone(tmp_path / "tone.mp4")
    answer = post_bytes(server, (tmp_path / "tone.mp4").read_bytes())
    assert_problem(answer, 422, "media-no-video")


def test_stream_without_frames_has_no_video(server, tmp_path):
    samples.write_zero_frames(tmp_path / "zero.mkv")
    answer = post_bytes(server, (tmp_path / "zero.mkv").read_bytes())
    # A file without its first cluster can also be one that broke off.
    assert answer.json()["type"] in ("/problems/media-no-video", "/problems/media-damaged")
    assert answer.status_code == 422


def test_picture_of_one_pixel_is_refused(server, tmp_path):
    path = tmp_path / "pixel.mkv"
    samples.encode(path, "ffv1", n=8, size=(1, 1), rate=8)
    answer = post_bytes(server, path.read_bytes())
    assert 400 <= answer.status_code < 500
    assert_problem(answer, answer.status_code, answer.json()["type"].rsplit("/", 1)[1])


def test_picture_of_16k_claimed_in_the_header_is_too_large(server):
    data = bytearray(samples.sample("vp8.webm").read_bytes())
    at = data.find(b"\x9d\x01\x2a")  # the start code of a VP8 key frame; width and height follow
    while at >= 0:
        data[at + 3:at + 7] = struct.pack("<HH", 16383, 16383)
        at = data.find(b"\x9d\x01\x2a", at + 7)
    answer = post_bytes(server, bytes(data))
    assert answer.status_code in (415, 422), answer.text
    assert answer.json()["type"] in ("/problems/media-too-large", "/problems/media-damaged")


def test_picture_over_the_side_limit_is_too_large(server, tmp_path):
    path = tmp_path / "wide.mp4"
    samples.encode(path, "mpeg4", n=2, size=(4128, 64), rate=8)
    assert_problem(post_bytes(server, path.read_bytes()), 422, "media-too-large", "4096")


# ---- Bodies that are no good ----------------------------------------------------------------------


def test_form_without_file_names_what_is_missing(server):
    answer = server.post("/v1/videos", files={"metadata": (None, "{}")})
    assert_problem(answer, 400, "file-missing", "part named file")


def test_form_with_two_files_is_refused(server, clip):
    data = clip(1).read_bytes()
    answer = server.post("/v1/videos", files=[("file", ("a.mp4", data)), ("file", ("b.mp4", data))])
    assert_problem(answer, 400, "bad-parameter", "several")


def test_form_with_unknown_part_names_it(server, clip):
    answer = server.post("/v1/videos", files={"file": ("a.mp4", clip(1).read_bytes()),
                                              "metdata": (None, "{}")})
    assert_problem(answer, 400, "unknown-parameter", "metdata", "metadata")


def test_form_with_enormous_field_is_refused(server, clip):
    answer = server.post("/v1/videos", files={"metadata": (None, "{" + " " * 100_000 + "}"),
                                              "file": ("a.mp4", clip(1).read_bytes())})
    assert_problem(answer, 413, "body-too-large", "metadata")


def test_form_without_boundary_is_refused(server):
    answer = server.post("/v1/videos", data=b"x", headers={"Content-Type": "multipart/form-data"})
    assert_problem(answer, 400, "bad-multipart", "boundary")


def test_form_without_last_boundary_is_refused(server, clip):
    body = (b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' +
            clip(1).read_bytes())
    answer = server.post("/v1/videos", data=body,
                         headers={"Content-Type": "multipart/form-data; boundary=frontier"})
    assert_problem(answer, 400, "bad-multipart")


@pytest.mark.parametrize("body", [
    b"", b"nothing of the kind", b"--frontier", b"--frontier\r\n\r\n", b"--frontier--\r\n",
    b"--frontier\r\nContent-Disposition: form-data\r\n\r\nx\r\n--frontier--\r\n"])
def test_form_that_is_none_is_refused(server, body):
    answer = server.post("/v1/videos", data=body,
                         headers={"Content-Type": "multipart/form-data; boundary=frontier"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"]


@pytest.mark.parametrize("name, value, word", [
    ("metadata", "{", "too early"), ("metadata", "[1]", "object"), ("metadata", '{"a":NaN}', "line 1"),
    ("metadata", '{"a":1e999}', "too large"), ("metadata", '{"a":1,"a":2}', "twice"),
    ("metadata", '{"a":"\\u0000"}', "U+0000"), ("metadata", '{"a":' + "[" * 65 + "]" * 65 + "}", "64"),
    ("clip", "shorts", "whole, fixed"), ("clip", "fixed:0", "clip"), ("clip", "fixed:nan", "clip"),
    ("clip", "shots", "dev model transnetv2"),
    ("on_duplicate", "ignore", "flag, reject"), ("wait", "maybe", "false, true"),
    ("filename", "a\nb.mp4", "control"), ("filename", "x" * 256, "255"),
])
def test_wrong_option_is_named_with_what_it_may_be(server, clip, name, value, word):
    answer = server.post("/v1/videos", data=clip(1).read_bytes(), params={name: value})
    assert answer.status_code == 400, answer.text
    assert word.lower() in answer.json()["detail"].lower(), answer.text
    assert answer.json()["detail"].endswith("."), answer.text


def test_option_in_query_and_form_is_refused(server, clip):
    answer = server.post("/v1/videos", params={"wait": "true"},
                         files={"file": ("a.mp4", clip(1).read_bytes()), "wait": (None, "true")})
    assert_problem(answer, 400, "bad-parameter", "twice")


# ---- Bodies that are too long or too short --------------------------------------------------------


def test_body_over_the_limit_is_refused(server):
    assert_problem(post_bytes(server, bytes(5 << 20)), 413, "body-too-large", "larger than the 4194304 bytes")


def test_form_over_the_limit_is_refused(server):
    answer = server.post("/v1/videos", files={"file": ("a.mp4", bytes(5 << 20))})
    assert_problem(answer, 413, "body-too-large", "larger than the 4194304 bytes")


def test_chunked_body_over_the_limit_is_refused(server):
    answer = server.post("/v1/videos", data=(bytes(1 << 20) for _ in range(5)))
    assert_problem(answer, 413, "body-too-large", "larger than the 4194304 bytes")


@pytest.mark.parametrize("head, status", [
    (b"POST /v1/videos HTTP/1.1\r\nContent-Length: 99999999999\r\n", b"413"),
    (b"POST /v1/videos?wiat=true HTTP/1.1\r\nContent-Length: 99999\r\n", b"400"),
    (b"POST /v1/search HTTP/1.1\r\nContent-Length: 9999999\r\nContent-Type: application/json\r\n", b"413"),
    (b"POST /v1/search HTTP/1.1\r\nContent-Length: 99\r\nContent-Type: text/plain\r\n", b"415"),
    (b"POST /v1/nothing HTTP/1.1\r\nContent-Length: 99\r\n", b"404"),
    (b"PUT /v1/videos/a.mp4?on_duplicate=rejct HTTP/1.1\r\nContent-Length: 1000000\r\n", b"400"),
    (b"PUT /v1/videos/a.mp4?wait=1 HTTP/1.1\r\nContent-Length: 1000000\r\n", b"400"),
    (b"PUT /v1/videos/a.mp4?clip=shot HTTP/1.1\r\nContent-Length: 1000000\r\n", b"400"),
    (b"PUT /v1/videos/a.mp4?metadata=%7B HTTP/1.1\r\nContent-Length: 1000000\r\n", b"400"),
    (b"PUT /v1/videos/a%0Ab.mp4 HTTP/1.1\r\nContent-Length: 1000000\r\n", b"400"),
    (b"PUT /v1/videos/a%2Fb.mp4 HTTP/1.1\r\nContent-Length: 1000000\r\n", b"400"),
    (b"POST /v1/videos?filename=%C2%80 HTTP/1.1\r\nContent-Length: 1000000\r\n", b"400"),
    (b"POST /v1/videos?clip=fixed:0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", b"400"),
    (b"PUT /v1/videos/a.mp4 HTTP/1.1\r\nContent-Range: bytes 0-9/20\r\nContent-Length: 1000000\r\n", b"400"),
    (b"PUT /v1/videos/a.mp4 HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 1000000\r\n", b"415"),
    (b"POST /v1/videos HTTP/1.1\r\nContent-Type: multipart/form-data\r\nContent-Length: 1000000\r\n", b"400"),
])
def test_client_that_asks_first_is_refused_before_the_body(server, head, status):
    received = raw_request(server, head + b"Host: localhost\r\nExpect: 100-continue\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 " + status), received
    assert b"100 Continue" not in received
    assert b"/problems/" in received


@pytest.mark.parametrize("method, path, content_type", [
    ("PUT", "/v1/videos/a.ts", "video/mp2t"), ("POST", "/v1/videos", "video/mp2t"), ("PUT", "/v1/videos/", None),
    ("POST", "/v1/search", "application/json")])
def test_part_of_a_file_is_not_taken_for_the_whole(server, clip, method, path, content_type):
    """curl -C 5000 -T, and browsers' upload widgets in chunks; RFC 9110, 14.5."""
    name = path if not path.endswith("/") else path + "rest.ts"
    answer = requests.request(method, server.url + name, data=clip(1).read_bytes()[5000:], timeout=180,
                              headers={"Content-Range": "bytes 5000-9999/10000", "Content-Type": content_type})
    assert_problem(answer, 400, "bad-request", "Content-Range")
    assert server.get("/v1/videos?count=true&filename=rest").json()["total"] == 0


@pytest.mark.parametrize("form", [False, True])
def test_body_cut_off_half_way_leaves_nothing(server, clip, form):
    data = clip(1).read_bytes()
    head = b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\n"
    if form:
        head += b"Content-Type: multipart/form-data; boundary=frontier\r\n"
        data = b'--frontier\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + data
    with raw_connection(server) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % (2 * len(data)) + data)
        time.sleep(0.1)


def test_length_that_is_no_number_is_refused(server):
    received = raw_request(server, b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\n"
                                   b"Content-Length: -5\r\n\r\nhello")
    assert received.split(b" ")[1] in (b"400", b"413")


def test_client_that_leaves_while_it_waits_harms_nobody(start, clip):
    slow = start(model="slow")
    for seed in range(40, 46):
        data = clip(seed).read_bytes()
        with raw_connection(slow) as connection:
            connection.sendall(b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(data) + data)
    wait_until(lambda: slow.get("/v1/stats").json()["videos"] == 6)
    stats = slow.get("/v1/stats").json()
    assert stats["videos"] == 6 and stats["requests"]["waiting"] == 0


def test_refused_request_says_so_to_a_client_that_sends_on(server):
    """An early answer with bytes left unread would be lost: the kernel resets the connection."""
    with raw_connection(server) as connection:
        connection.sendall(b"POST /v1/videos?wiat=1 HTTP/1.1\r\nHost: localhost\r\n"
                           b"Content-Length: %d\r\n\r\n" % (3 << 20))
        for _ in range(12):
            time.sleep(0.02)
            connection.sendall(bytes(1 << 18))
        received = connection.recv(65536)
    assert received.startswith(b"HTTP/1.1 400") and b"unknown-parameter" in received
