"""POST and PUT of a video that is fine."""

import hashlib
import threading

import make as samples
import pytest
import requests
from conftest import assert_problem


def test_form_upload_answers_the_video_object(server, clip):
    path = clip(1)
    with path.open("rb") as file:
        answer = server.post("/v1/videos", files={"file": ("häus 1.mp4", file)},
                             data={"metadata": '{"camera": 3, "note": "ü"}', "clip": "fixed:1"})
    assert answer.status_code == 201
    video = answer.json()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert answer.headers["Location"] == f"/v1/videos/{video['id']}"
    assert video["sha256"] == sha256 and video["id"] == "v" + sha256[:24]
    assert video["filename"] == "häus 1.mp4"
    assert video["bytes"] == path.stat().st_size
    assert video["media"] == {"container": "mov", "codec": "h264", "width": 96, "height": 64,
                              "fps": 8, "duration_s": 3, "sample_aspect_ratio": 1, "rotation": 0,
                              "hdr": "sdr"}
    assert video["metadata"] == {"camera": 3, "note": "ü"}
    assert [(c["start_s"], c["end_s"]) for c in video["clips"]] == [(0, 1), (1, 2), (2, 3)]
    assert video["duplicate"] == {"verdict": "new", "of": None, "score": None, "share": None, "share_of_new": None, "share_of_stored": None,
                                  "offset_s": None, "mirrored": False}
    assert video["status"] == "ready" and video["decode"]["frames_total"] == 24
    assert server.get(f"/v1/videos/{video['id']}").json() == video


def test_raw_upload_takes_options_from_the_query(server, clip):
    answer = server.upload(clip(2), metadata='{"a":[1,2.5,null]}', clip="fixed:2,1")
    assert answer.status_code == 201
    video = answer.json()
    assert video["filename"] == clip(2).name
    assert video["metadata"] == {"a": [1, 2.5, None]}
    assert len(video["clips"]) > 1


def test_raw_upload_without_a_name_is_called_unnamed(server, clip):
    answer = server.post("/v1/videos", data=clip(3).read_bytes())
    assert answer.status_code == 201
    assert answer.json()["filename"] == "unnamed"


def test_chunked_upload_is_stored(server, clip):
    data = clip(4).read_bytes()
    answer = server.post("/v1/videos", data=(data[i:i + 999] for i in range(0, len(data), 999)))
    assert answer.status_code == 201
    assert answer.json()["bytes"] == len(data)


@pytest.mark.parametrize("part", ['name="file"; filename="p.mp4"', 'name="metadata"'])
@pytest.mark.parametrize("n", range(1, 9))
def test_form_whose_part_comes_in_pieces_is_stored(server, clip, part, n):
    """A part's headers and its first n bytes, then the rest: as a network may deliver it."""
    file, metadata = clip(60).read_bytes(), b'{"camera": 3}'
    body = b"".join(b'--limit\r\nContent-Disposition: form-data; ' + head + b"\r\n\r\n" + text + b"\r\n"
                    for head, text in ((b'name="metadata"', metadata),
                                       (b'name="file"; filename="p.mp4"', file))) + b"--limit--\r\n"
    cut = body.index(b"\r\n\r\n", body.index(part.encode())) + 4 + n
    answer = server.post("/v1/videos", data=iter([body[:cut], body[cut:]]),
                         headers={"Content-Type": "multipart/form-data; boundary=limit"})
    assert answer.status_code == 201, answer.text
    video = answer.json()
    assert (video["filename"], video["metadata"]) == ("p.mp4", {"camera": 3})
    assert server.delete(f"/v1/videos/{video['id']}").status_code == 204


def test_put_takes_the_name_from_the_path(server, clip):
    answer = requests.put(f"{server.url}/v1/videos/b%20%C3%A4%2B.mp4", data=clip(5).read_bytes())
    assert answer.status_code == 201
    assert answer.json()["filename"] == "b ä+.mp4"


def test_put_with_path_separator_is_refused(server, clip):
    answer = requests.put(f"{server.url}/v1/videos/..%2Fb.mp4", data=clip(5).read_bytes())
    assert_problem(answer, 400, "bad-parameter", "must not contain")


