"""The second look at the pictures of a new video: what hashes do not see is found after the answer, by a durable job."""
import sys
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "tools"), str(TESTS / "recall")]
import corpus  # noqa: E402
import takes  # noqa: E402
from server import wait_until  # noqa: E402

CROP = corpus.crop(35)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """footage(room, change=…) is the path of a file."""
    folder = tmp_path_factory.mktemp("footage")

    def make(room, change=None, name="as_is", crf=23, seconds=8):
        path = folder / f"{room}-{name}-{crf}-{seconds}.mp4"
        if path.exists():
            return path
        frames, rate = takes.take(room, 1, seconds), takes.RATE
        if change:
            frames, rate = change(frames, rate)
        return corpus.write(path, frames, rate, corpus.x264(crf))
    return make


def upload(server, path, status=201, **params):
    answer = server.upload(path, **params)
    assert answer.status_code == status, answer.text
    return answer.json()


def done(server, video, timeout=180):
    """The video once nothing is pending."""
    def ended():
        now = server.get(f"/v1/videos/{video['id']}").json()
        return now["evidence"] != "pending" and now
    return wait_until(ended, "the second look does not end", timeout)


def looks(server, video):
    return server.get(f"/v1/videos/{video['id']}/evidence").json()["looks"]


def test_crop_is_pending_at_first_and_a_copy_later(start, footage):
    server = start("--evidence", "full")
    original = upload(server, footage(1))
    assert done(server, original)["duplicate"]["verdict"] == "new"
    crop = upload(server, footage(1, CROP, "crop"))
    assert (crop["duplicate"]["verdict"], crop["evidence"], crop["updated_at"]) == ("new", "pending", None)
    revised = done(server, crop)
    assert (revised["duplicate"]["verdict"], revised["duplicate"]["of"]) == ("copy", original["id"])
    assert revised["evidence"] == "done" and revised["updated_at"] >= crop["created_at"]
    (look,) = looks(server, crop)
    assert (look["video_id"], look["relation"], look["result"]) == (original["id"], "copy", "copy")
    left, top, right, bottom = look["box_in_stored"]
    assert left == pytest.approx(.175, abs=.03) and right == pytest.approx(.825, abs=.03)
    assert top == pytest.approx(.175, abs=.03) and bottom == pytest.approx(.825, abs=.03)
    wait_until(lambda: {j["state"] for j in server.get("/v1/jobs").json()["items"] if j["kind"] == "evidence"} == {"done"},
               "the jobs do not end")
    stats = server.get("/v1/stats").json()["evidence"]
    assert (stats["pending"], stats["lag_s"], stats["revised"], stats["videos"]) == (0, 0, 1, 2)


def test_crop_becomes_a_copy_without_any_flag(start, footage):
    server = start(evidence=None)
    original = upload(server, footage(12))
    crop = upload(server, footage(12, CROP, "crop"))
    assert (crop["duplicate"]["verdict"], crop["evidence"]) == ("new", "pending")
    revised = done(server, crop)["duplicate"]
    assert (revised["verdict"], revised["of"]) == ("copy", original["id"])


def test_reject_waits_for_the_second_look(start, footage):
    server = start("--evidence", "full")
    original = upload(server, footage(2))
    body = upload(server, footage(2, CROP, "crop"), 409, on_duplicate="reject")
    assert (body["duplicate"]["verdict"], body["duplicate"]["of"]) == ("copy", original["id"])
    job = upload(server, footage(2, CROP, "crop"), 202, on_duplicate="reject", wait="false")
    assert server.wait_for_job(job["id"])["report"]["duplicate"]["verdict"] == "copy"
    assert len(server.get("/v1/videos").json()["items"]) == 1


def test_evidence_wait_answers_with_the_revised_verdict(start, footage):
    server = start("--evidence", "full")
    original = upload(server, footage(3))
    done(server, original)
    crop = upload(server, footage(3, CROP, "crop"), evidence="wait")
    assert (crop["duplicate"]["verdict"], crop["duplicate"]["of"], crop["evidence"]) == ("copy", original["id"], "done")
    assert [look["relation"] for look in looks(server, crop)] == ["copy"]
    other = upload(server, footage(4), evidence="wait")
    assert (other["duplicate"]["verdict"], other["evidence"]) == ("new", "done")
    assert {look["relation"] for look in looks(server, other)} == {None}
    job = upload(server, footage(5), 202, evidence="wait", wait="false")
    video = server.get(f"/v1/videos/{server.wait_for_job(job['id'])['video_id']}").json()
    assert video["evidence"] == "done"


def test_evidence_off_looks_at_nothing(start, footage):
    server = start("--evidence", "off")
    upload(server, footage(1))
    crop = upload(server, footage(1, CROP, "crop"), evidence="wait")
    assert (crop["duplicate"]["verdict"], crop["evidence"]) == ("new", "none")
    assert looks(server, crop) == []


