"""A client that leaves before it is answered: the work for it ends, and nothing of it stays."""

import base64
import http.client
import json
import os
import re
import socket
import struct

import make as samples
import pytest
from conftest import assert_problem, raw_connection, wait_until


@pytest.fixture(scope="module")
def film():
    """Eleven minutes: the model `slow` takes seconds for it."""
    return samples.small(700, seconds=660, size=(32, 32), options={"preset": "ultrafast"}).read_bytes()


@pytest.fixture
def slow(start):
    return start("--ingest-threads", "1", "--clip", "fixed:0.5", model="slow")


def request(method, path, body, content_type="video/mp4", version="1.1"):
    head = f"{method} {path} HTTP/{version}\r\nHost: localhost\r\nContent-Type: {content_type}\r\n" \
           f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def upload(film, query="wait=true"):
    return request("PUT", f"/v1/videos/film.mp4?{query}", film)


def search(film):
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' + film + b"\r\n--b--\r\n"
    return request("POST", "/v1/search", form, "multipart/form-data; boundary=b")


def embedding(film):
    data = "data:video/mp4;base64," + base64.b64encode(film).decode()
    return request("POST", "/v1/embeddings", json.dumps({"input": data, "model": "slow"}).encode(), "application/json")


def send(server, data):
    connection = raw_connection(server, 120)
    connection.sendall(data)
    return connection


def leave(connection, how):
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def ended(server, metric, outcome="cancelled"):
    text = server.get("/v1/metrics").text
    found = re.search(rf'^vidx_{metric}_finished_total{{outcome="{outcome}"}} (\d+)', text, re.M)
    return int(found.group(1))


def phases(server):
    return {name: phase["now"] for name, phase in server.get("/v1/stats").json()["ingest"]["phases"].items()}


@pytest.mark.parametrize("how", ["close", "reset"])
def test_upload_whose_client_left_is_cancelled_and_removed(slow, film, how):
    connection = send(slow, upload(film))
    wait_until(lambda: phases(slow)["FRAMES"])
    leave(connection, how)
    wait_until(lambda: ended(slow, "ingest") == 1)
    assert not any(phases(slow).values())
    assert slow.get("/v1/stats").json()["videos"] == 0
    wait_until(lambda: list((slow.data / "incoming").iterdir()) == [])
    wait_until(lambda: 'path="/v1/videos/film.mp4" status=499' in slow.tail())


def test_uploads_that_wait_are_cancelled_before_their_turn(slow, film):
    connections = [send(slow, upload(film + bytes([i]))) for i in range(4)]
    wait_until(lambda: phases(slow)["FRAMES"] and slow.get("/v1/stats").json()["ingest"]["queued"] >= 1)
    for connection in reversed(connections):
        leave(connection, "reset")
    wait_until(lambda: ended(slow, "ingest") == 4)
    wait_until(lambda: list((slow.data / "incoming").iterdir()) == [])


def test_upload_of_a_client_that_left_is_gone_but_its_twin_is_stored(slow, film):
    first = send(slow, upload(film, "clip=whole"))
    wait_until(lambda: any(phases(slow).values()))
    twin = send(slow, upload(film, "clip=whole"))
    leave(first, "reset")
    assert answer_of(twin).status in (200, 201)
    assert slow.get("/v1/stats").json()["videos"] == 1


def test_job_goes_on_when_its_client_has_left(slow, film):
    leave(send(slow, upload(film, "wait=false&clip=fixed:20")), "close")
    wait_until(lambda: slow.get("/v1/stats").json()["videos"] == 1)


def test_search_by_a_file_whose_client_left_is_cancelled(slow, film):
    connection = send(slow, search(film))
    wait_until(lambda: slow.get("/v1/stats").json()["requests"]["waiting"])
    leave(connection, "reset")
    wait_until(lambda: ended(slow, "search") == 1)
    wait_until(lambda: list((slow.data / "incoming").iterdir()) == [])


def test_embeddings_of_videos_whose_clients_left_are_cancelled(slow, film):
    """More than are decoded at once: the last ones have not begun when their clients leave."""
    connections = [send(slow, embedding(film)) for _ in range(24)]
    wait_until(lambda: slow.get("/v1/stats").json()["requests"]["waiting"] >= 8)
    for connection in connections:
        leave(connection, "reset")
    wait_until(lambda: list((slow.data / "incoming").iterdir()) == [])
    wait_until(lambda: 'path="/v1/embeddings" status=499' in slow.tail())


def test_searches_by_file_beyond_what_may_wait_are_refused_and_the_others_go_on(slow, film, clip):
    """Half as many as there are cores run at once, two at least, and eight times as many wait."""
    inside = max(2, len(os.sched_getaffinity(0)) // 2) * 9
    connections = [send(slow, search(film)) for _ in range(inside)]
    wait_until(lambda: slow.get("/v1/stats").json()["requests"]["waiting"] == inside)
    with open(clip(1), "rb") as file:
        answer = slow.post("/v1/search", files={"file": file})
    assert_problem(answer, 503, "busy")
    assert int(answer.headers["Retry-After"]) > 0
    video = slow.upload(clip(1))
    assert video.status_code == 201
    assert slow.post("/v1/search", json={"video_id": video.json()["id"]}).status_code == 200
    for connection in connections:
        leave(connection, "reset")
    wait_until(lambda: ended(slow, "search") == inside)


def answer_of(connection):
    """http.client skips "100 Continue", as every client must."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer


def test_client_that_only_ended_its_sending_is_answered(slow, film):
    """As `nc -N` does."""
    connection = send(slow, upload(film, "clip=fixed:2"))
    connection.shutdown(socket.SHUT_WR)
    answer = answer_of(connection)
    assert answer.status == 201 and json.load(answer)["media"]["duration_s"] == 660
    assert ended(slow, "ingest") == 0


def test_client_of_http_1_0_that_only_ended_its_sending_gets_the_answer_alone(slow, film):
    connection = send(slow, request("PUT", "/v1/videos/film.mp4?clip=fixed:2", film, version="1.0"))
    connection.shutdown(socket.SHUT_WR)
    received = b""
    while piece := connection.recv(65536):
        received += piece
    assert received.split()[1] == b"201" and b" 100 " not in received.split(b"\r\n\r\n")[0]