def test_same_bytes_again_answer_200_and_the_stored_video(server, clip):
    first = server.upload(clip(6), metadata='{"n":1}')
    again = server.upload(clip(6), metadata='{"n":2}', filename="other.mp4")
    assert (first.status_code, again.status_code) == (201, 200)
    video = again.json()
    assert video["id"] == first.json()["id"]
    assert video["metadata"] == {"n": 1} and video["filename"] == clip(6).name
    assert video["duplicate"]["verdict"] == "exact"
    assert video["duplicate"]["of"] == video["id"]


def test_same_bytes_at_once_are_stored_once(server, clip):
    data, answers = clip(7).read_bytes(), []

    def send():
        answers.append(requests.post(f"{server.url}/v1/videos", data=data, timeout=180))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status_code for a in answers) == [200] * 7 + [201]
    assert len({a.json()["id"] for a in answers}) == 1


@pytest.mark.parametrize("on_duplicate, statuses", [("flag", [201] * 4), ("reject", [201, 409, 409, 409])])
def test_reencodes_of_one_film_at_once_are_one_original_and_copies(start, tmp_path, on_duplicate, statuses):
    server, answers = start(), []
    paths = [tmp_path / f"{crf}.mp4" for crf in (18, 23, 28, 33)]
    for path in paths:
        samples.encode(path, "libx264", n=24, size=(96, 64), rate=8, seed=9, options={"crf": path.stem})

    def send(path):
        answers.append(requests.post(f"{server.url}/v1/videos", params={"on_duplicate": on_duplicate},
                                     data=path.read_bytes(), timeout=180))

    threads = [threading.Thread(target=send, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status_code for a in answers) == statuses
    verdicts = [a.json()["duplicate"]["verdict"] for a in answers]
    assert sorted(verdicts) == ["copy"] * 3 + ["new"]
    original = answers[verdicts.index("new")].json()["id"]
    assert {a.json()["duplicate"]["of"] for a in answers} == {None, original}
    assert server.get("/v1/stats").json()["videos"] == statuses.count(201)


@pytest.fixture(scope="module")
def copy(tmp_path_factory, clip):
    """The clip of seed 8, smaller and coarser."""
    path = tmp_path_factory.mktemp("copy") / "copy.mp4"
    samples.encode(path, "libx264", n=24, size=(96, 64), rate=8, seed=8, options={"crf": "34"})
    return path


def test_reencoded_copy_with_reject_answers_409_and_stores_nothing(server, clip, copy, stored):
    original = stored(8)
    before = server.get("/v1/stats").json()
    answer = server.upload(copy, on_duplicate="reject")
    body = assert_problem(answer, 409, "duplicate", original["id"])
    assert body["video"]["id"] == original["id"]
    assert body["duplicate"]["verdict"] == "copy" and body["duplicate"]["of"] == original["id"]
    job = server.wait_for_job(server.upload(copy, on_duplicate="reject", wait="false").json()["id"])
    assert (job["state"], job["video_id"]) == ("failed", original["id"])
    assert job["report"] == {"duplicate": body["duplicate"]}
    after = server.get("/v1/stats").json()
    assert (after["videos"], after["vectors"]) == (before["videos"], before["vectors"])


def test_reencoded_copy_is_flagged_and_stored(server, clip, copy, stored):
    original = stored(8)
    video = server.upload(copy).json()
    assert video["duplicate"]["verdict"] == "copy"
    assert video["duplicate"]["of"] == original["id"]
    assert video["duplicate"]["share"] > 0.9
    assert video["id"] != original["id"]


def test_same_bytes_with_reject_answer_200(server, clip, stored):
    video = stored(9)
    again = server.upload(clip(9), on_duplicate="reject")
    assert again.status_code == 200 and again.json()["id"] == video["id"]


def test_curl_expecting_continue_is_served(server, clip):
    answer = requests.put(f"{server.url}/v1/videos/e.mp4", data=clip(10).read_bytes(),
                          headers={"Expect": "100-continue"})
    assert answer.status_code == 201
