"""What holds for every address: errors, methods, ids, names in addresses, figures, the page's files."""

import re
import shutil

import pytest
import requests
from conftest import assert_problem, raw_request, wait_until


def test_unknown_address_is_a_problem(server):
    for path in ("/v2", "/v1", "/v1/", "/v1/videos/", "/v1/videos/a/b/c", "//", "/v1/videos/a/"):
        assert_problem(server.get(path), 404, "no-route")


def test_wrong_method_names_the_right_ones(server):
    answer = requests.post(f"{server.url}/v1/models", data=b"x")
    assert_problem(answer, 405, "method-not-allowed", "GET, HEAD")
    assert answer.headers["Allow"] == "GET, HEAD"
    answer = requests.request("BREW", f"{server.url}/v1/videos/x")
    assert answer.headers["Allow"] == "PUT, GET, HEAD, PATCH, DELETE"


def test_options_names_the_methods(server):
    answer = requests.options(f"{server.url}/v1/videos")
    assert answer.status_code == 204 and answer.headers["Allow"] == "POST, GET, HEAD"


@pytest.mark.parametrize("path", ["/v1/videos/%", "/v1/videos/%4", "/v1/videos/%zz", "/v1/videos/a%00b",
                                  "/v1/videos/%ff", "/v1/videos?filename=%c3", "/v1/videos?%00=1"])
def test_address_that_is_not_utf8_is_refused(server, path):
    received = raw_request(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert b" 400 " in received.splitlines()[0] and b"/problems/bad-uri" in received


def test_client_id_is_kept_when_it_is_harmless(server):
    answer = server.get("/v1/nothing", headers={"X-Request-Id": "my.id_7-A"})
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == "my.id_7-A"


@pytest.mark.parametrize("sent", ["a b", "x" * 37, "", "ä", 'a"b'])
def test_client_id_that_could_do_harm_is_replaced(server, sent):
    answer = server.get("/v1/nothing", headers={"X-Request-Id": sent.encode("latin-1")})
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])


def test_every_answer_has_its_own_id_and_is_not_sniffed(server):
    answers = [server.get(path) for path in ("/", "/v1/videos", "/v1/metrics", "/nix", "/openapi.yaml")]
    assert len({a.headers["X-Request-Id"] for a in answers}) == len(answers)
    assert all(a.headers["X-Content-Type-Options"] == "nosniff" for a in answers)


def test_request_is_logged_on_one_line_whatever_its_address(server):
    raw_request(server, b"GET /v1/log\tprobe%0Aevent\x01\x7f=forged HTTP/1.1\r\nHost: localhost\r\n"
                        b"X-Request-Id: logprobe1\r\n\r\n")
    server.get("/v1/nothing%0Aforged", headers={"X-Request-Id": "logprobe2"})
    lines = [line for line in server.log.read_text().splitlines() if "logprobe2" in line]
    assert len(lines) == 1
    assert re.search(r' info http method=GET path="/v1/nothing%0Aforged" status=404 ms=\d+\.\d '
                     r"in=0 out=\d+ request_id=logprobe2$", lines[0]), lines[0]
    assert not any(line.startswith(("event", "forged")) for line in server.log.read_text().splitlines())


def test_terminal_commands_in_an_address_do_not_reach_the_log(server):
    raw_request(server, b"GET /v1/\xc2\x9b31m\x1b[31m HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: logprobe3\r\n\r\n")
    line = next(line for line in server.log.read_bytes().splitlines() if b"logprobe3" in line)
    assert b"\xc2\x9b" not in line and b"\x1b" not in line and rb"\xc2\x9b31m\x1b" in line


def test_type_of_a_problem_explains_itself(server):
    problem = server.get("/v1/videos/none").json()
    answer = server.get(problem["type"])
    assert answer.status_code == 200
    assert answer.json()["title"] == problem["title"] and answer.json()["status"] == 404
    assert_problem(server.get("/problems/none"), 404, "not-found")


