"""Pages of other sites cannot drive the server, not even through a visitor's browser."""

import re
import subprocess

import pytest
import requests
import yaml
from conftest import assert_problem, raw_request
from server import BINARY, ROOT, Server

ORIGIN = "https://app.example:8443"


@pytest.fixture(scope="module")
def open_server(start):
    return start("--listen", "0.0.0.0:0", "--host", "videos.example.com, box")


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "LOCALHOST", "localhost.", "127.0.0.1", "127.0.0.1:80", "10.0.0.1",
                                  "192.168.1.7:8000", "[::1]:8000", "[::2]", "[fd00::17]:8000"])
def test_localhost_and_addresses_are_answered(server, host):
    """A page cannot make its own site an IP address, so these are no sign of DNS rebinding."""
    assert server.get("/v1/videos", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
                                  "1.2.3", "2130706433", "::1", "[::1]evil.example", "[evil.example]", "localhost:80x",
                                  "127.0.0.1@evil.example", ""])
def test_other_names_are_refused(server, host):
    """DNS rebinding: the name resolves to 127.0.0.1, and the browser thinks it is that site."""
    assert_problem(server.get("/v1/videos", headers={"Host": host}), 403, "host-not-allowed")


@pytest.mark.parametrize("method, path", [("GET", "/"), ("GET", "/v1/videos"), ("POST", "/v1/videos"), ("GET", "/v1/search?q=a"),
                                          ("DELETE", "/v1/videos/x"), ("GET", "/v1/health/live"), ("OPTIONS", "/v1/videos")])
def test_server_on_every_address_refuses_other_names_too(open_server, method, path):
    """As in a container, where the socket does not say who can reach it."""
    page = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000", "Sec-Fetch-Site": "same-origin"}
    answer = requests.request(method, open_server.url + path, headers=page, timeout=180)
    assert_problem(answer, 403, "host-not-allowed", "evil.example")


def test_names_of_the_operator_are_answered(open_server):
    for host in ("videos.example.com", "VIDEOS.example.com:8443", "videos.example.com.", "box", "10.0.0.1"):
        assert open_server.get("/v1/videos", headers={"Host": host}).status_code == 200, host
    for host in ("example.com", "www.videos.example.com", "boxx"):
        assert_problem(open_server.get("/v1/videos", headers={"Host": host}), 403, "host-not-allowed")


def test_page_behind_a_proxy_that_changes_host_may_change_things(open_server):
    """Its origin is a name that the operator gave."""
    for origin, status in (("https://videos.example.com", 404), ("http://box", 404), ("https://videos.example.com:9", 403),
                           ("https://evil.example", 403)):
        answer = open_server.delete("/v1/videos/x", headers={"Host": "127.0.0.1:8000", "Origin": origin})
        assert answer.status_code == status, origin


def test_request_with_two_hosts_is_refused(server):
    request = b"GET /v1/videos HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert raw_request(server, request).split()[1] == b"400"


def test_http_1_1_without_host_is_refused(server):
    answer = raw_request(server, b"GET /v1/videos HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.split()[1] == b"400" and b"no Host header" in answer


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


def preflight(server, origin, method="POST"):
    return requests.options(f"{server.url}/v1/videos", timeout=180, headers={
        "Origin": origin, "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type"})


def test_several_origins_may_use_everything(start):
    server = start("--allow-origin", f"{ORIGIN}, http://other.example, https://third.example:443")
    for origin in (ORIGIN, "http://other.example", "https://third.example"):
        answer = preflight(server, origin)
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        assert answer.headers["Vary"] == "Origin"
        assert requests.delete(f"{server.url}/v1/videos/x", headers={"Origin": origin}, timeout=180).status_code == 404
    for origin in ("https://app.example", "http://third.example", "https://other.example", "null", "https://evil.example"):
        answer = preflight(server, origin)
        assert "Access-Control-Allow-Origin" not in answer.headers and answer.headers["Vary"] == "Origin"
        answer = requests.delete(f"{server.url}/v1/videos/x", headers={"Origin": origin}, timeout=180)
        assert_problem(answer, 403, "cross-origin")


def test_every_origin_may_use_everything_without_credentials(start):
    server = start("--allow-origin", "*")
    for origin in (ORIGIN, "null", "http://anything.example"):
        answer = preflight(server, origin)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert requests.delete(f"{server.url}/v1/videos/x", headers={"Origin": origin}, timeout=180).status_code == 404
    assert_problem(server.get("/v1/videos", headers={"Host": "evil.example"}), 403, "host-not-allowed")


def test_names_of_the_compose_file_are_accepted(tmp_path, tiny_model):
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for service in compose["services"].values():
        names = re.sub(r"\$\{VIDX_HOST:-(.*?)\}", r"\1", service["environment"]["VIDX_HOST"])
        assert {"vidx", "vidx-gpu"} <= set(names.split(","))
        assert service["ports"] == ["127.0.0.1:8000:8000"]
    with Server(tmp_path / "data", tiny_model, flags=("--listen", "0.0.0.0:0"), env={"VIDX_HOST": names}) as server:
        for host, status in (("vidx:8000", 200), ("localhost:8000", 200), ("evil.example:8000", 403)):
            assert server.get("/v1/videos", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("option, value", [
    ("--allow-origin", "nonsense"), ("--allow-origin", "app.example"), ("--allow-origin", "https://"),
    ("--allow-origin", "https://a.example/"), ("--allow-origin", "https://a.example/path"),
    ("--allow-origin", "https://a b.example"), ("--allow-origin", "https://a.example:"),
    ("--allow-origin", "https://a.example:x"), ("--allow-origin", "ftp://a.example"), ("--allow-origin", "null"),
    ("--allow-origin", "https://a.example,"), ("--allow-origin", "https://user@a.example"), ("--allow-origin", "**"),
    ("--host", "https://a.example"), ("--host", "a.example:8000"), ("--host", "a b"), ("--host", "a,,b"), ("--host", "*"),
    ("--host", ".example.com"),
])
def test_nonsense_is_refused_at_start(tmp_path, option, value):
    run = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", "--data", tmp_path / "data", option, value],
                         capture_output=True, text=True, timeout=180)
    assert run.returncode == 2
    assert run.stderr.startswith(f"vidx serve: {option}: '") and "example" in run.stderr or "HOST" in run.stderr, run.stderr


def test_http_1_0_without_host_is_answered(server):
    assert raw_request(server, b"GET /v1/health/live HTTP/1.0\r\n\r\n").split()[1] == b"200"