def test_near_miss_says_why_it_is_none(start, footage):
    """Another take of the same room that the hashes do not match either, because it is cropped."""
    server = start("--evidence", "full")
    upload(server, footage(6))
    path = footage(6).with_name("6-other-take.mp4")
    corpus.write(path, *CROP(takes.take(6, 2, 8), takes.RATE), corpus.x264(23))
    video = done(server, upload(server, path))
    assert video["duplicate"]["verdict"] not in ("copy", "part_of", "contains", "shared_segment")
    (look,) = looks(server, video)
    assert look["relation"] is None and look["result"] in ("other_take", "nothing")
    assert look["inliers"] >= 14 and look["motion"] < 0.49 and "lie on each other" in look["reason"]


def test_copy_by_hashes_needs_no_second_look(start, footage):
    server = start("--evidence", "full")
    upload(server, footage(7))
    copy = upload(server, footage(7, crf=31))
    assert (copy["duplicate"]["verdict"], copy["evidence"]) == ("copy", "done")
    assert looks(server, copy) == []


@pytest.mark.parametrize("name, change, relation, offset_s, speed", [
    ("faster", corpus.faster(corpus.fractions.Fraction(5, 4)), "copy", 0, 1.25),
    ("backwards", lambda frames, rate: (frames[::-1], rate), "copy", 12, -1),
    ("middle", corpus.chain(corpus.trim(.25, .75), CROP), "part_of", 3, 1),
    ("barred", corpus.chain(corpus.bars(1.6, 1.6), corpus.logo), "copy", 0, 1),
    ("mirrored", corpus.chain(CROP, corpus.mirrored), "copy", 0, 1),
])
def test_edit_is_found_with_its_relation_and_line(start, footage, name, change, relation, offset_s, speed):
    server = start("--evidence", "full")
    original = upload(server, footage(8, seconds=12))
    video = done(server, upload(server, footage(8, change, name, seconds=12)))
    found = video["duplicate"]
    assert (found["verdict"], found["of"]) == (relation, original["id"]), looks(server, video)
    assert found["offset_s"] == pytest.approx(offset_s, abs=.5)
    assert found["mirrored"] == (name == "mirrored")
    for look in looks(server, video):
        assert look["speed"] == speed


def test_clip_inside_a_compilation_is_contained_with_its_span(start, footage):
    server = start("--evidence", "full")
    original = upload(server, footage(9, seconds=6))
    frames = [takes.take(20, 5, 7), takes.take(9, 1, 6), takes.take(21, 5, 7)]
    path = footage(9, seconds=6).with_name("compilation.mp4")
    corpus.write(path, *corpus.crop(30)(takes.np.concatenate(frames), takes.RATE), corpus.x264(23))
    video = done(server, upload(server, path))
    found = video["duplicate"]
    assert (found["verdict"], found["of"]) == ("contains", original["id"]), looks(server, video)
    assert found["offset_s"] == pytest.approx(-7, abs=.3)
    look = next(look for look in looks(server, video) if look["relation"])
    assert look["span_in_new_s"] == pytest.approx([7, 13], abs=.6)
    assert look["span_in_stored_s"] == pytest.approx([0, 6], abs=.6)


def test_deep_search_finds_a_small_picture_in_a_picture(start, footage):
    """Among many others the vector of the whole picture is near the background's, not the inset's."""
    server = start("--evidence", "deep")
    original = upload(server, footage(10))
    background = takes.take(30, 3, 8)
    inset, _ = corpus.scale(.5, .5)(takes.take(10, 1, 8), takes.RATE)
    background[:, -inset.shape[1]:, -inset.shape[2]:] = inset
    path = corpus.write(footage(10).with_name("inset.mp4"), background, takes.RATE, corpus.x264(23))
    video = done(server, upload(server, path))
    assert (video["duplicate"]["verdict"], video["duplicate"]["of"]) == ("copy", original["id"]), looks(server, video)


def stored_file(server, video_id):
    sha256 = server.get(f"/v1/videos/{video_id}").json()["sha256"]
    (path,) = [p for p in (server.data / "media").rglob("*") if p.is_file() and p.stem == sha256]
    return path


def forget_tables(server):
    """So that each file's packets are read again."""
    for table in (server.data / "tables").rglob("*"):
        if table.is_file():
            table.unlink()


