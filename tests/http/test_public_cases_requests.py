"""Requests as clients in the wild send them."""

import gzip
import json
from urllib.parse import urlparse

import pytest
import requests
from conftest import assert_problem, raw_request

BOUNDARY = "gc0p4Jq0M2Yt08jU534c0p"


def post_form(server, disposition, data, content_type="multipart/form-data; boundary=" + BOUNDARY):
    body = b"".join([f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode(), data,
                     f"\r\n--{BOUNDARY}--\r\n".encode()])
    return requests.post(f"{server.url}/v1/videos", data=body, headers={"Content-Type": content_type},
                         timeout=180)


@pytest.mark.parametrize("seed, disposition, name", [
    # .NET's MultipartFormDataContent quotes nothing
    (940, "Content-Disposition: form-data; name=file; filename=holiday.mp4", "holiday.mp4"),
    (941, 'content-disposition: FORM-DATA; NAME="file"; FileName="holiday.mp4"', "holiday.mp4"),
    # browsers write a quote in a name as %22, curl as \\"
    (942, r'Content-Disposition: form-data; name="file"; filename="a \"b\".mp4"', 'a "b".mp4'),
    # only the extended form, as some HTTP libraries send it (RFC 5987)
    (943, "Content-Disposition: form-data; name=file; filename*=utf-8''%e6%97%a5.mp4", "日.mp4"),
    (944, "Content-Type: video/mp4\r\nContent-Disposition: form-data; name=file; filename=b.mp4", "b.mp4"),
])
def test_form_part_is_read_however_its_names_are_written(server, clip, seed, disposition, name):
    answer = post_form(server, disposition, clip(seed).read_bytes())
    assert answer.status_code == 201, answer.text
    assert answer.json()["filename"] == name


@pytest.mark.parametrize("seed, content_type", [
    (945, f'multipart/form-data; boundary="{BOUNDARY}"'),
    (946, f"Multipart/Form-Data; charset=utf-8; Boundary={BOUNDARY}"),
])
def test_form_is_read_however_its_boundary_is_written(server, clip, seed, content_type):
    answer = post_form(server, 'Content-Disposition: form-data; name="file"; filename="c.mp4"',
                       clip(seed).read_bytes(), content_type)
    assert answer.status_code == 201, answer.text


def test_rest_of_an_upload_is_not_stored_as_a_whole_video(server, clip):
    """curl --continue-at: PUT with Content-Range must be refused by who does not know it (RFC 9110)."""
    data, before = clip(952).read_bytes(), server.get("/v1/stats").json()["videos"]
    answer = requests.put(f"{server.url}/v1/videos/rest.mp4", data=data, timeout=180, headers={
        "Content-Range": f"bytes 1000-{999 + len(data)}/{1000 + len(data)}"})
    assert_problem(answer, 400, answer.json()["type"].rsplit("/", 1)[1], "content-range")
    assert server.get("/v1/stats").json()["videos"] == before


@pytest.mark.parametrize("target", ["http://{host}/v1/health/ready", "HTTP://{host}/v1/health/ready",
                                    "http://{host}/v1/videos?limit=1"])
def test_whole_address_as_target_is_understood(server, target):
    """A server must take the absolute form (RFC 9112, 3.2.2), though only proxies need it."""
    host = urlparse(server.url).netloc
    received = raw_request(server, f"GET {target.format(host=host)} HTTP/1.1\r\nHost: {host}\r\n"
                                   "Connection: close\r\n\r\n".encode())
    assert received.split()[1] == b"200", received


@pytest.mark.parametrize("path", ["/v1/search", "/v1/embeddings"])
def test_compressed_body_is_refused_by_its_encoding(server, path):
    """Not by what its bytes are as JSON (RFC 9110, 15.5.16)."""
    body = gzip.compress(json.dumps({"text": "a dog", "input": "a dog"}).encode())
    answer = server.post(path, data=body, headers={"Content-Type": "application/json",
                                                   "Content-Encoding": "gzip"})
    assert answer.status_code == 415, answer.text
    assert "content-encoding" in answer.text.lower()


# ---- a page of another site, where the server listens beyond this machine --------------------------


@pytest.fixture(scope="module")
def reachable(start):
    """As in a container: the socket is not loopback."""
    return start("--listen", "0.0.0.0:0")


REBOUND = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000",
           "Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize("method, path", [
    ("GET", "/v1/videos"), ("POST", "/v1/videos"), ("PUT", "/v1/videos/a.mp4"),
    ("GET", "/v1/videos/{id}/content"), ("DELETE", "/v1/videos/{id}"), ("GET", "/")])
def test_name_that_resolves_here_is_refused_on_every_address(reachable, clip, method, path):
    """DNS rebinding: to the browser it is the page's own site."""
    video = reachable.upload(clip(960)).json()["id"]
    answer = requests.request(method, reachable.url + path.format(id=video), headers=REBOUND,
                              data=clip(961).read_bytes() if method in ("POST", "PUT") else None)
    assert_problem(answer, 403, "host-not-allowed")
    assert reachable.get(f"/v1/videos/{video}").status_code == 200
    assert reachable.get("/v1/stats").json()["videos"] == 1
