"""Forms as the HTTP libraries of many languages send them."""

import json

import pytest
from conftest import assert_problem, raw_connection

BOUNDARY = b"frontier"


def part(disposition, data, *headers):
    if isinstance(disposition, str):
        disposition = disposition.encode()
    head = b"".join(header.encode() + b"\r\n" for header in headers)
    return b"--" + BOUNDARY + b"\r\nContent-Disposition: " + disposition + b"\r\n" + head + b"\r\n" + data + b"\r\n"


def send(server, *parts, content_type="multipart/form-data; boundary=frontier", path="/v1/videos"):
    body = b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"
    return server.post(path, data=body, headers={"Content-Type": content_type})


@pytest.mark.parametrize("disposition, name", [
    ('form-data; name="file"; filename="clip.mp4"', "clip.mp4"),
    ("form-data; name=file; filename=clip.mp4; filename*=utf-8''clip.mp4", "clip.mp4"),  # .NET
    ("form-data; name=file; filename=clip.mp4", "clip.mp4"),
    ("form-data; filename=clip.mp4; name=file", "clip.mp4"),
    ("FORM-DATA; NAME=\"file\"; FileName=\"clip.mp4\"", "clip.mp4"),
    ("form-data; name=\"file\"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.mp4", "naïve €.mp4"),
    ("form-data; name=\"file\"; filename=\"x.mp4\"; filename*=UTF-8''%E6%97%A5.mp4", "日.mp4"),
    ("form-data; name=\"file\"; filename*=iso-8859-1''%E9t%E9.mp4", "été.mp4"),
    ('form-data; name="file"; filename="5\\" disk.mp4"', '5" disk.mp4'),
    ('form-data; name="file"; filename="5%22 disk.mp4"', '5" disk.mp4'),  # browsers, curl
    ('form-data; name="file"; filename="a\\\\b.mp4"', "a\\b.mp4"),
    ('form-data; name="file"; filename="a;b=c.mp4"', "a;b=c.mp4"),
    ('form-data; name="file"; filename="日本.mp4"', "日本.mp4"),
    ('form-data; name="file"', "unnamed"),
    ('form-data; name="file"; filename=""', "unnamed"),
])
def test_file_name_of_a_part_is_read(server, clip, disposition, name):
    answer = send(server, part(disposition, clip(300).read_bytes()))
    assert answer.status_code == 201, answer.text
    assert answer.json()["filename"] == name
    assert server.delete(f"/v1/videos/{answer.json()['id']}").status_code == 204


@pytest.mark.parametrize("content_type", [
    "multipart/form-data; Boundary=frontier", "multipart/form-data; BOUNDARY=\"frontier\"",
    "Multipart/Form-Data;boundary=frontier", "multipart/form-data; charset=utf-8; boundary=frontier",
    "multipart/form-data ; boundary = \"frontier\" ; charset=x",
])
def test_boundary_is_found_however_it_is_written(server, clip, content_type):
    answer = send(server, part("form-data; name=file", clip(301).read_bytes()), content_type=content_type)
    assert answer.status_code in (200, 201), answer.text


def test_bytes_that_look_like_a_boundary_are_kept(server, clip):
    data = clip(302).read_bytes() + b"\r\n--frontie\r\n--frontierx\r\n--frontier-\r\n\r\r\n--\r\n"
    answer = send(server, part("form-data; name=file; filename=a.mp4", data), part("form-data; name=wait", b"true"))
    assert answer.status_code == 201, answer.text
    assert server.get(f"/v1/videos/{answer.json()['id']}/content").content == data


@pytest.mark.parametrize("parts, problem, word", [
    ([part("form-data", b"x")], "bad-multipart", "no name"),
    ([part('form-data; name="file', b"x")], "bad-multipart", "quote"),
    ([part("form-data; name=file", b"eA==", "Content-Transfer-Encoding: base64")], "bad-multipart",
     "content-transfer-encoding"),
    ([part("form-data; name=file", b"x", "X-Long: " + "a" * 20_000)], "bad-multipart", "too long"),
    ([part("form-data; name=colour", b"x")], "unknown-parameter", "colour"),
    ([part(b"form-data; name=file; filename=\"\xff.mp4\"", b"x")], "bad-parameter", "UTF-8"),
    ([part("form-data; name=file; filename=\"" + "a" * 256 + "\"", b"x")], "bad-parameter", "255"),
])
def test_wrong_form_is_refused_with_its_reason(server, parts, problem, word):
    assert_problem(send(server, *parts), 400, problem, word)


def test_option_behind_a_refused_one_is_not_waited_for(server):
    """The reply comes with the wrong field, not behind a file that nobody will read."""
    answer = send(server, part("form-data; name=wait", b"perhaps"), part("form-data; name=file", bytes(3 << 20)))
    assert_problem(answer, 400, "bad-parameter", "wait must be one of")


def test_search_by_form_reads_the_same_forms(server, clip, stored):
    video = stored(303)
    answer = send(server, part("form-data; name=k", b"1"), part("form-data; name=file; filename=a.mp4",
                                                                 clip(303).read_bytes()), path="/v1/search")
    assert [hit["video_id"] for hit in answer.json()["items"]] == [video["id"]]


@pytest.mark.parametrize("name, length", [("日" * 251 + ".mp4", 255), ("a" * 251 + ".mp4", 255), ("😀" * 255, 255)])
def test_name_of_255_characters_is_kept(server, clip, name, length):
    with clip(304).open("rb") as file:
        answer = server.http.put(f"{server.url}/v1/videos/{name}", data=file, timeout=180)
    assert answer.status_code == 201, answer.text
    assert answer.json()["filename"] == name and len(name) == length
    sent = server.get(f"/v1/videos/{answer.json()['id']}/content").headers["Content-Disposition"]
    assert sent.count("%") == sum(3 if c == "日" else 4 if c == "😀" else 0 for c in name)
    assert server.delete(f"/v1/videos/{answer.json()['id']}").status_code == 204


def test_name_of_256_characters_is_refused(server):
    answer = server.http.put(f"{server.url}/v1/videos/{'日' * 256}", data=b"x", timeout=180)
    assert_problem(answer, 400, "bad-parameter", "255 characters")


def test_lines_that_end_with_newline_alone_are_read(server, clip):
    body = (b"--frontier\nContent-Disposition: form-data; name=file; filename=lf.mp4\n\n" +
            clip(305).read_bytes() + b"\n--frontier--\n")
    answer = server.post("/v1/videos", data=body, headers={"Content-Type": "multipart/form-data; boundary=frontier"})
    assert answer.status_code == 201, answer.text
    assert server.get(f"/v1/videos/{answer.json()['id']}/content").content == clip(305).read_bytes()


def test_form_in_pieces_of_one_byte_is_read(server, clip):
    data = clip(306, seconds=1, size=(32, 32)).read_bytes()
    body = part("form-data; name=file; filename=slow.mp4", data) + b"--frontier--\r\n"
    head = (f"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
            "Content-Type: multipart/form-data; boundary=frontier\r\n\r\n").encode()
    pieces = b"".join(b"1\r\n" + body[i:i + 1] + b"\r\n" for i in range(len(body))) + b"0\r\n\r\n"
    with raw_connection(server) as connection:
        connection.sendall(head + pieces)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split()[1] == b"201", answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["filename"] == "slow.mp4"