def noise(path, share=.02):
    """Wrong bytes all over its pictures."""
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    random = np.random.default_rng(3)
    at = random.integers(len(data) // 10, len(data) * 9 // 10, int(len(data) * share))
    data[at] = random.integers(0, 256, len(at))
    path.write_bytes(data.tobytes())


def hostile(footage):
    """What a stored file may have become, by name."""
    other_size = footage(90, corpus.scale(.31, .47), "other-size")
    tall = footage(90, lambda frames, rate: (np.tile(frames[:4], (1, 12, 1, 1)), rate), "tall")
    return {"gone": lambda p: p.unlink(), "empty": lambda p: p.write_bytes(b""), "noise": noise,
            "cut": lambda p: p.write_bytes(p.read_bytes()[:p.stat().st_size // 2]), "another size": lambda p: p.write_bytes(other_size.read_bytes()), "another shape": lambda p: p.write_bytes(tall.read_bytes()),
            "a folder": lambda p: (p.unlink(), p.mkdir())}


def test_hostile_stored_files_cost_only_their_own_looks(start, footage):
    """At the second look of an upload and at the deep look of a scan, where they are on either side."""
    damages = hostile(footage)
    server = start("--evidence", "fast")
    ids = [upload(server, footage(100 + i))["id"] for i in range(len(damages))]
    original = upload(server, footage(13))["id"]
    crop = upload(server, footage(13, CROP, "crop"))["id"]
    for video_id, damage in zip(ids, damages.values()):
        damage(stored_file(server, video_id))
    forget_tables(server)
    assert scan(server) == len(ids) + 2
    [group] = server.get("/v1/duplicates").json()["items"]
    assert {v["video_id"] for v in group["videos"]} == {original, crop}
    server.stop()
    again = start("--evidence", "deep", data=server.data)
    video = done(again, upload(again, footage(13, corpus.chain(CROP, corpus.mirrored), "mirrored-crop")))
    assert video["duplicate"]["verdict"] == "copy" and video["duplicate"]["of"] in (original, crop)
    other = done(again, upload(again, footage(14)))
    assert other["evidence"] == "done" and other["duplicate"]["verdict"] == "new"


def test_unreadable_stored_file_costs_only_its_own_look(start, footage):
    server = start("--evidence", "full")
    ids = [done(server, upload(server, footage(room)))["id"] for room in (11, 12, 13)]
    for video_id, damage in ((ids[0], lambda p: p.unlink()), (ids[1], lambda p: p.write_bytes(b"x" * 9000))):
        damage(stored_file(server, video_id))
    forget_tables(server)
    video = done(server, upload(server, footage(13, CROP, "crop")))
    assert (video["duplicate"]["verdict"], video["duplicate"]["of"]) == ("copy", ids[2])


def test_copy_whose_original_is_deleted_is_looked_at_again(start, footage):
    server = start("--evidence", "full")
    first, second = (done(server, upload(server, footage(14, crf=crf))) for crf in (23, 24))
    crop = done(server, upload(server, footage(14, CROP, "crop")))
    of = crop["duplicate"]["of"]
    assert of in (first["id"], second["id"])
    assert server.delete(f"/v1/videos/{of}").ok
    left = ({first["id"], second["id"]} - {of}).pop()
    wait_until(lambda: server.get(f"/v1/videos/{crop['id']}").json()["duplicate"]["of"] == left,
               "the verdict does not name the other one")


def scan(server, **params):
    job = server.wait_for_job(server.post("/v1/duplicates/scan", params=params).json()["id"])
    assert job["state"] == "done", job
    return job["report"]["looked"]


def test_scan_finds_by_its_deep_look_what_neither_hashes_nor_vectors_do(start, footage):
    server = start("--evidence", "fast")
    ids = {name: upload(server, path)["id"] for name, path in (
        ("original", footage(21)), ("copy", footage(21, crf=31)), ("crop", footage(21, CROP, "crop")), ("other", footage(22)))}
    assert scan(server, evidence="fast") == scan(server, filter="{}") == 0

    def groups():
        return [{v["video_id"] for v in g["videos"]} for g in server.get("/v1/duplicates").json()["items"]]
    assert groups() == [{ids["original"], ids["copy"]}]
    assert scan(server) == 3  # the copy is known as one
    assert groups() == [{ids["original"], ids["copy"], ids["crop"]}]
    [group] = server.get("/v1/duplicates").json()["items"]
    pairs = server.get(f"/v1/duplicates/{group['id']}").json()["pairs"]
    [pair] = [p for p in pairs if ids["crop"] in (p["a"], p["b"])]
    assert pair["relation"] == "copy" and min(pair["share_of_a"], pair["share_of_b"]) == 1
    assert pair["segments"] == [{name: pytest.approx(s, abs=.6) for name, s in
                                 {"a_start_s": 0, "a_end_s": 8, "b_start_s": 0, "b_end_s": 8}.items()}]
    assert server.get(f"/v1/videos/{ids['crop']}").json()["duplicate"]["verdict"] == "new"
    assert scan(server) == 0 and len(groups()[0]) == 3


def test_deep_look_of_a_scan_goes_on_after_kill_9(start, footage):
    server = start("--evidence", "fast")
    n = 6
    for room in range(31, 31 + n):
        upload(server, footage(room))
    job = server.post("/v1/duplicates/scan").json()["id"]
    wait_until(lambda: server.get(f"/v1/jobs/{job}").json()["total"] == n, "no look begins")
    wait_until(lambda: 1 <= server.get(f"/v1/jobs/{job}").json()["done"] < n, "no look ends")
    server.kill()
    server.start()
    report = server.wait_for_job(job)["report"]
    assert report["videos"] == 0 and 0 < report["looked"] < n
    assert scan(server) == 0
