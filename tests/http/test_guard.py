"""Pages of other sites cannot drive the server, not even through a visitor's browser."""

import pytest
import requests
from conftest import assert_problem, raw_request

ORIGIN = "https://app.example:8443"


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1", "127.0.0.1:80", "[::1]:8000", "LOCALHOST"])
def test_names_of_this_machine_are_answered(server, host):
    assert server.get("/v1/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
                                  "[::2]", "10.0.0.1", ""])
def test_other_names_are_refused(server, host):
    """DNS rebinding: the name resolves to 127.0.0.1, and the browser thinks it is that site."""
    assert_problem(server.get("/v1/videos", headers={"Host": host}), 403, "host-not-allowed")


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
])
@pytest.mark.parametrize("method, path", [("POST", "/v1/videos"), ("PUT", "/v1/videos/a.mp4"),
                                          ("DELETE", "/v1/videos/x"), ("PATCH", "/v1/videos/x"),
                                          ("POST", "/v1/search")])
def test_change_from_another_origin_is_refused(server, clip, method, path, headers):
    answer = requests.request(method, server.url + path, data=clip(80).read_bytes(), headers=headers)
    assert_problem(answer, 403, "cross-origin")
    assert server.get("/v1/stats").json()["videos"] == 0


def test_change_from_the_own_page_and_from_curl_is_allowed(server, clip):
    for headers in ({"Origin": server.url, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}):
        video = requests.post(f"{server.url}/v1/videos", data=clip(81).read_bytes(), headers=headers)
        assert video.status_code == 201
        answer = requests.delete(f"{server.url}/v1/videos/{video.json()['id']}", headers=headers)
        assert answer.status_code == 204


def test_answers_are_not_shared_with_other_origins(server):
    answer = server.get("/v1/videos", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_permitted_origin_may_use_everything(start, clip):
    server = start("--allow-origin", ORIGIN)
    preflight = requests.options(f"{server.url}/v1/videos", headers={
        "Origin": ORIGIN, "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]
    answer = requests.post(f"{server.url}/v1/videos", data=clip(82).read_bytes(),
                           headers={"Origin": ORIGIN, "Host": "app.example"})
    assert answer.status_code == 201
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    answer = requests.post(f"{server.url}/v1/videos", data=b"x", headers={"Origin": "https://evil.example"})
    assert_problem(answer, 403, "cross-origin")


def test_http_1_0_without_host_is_answered(server):
    assert raw_request(server, b"GET /v1/health/live HTTP/1.0\r\n\r\n").split()[1] == b"200"
