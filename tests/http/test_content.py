"""The stored file, whole and in ranges (RFC 9110), thumbnails."""

import io

import make as samples
import pytest
import requests
from conftest import assert_problem
from PIL import Image


@pytest.fixture(scope="module")
def video(server, clip):
    answer = server.upload(clip(50), filename='a "b" ü;%.mp4')
    return answer.json() | {"data": clip(50).read_bytes()}


def content(server, video, method="GET", **headers):
    return requests.request(method, f"{server.url}/v1/videos/{video['id']}/content",
                            headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_whole_file_comes_back_with_its_headers(server, video):
    answer = content(server, video)
    assert answer.status_code == 200 and answer.content == video["data"]
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["ETag"] == f'"{video["sha256"]}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"] == (
        "inline; filename=\"a _b_ _;_.mp4\"; filename*=UTF-8''a%20%22b%22%20%C3%BC%3B%25.mp4")


def test_head_has_the_headers_of_get_and_no_body(server, video):
    head, get = content(server, video, "HEAD"), content(server, video)
    assert head.status_code == 200 and head.content == b""
    for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges", "Content-Disposition"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("text, first, last", [
    ("bytes=0-0", 0, 0), ("bytes=0-99", 0, 99), ("bytes=100-", 100, None), ("bytes=-7", -7, None),
    ("bytes=5-99999999999999999999", 5, None), ("bytes=-99999999999", 0, None), ("BYTES=1-2", 1, 2),
])
def test_range_gives_those_bytes(server, video, text, first, last):
    size = len(video["data"])
    first = first % size if first < 0 else first
    last = size - 1 if last is None else last
    answer = content(server, video, Range=text)
    assert answer.status_code == 206
    assert answer.content == video["data"][first:last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
    assert answer.headers["Content-Type"] == "video/mp4"


@pytest.mark.parametrize("text", ["bytes=0-1,3-4", "bytes=5-2", "bytes=", "bytes=a-b", "lines=0-1", "bytes=1-2x",
                                  "bytes=--5", "0-5"])
def test_range_that_cannot_be_used_gives_the_whole_file(server, video, text):
    answer = content(server, video, Range=text)
    assert answer.status_code == 200 and answer.content == video["data"]


@pytest.mark.parametrize("text", ["bytes=999999999-", "bytes=-0", "bytes=99999999999999999999-"])
def test_range_outside_the_file_answers_416_with_its_size(server, video, text):
    answer = content(server, video, Range=text)
    assert_problem(answer, 416, "range-not-satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(video['data'])}"


def test_if_range_of_another_file_gives_the_whole_file(server, video):
    assert content(server, video, Range="bytes=0-1", If_Range='"other"').status_code == 200
    tag = f'"{video["sha256"]}"'
    assert content(server, video, Range="bytes=0-1", If_Range=tag).status_code == 206


def test_known_tag_answers_304(server, video):
    tag = f'"{video["sha256"]}"'
    for value in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        answer = content(server, video, If_None_Match=value)
        assert answer.status_code == 304 and answer.content == b"" and answer.headers["ETag"] == tag
    assert content(server, video, If_None_Match='"x"').status_code == 200


@pytest.mark.parametrize("name, content_type", [("vp9.webm", "video/webm"), ("mpeg2.ts", "video/mp2t"),
                                                ("h264.avi", "video/x-msvideo"),
                                                ("h264_444.mkv", "video/x-matroska")])
def test_content_type_follows_the_container(server, name, content_type):
    video = server.upload(samples.sample(name)).json()
    assert content(server, video).headers["Content-Type"] == content_type


# ---- Thumbnails -----------------------------------------------------------------------------------


def thumbnail(server, video, **params):
    return server.get(f"/v1/videos/{video['id']}/thumbnail", params=params)


def picture(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/jpeg"
    return Image.open(io.BytesIO(answer.content)).convert("RGB")


def test_thumbnail_shows_the_frame_of_its_time(server, video):
    shown = picture(thumbnail(server, video, t="1.0", size="96"))
    assert shown.size == (96, 64)
    expected = Image.fromarray(samples.picture(8, 96, 64, seed=50))  # 8 frames a second
    other = Image.fromarray(samples.picture(20, 96, 64, seed=50))

    def difference(a, b):
        return sum(abs(x - y) for x, y in zip(a.tobytes(), b.tobytes())) / len(a.tobytes())

    assert difference(shown, expected) < difference(shown, other) / 2


def test_thumbnail_size_bounds_the_longest_side(server, video):
    assert max(picture(thumbnail(server, video, size="48")).size) == 48
    assert picture(thumbnail(server, video, size="2048")).size == (96, 64)


def test_thumbnail_is_cached_by_its_tag(server, video):
    first = thumbnail(server, video)
    assert "immutable" in first.headers["Cache-Control"]
    again = requests.get(first.url, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304 and again.content == b""


@pytest.mark.parametrize("params", [{"t": "-1"}, {"t": "99"}, {"t": "nan"}, {"t": "x"}, {"t": "1e999"},
                                    {"size": "0"}, {"size": "100000"}, {"size": "1.5"}])
def test_wrong_thumbnail_parameter_is_refused(server, video, params):
    assert_problem(thumbnail(server, video, **params), 400, "bad-parameter", next(iter(params)))


def test_thumbnail_of_the_last_moment_is_the_last_frame(server, video):
    assert picture(thumbnail(server, video, t=video["media"]["duration_s"])).size == (96, 64)


# ---- packet tables

def tables(server):
    return sorted(path.name for path in (server.data / "tables").iterdir())


def test_packet_table_is_kept_beside_a_video_and_goes_with_it(server, clip):
    before = tables(server)
    video = server.upload(clip(61)).json()
    assert set(tables(server)) - set(before) == {video["sha256"]}
    shown = thumbnail(server, video, t="1.3").content
    assert server.delete(f"/v1/videos/{video['id']}").status_code == 204
    assert tables(server) == before
    assert shown


def test_thumbnail_of_a_video_without_a_table_makes_one(server, clip):
    """As of one that was stored by an earlier version."""
    video = server.upload(clip(62)).json()
    first = thumbnail(server, video, t="2.1").content
    table = server.data / "tables" / video["sha256"]
    kept = table.read_bytes()
    table.unlink()
    assert thumbnail(server, video, t="2.1").content == first
    assert table.read_bytes() == kept
    table.write_bytes(b"nonsense")
    assert thumbnail(server, video, t="2.1").content == first


def test_upload_that_is_not_stored_leaves_no_table(server, clip):
    before = tables(server)
    server.upload(clip(63))
    answer = server.upload(clip(63, suffix=".mkv"), on_duplicate="reject")
    assert answer.status_code == 409
    assert len(tables(server)) == len(before) + 1