def test_head_is_get_without_the_body(server):
    for path in ("/v1/videos", "/v1/models", "/", "/v1/nothing"):
        head, get = requests.head(server.url + path), server.get(path)
        assert head.status_code == get.status_code and head.content == b""
        assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.parametrize("data", [
    b"\x00\x01\x02\x03\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50,
    b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 60_000 + b"\r\n",
    b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
])
def test_nonsense_on_the_wire_costs_only_its_connection(server, data):
    try:
        received = raw_request(server, data, timeout=3)
    except OSError:  # closed in the middle of what was being sent, or left waiting for more
        received = b""
    assert not received or re.match(rb"HTTP/1\.[01] [45]\d\d ", received), received[:200]


def test_metrics_count_requests_and_name_the_build(server, clip):
    server.upload(clip(70))
    server.get("/v1/videos/none")
    answer = server.get("/v1/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = answer.text
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) vidx_\w+ .+|vidx_\w+(\{(\w+="[^"]*",?)+\})? -?[\d.e+-]+', line), line
    assert re.search(r'vidx_http_requests_total\{method="POST",route="/v1/videos",status="201"\} [1-9]', text)
    assert re.search(r'vidx_http_requests_total\{method="GET",route="/v1/videos/\{id\}",status="404"\} [1-9]', text)
    assert 'vidx_ingest_finished_total{outcome="ok"}' in text
    assert re.search(r'vidx_build_info\{version="[\d.]+"\} 1', text)
    count = re.search(r'request_seconds_count\{method="POST",route="/v1/videos"\} (\d+)', text).group(1)
    assert f'request_seconds_bucket{{method="POST",route="/v1/videos",le="+Inf"}} {count}' in text
    assert f'request_seconds_bucket{{method="POST",route="/v1/videos",le="60"}} {count}' in text
    free = int(float(re.search(r"^vidx_disk_free_bytes (\S+)", text, re.M).group(1)))
    assert free == pytest.approx(shutil.disk_usage(server.data).free, rel=0.2)
    names = re.findall(r"^# TYPE (\S+)", text, re.M)
    assert len(names) == len(set(names))


def test_stats_agree_with_what_is_stored(server, clip):
    before = server.get("/v1/stats").json()
    server.upload(clip(71), clip="fixed:1")
    after = server.get("/v1/stats").json()
    assert after["videos"] == before["videos"] + 1
    assert after["vectors"] == before["vectors"] + 3
    assert after["ingest"]["finished"]["ok"] == before["ingest"]["finished"]["ok"] + 1
    assert after["ingest"]["phases"]["EMBED"]["total_s"] > before["ingest"]["phases"]["EMBED"]["total_s"]


def test_models_tell_what_is_loaded(server):
    model = server.get("/v1/models").json()["items"][0]
    assert (model["name"], model["dim"], model["frames"], model["device"]) == ("tiny", 64, 4, "cpu")
    assert model["text"] is None and 0 < model["similar_threshold"] < 1


def test_health_tells_live_and_ready(server):
    assert server.get("/v1/health/live").json() == {"status": "live"}
    assert server.get("/v1/health/ready").json() == {"status": "ready"}


@pytest.mark.parametrize("path, content_type", [("/", "text/html"), ("/app.js", "text/javascript"),
                                                ("/uploads.js", "text/javascript"),
                                                ("/clusters.js", "text/javascript"), ("/folders.js", "text/javascript"), ("/imports.js", "text/javascript"),
                                                ("/style.css", "text/css"), ("/icon.svg", "image/svg+xml"),
                                                ("/openapi.yaml", "application/yaml")])
def test_page_files_come_from_the_program_itself(server, path, content_type):
    answer = server.get(path)
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith(content_type)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    again = server.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304 and again.content == b""


# ---- what a proxy or an unusual client may send ----

@pytest.mark.parametrize("target, status", [
    ("http://{host}/v1/health/ready", 200), ("HTTP://localhost/v1/videos?limit=1", 200), ("http://localhost", 200),
    ("http://127.0.0.1:1?x=1", 400), ("https://localhost/v1/videos/none", 404), ("http://evil.example/v1/videos", 403),
    ("http://localhost@evil.example/v1/videos", 403), ("http:///v1/videos", 403), ("ftp://localhost/v1/videos", 404),
])
def test_target_in_absolute_form_is_understood(server, target, status):
    """RFC 9112, 3.2.2: its host counts, and the Host header does not."""
    host = server.url.removeprefix("http://")
    request = f"GET {target.format(host=host)} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert int(raw_request(server, request.encode()).split()[1]) == status


def test_host_of_an_absolute_target_counts_and_the_header_does_not(server):
    request = b"GET http://localhost/v1/videos HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert raw_request(server, request).split()[1] == b"200"


def test_options_of_the_whole_server_name_the_methods(server):
    answer = raw_request(server, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.split()[1] == b"204" and b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE" in answer


@pytest.mark.parametrize("encoding", ["gzip", "gzip, chunked", "identity", "deflate", "chunked, gzip", "x"])
def test_unknown_transfer_encoding_is_not_implemented(server, encoding):
    request = (f"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {encoding}\r\n\r\n"
               "5\r\nhello\r\n0\r\n\r\n")
    answer = raw_request(server, request.encode())
    assert answer.split()[1] == b"501" and b"/problems/not-implemented" in answer, answer
    assert b"Connection: close" in answer
    assert server.get("/v1/stats").json()["ingest"]["queued"] == 0


def test_second_transfer_encoding_is_seen_too(server):
    for lines in ("gzip\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: gzip"):
        request = f"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {lines}\r\n\r\n0\r\n\r\n"
        assert raw_request(server, request.encode()).split()[1] == b"501"


def test_other_multipart_than_a_form_is_refused(server):
    for kind in ("mixed", "related; boundary=x"):
        answer = server.post("/v1/videos", data=b"--x--", headers={"Content-Type": f"multipart/{kind}"})
        assert_problem(answer, 415, "bad-content-type", "multipart/form-data")


def test_form_by_put_is_refused(server):
    answer = server.http.put(f"{server.url}/v1/videos/a.mp4", files={"file": b"x"}, timeout=180)
    assert_problem(answer, 415, "bad-content-type", "the body is the file itself")


@pytest.mark.parametrize("method, path, content_type", [
    ("POST", "/v1/search", "application/json"), ("POST", "/v1/videos", "video/mp4"), ("PUT", "/v1/videos/a.mp4", "video/mp4"),
    ("POST", "/v1/videos", "multipart/form-data; boundary=x"), ("PATCH", "/v1/videos/x", "application/json")])
@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP", "zstd, gzip"])
def test_compressed_body_is_refused_by_name(server, method, path, content_type, coding):
    answer = requests.request(method, server.url + path, data=b"\x1f\x8b", timeout=180,
                              headers={"Content-Type": content_type, "Content-Encoding": coding})
    assert_problem(answer, 415, "bad-content-type", "Content-Encoding", coding)
    assert answer.headers["Accept-Encoding"] == "identity"


def test_identity_is_no_compression(server):
    answer = server.post("/v1/search", json={"k": 1}, headers={"Content-Encoding": "identity"})
    assert_problem(answer, 400, "missing-parameter")


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/nothing", "/v1/models", "/v1/stats", "/v1/metrics", "/v1/health/live",
                                  "/problems/busy"])
def test_reply_ends_with_a_newline(server, path):
    assert server.get(path).content.endswith(b"\n")


def test_other_replies_end_with_a_newline(server, stored):
    video = stored(75)
    for answer in (server.post("/v1/embeddings", json={}), server.post("/v1/search", json={"video_id": video["id"]}),
                   server.get(f"/v1/videos/{video['id']}/vectors")):
        assert answer.content.endswith(b"\n") and not answer.content.endswith(b"\n\n")


def test_probes_are_logged_at_debug(server, start):
    """A supervisor asks every few seconds: nobody wants to read that."""
    loud = start("--log-level", "debug")
    for each in (server, loud):
        each.get("/v1/health/live", headers={"X-Request-Id": "health1"})
        each.get("/v1/health/ready", headers={"X-Request-Id": "health2"})
        each.get("/v1/videos", headers={"X-Request-Id": "norm1"})
        wait_until(lambda each=each: "norm1" in each.log.read_text())
    assert not re.search("health[12]", server.log.read_text())
    assert re.search(r" debug http .*health1", loud.log.read_text()), loud.tail()
