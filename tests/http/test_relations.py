"""How two videos relate: trims, compilations, episodes with one intro, loops; and what a deleted original leaves."""
import sqlite3
import time

import pytest
from conftest import assert_problem
from films import film


def judged(server, *paths):
    """The verdicts of files that are stored one after another; their ids."""
    videos = [server.upload(path).json() for path in paths]
    return [v["duplicate"] for v in videos], [v["id"] for v in videos]


def related(server, stored, new, **wanted):
    (_, verdict), (original, _) = judged(server, stored, new)
    assert verdict["of"] == original
    for key, value in wanted.items():
        assert verdict[key] == (pytest.approx(value, abs=0.08) if isinstance(value, float) else value), verdict
    return verdict


def test_reencoding_is_a_copy(empty):
    related(empty, film("a.mp4", ("zoom", 0, 6)), film("a.mkv", ("zoom", 0, 6), crf=30), verdict="copy",
            share_of_new=1.0, share_of_stored=1.0)


def test_trim_is_a_part_of_the_film_and_refused_with_words(empty):
    whole, trim = film("whole.mp4", ("zoom", 0, 10)), film("trim.mp4", ("zoom", 3, 5), crf=26)
    original = empty.upload(whole).json()["id"]
    body = assert_problem(empty.upload(trim, on_duplicate="reject"), 409, "duplicate", original)
    assert "All of trim.mp4 (0:05) is in a video that is stored already: whole.mp4 (0:10" in body["detail"]
    assert "from 0:03 on." in body["detail"]
    related(empty, whole, trim, verdict="part_of", share_of_new=1.0, share_of_stored=0.5, offset_s=3.0)


def test_mirrored_trim_is_a_part(empty):
    related(empty, film("whole.mp4", ("zoom", 0, 10)), film("m.mp4", ("zoom", 3, 5), filters="hflip"),
            verdict="part_of", mirrored=True, share_of_stored=0.5)


def test_film_contains_its_stored_excerpt_and_is_not_refused(empty):
    excerpt, whole = film("excerpt.mp4", ("zoom", 4, 4), crf=26), film("whole.mp4", ("zoom", 0, 12))
    original = empty.upload(excerpt).json()["id"]
    answer = empty.upload(whole, on_duplicate="reject")
    assert answer.status_code == 201
    verdict = answer.json()["duplicate"]
    assert (verdict["verdict"], verdict["of"]) == ("contains", original)
    assert verdict["share_of_new"] == pytest.approx(1 / 3, abs=0.08) and verdict["share_of_stored"] == 1
    assert verdict["offset_s"] == pytest.approx(-4, abs=0.3)


def test_compilation_contains_a_stored_clip(empty):
    related(empty, film("clip.mp4", ("zoom", 0, 5)),
            film("all.mp4", ("cells", 0, 5), ("zoom", 0, 5), ("test", 0, 5)), verdict="contains",
            share_of_new=1 / 3, share_of_stored=1.0)


def test_episodes_with_one_intro_share_a_segment_and_are_both_stored(empty):
    first, second = film("e1.mp4", ("zoom", 0, 6), ("test", 0, 12)), film("e2.mp4", ("zoom", 0, 6), ("cells", 0, 12))
    original = empty.upload(first).json()["id"]
    answer = empty.upload(second, on_duplicate="reject")
    assert answer.status_code == 201
    verdict = answer.json()["duplicate"]
    assert (verdict["verdict"], verdict["of"]) == ("shared_segment", original)
    assert verdict["share_of_new"] == pytest.approx(1 / 3, abs=0.08)
    assert verdict["share_of_stored"] == pytest.approx(1 / 3, abs=0.08)


def test_loop_contains_its_turn_and_a_turn_is_part_of_the_loop(start):
    turn, loop = film("turn.mp4", ("zoom", 0, 5)), film("loop.mp4", *[("zoom", 0, 5)] * 3)
    related(start(), turn, loop, verdict="contains", share_of_new=1 / 3)
    related(start(), loop, turn, verdict="part_of", share_of_new=1.0)


def wait_until(condition, seconds=180):
    for _ in range(int(seconds * 10)):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come true")


def rejudge(server):
    """The newest job of that kind."""
    return next(job for job in server.get("/v1/jobs").json()["items"] if job["kind"] == "rejudge")


def test_copies_of_a_deleted_original_are_judged_anew(empty):
    paths = [film(f"{crf}.mp4", ("zoom", 0, 6), crf=crf) for crf in (20, 24, 28, 32)]
    verdicts, (original, oldest, *others) = judged(empty, *paths)
    assert {v["of"] for v in verdicts[1:]} == {original}
    listed = empty.get(f"/v1/videos/{original}/copies", params={"limit": 2}).json()
    rest = empty.get(f"/v1/videos/{original}/copies", params={"limit": 2, "cursor": listed["next"]}).json()
    assert [v["id"] for v in listed["items"] + rest["items"]] == [others[1], others[0], oldest]
    assert rest["next"] is None and "total" not in rest
    counted = empty.get(f"/v1/videos/{original}/copies", params={"limit": 1, "count": "true"}).json()
    assert counted["total"] == 3
    two = {"filter": '{"filename": {"$in": ["24.mp4", "32.mp4"]}}', "count": "true"}
    filtered = empty.get(f"/v1/videos/{original}/copies", params=two).json()
    assert [v["filename"] for v in filtered["items"]] == ["32.mp4", "24.mp4"] and filtered["total"] == 2
    assert_problem(empty.get(f"/v1/videos/{original}/copies", params={"filter": '{"a": 1}'}), 422, "bad-filter", "metadata.NAME")
    assert empty.delete(f"/v1/videos/{original}").ok
    assert empty.get(f"/v1/videos/{oldest}").json()["duplicate"]["of"] is None

    wait_until(lambda: rejudge(empty)["state"] == "done")
    assert empty.get(f"/v1/videos/{oldest}").json()["duplicate"]["verdict"] == "new"
    for video in others:
        verdict = empty.get(f"/v1/videos/{video}").json()["duplicate"]
        assert (verdict["verdict"], verdict["of"]) == ("copy", oldest)
    assert {v["id"] for v in empty.get(f"/v1/videos/{oldest}/copies").json()["items"]} == set(others)


def test_trim_and_mirrored_copies_of_a_deleted_original_are_judged_as_when_they_are_uploaded(start):
    """With the cut between two half seconds, a trim is found only by frames that are not stored."""
    copy = film("copy.mp4", ("zoom", 0, 10), crf=30)
    others = [film("mirrored.mp4", ("zoom", 0, 10), filters="hflip"), film("trim.mp4", ("zoom", 2.25, 6)),
              film("mirrored-trim.mp4", ("zoom", 3.25, 5), filters="hflip"), film("unrelated.mp4", ("cells", 0, 5))]
    (_, *uploaded), _ = judged(start(), copy, *others)
    assert [(v["verdict"], v["mirrored"]) for v in uploaded] == [
        ("copy", True), ("part_of", False), ("part_of", True), ("new", False)]
    server = start()
    _, (original, _, *ids) = judged(server, film("original.mp4", ("zoom", 0, 10), crf=18), copy, *others)
    assert server.delete(f"/v1/videos/{original}").ok
    wait_until(lambda: server.get("/v1/jobs").json()["items"][0]["state"] == "done")
    assert [server.get(f"/v1/videos/{video}").json()["duplicate"] for video in ids] == uploaded


def test_damaged_fingerprint_of_one_copy_does_not_stop_the_judging_of_others(empty):
    verdicts, (original, oldest, other, damaged) = judged(
        empty, *(film(f"{crf}.mp4", ("zoom", 0, 6), crf=crf) for crf in (20, 24, 28, 32)))
    assert [v["of"] for v in verdicts] == [None, original, original, original]
    empty.stop()
    with sqlite3.connect(empty.data / "catalog.db") as catalog:
        catalog.execute("UPDATE fingerprints SET data = zeroblob(length(data)) WHERE video ="
                        " (SELECT row FROM videos WHERE id = ?)", (damaged,))
    empty.start()
    assert empty.delete(f"/v1/videos/{original}").ok
    wait_until(lambda: empty.get(f"/v1/videos/{other}").json()["duplicate"]["of"] == oldest, 40)
    assert empty.get(f"/v1/videos/{oldest}").json()["duplicate"]["verdict"] == "new"
    assert empty.get(f"/v1/videos/{damaged}").json()["duplicate"]["verdict"] == "similar", "by its vector"
    verdict = judged(empty, film("26.mp4", ("zoom", 0, 6), crf=26))[0][0]
    assert (verdict["verdict"], verdict["of"]) == ("copy", oldest)


def test_upload_of_a_copy_whose_original_has_a_damaged_fingerprint_is_accepted(empty):
    _, (original,) = judged(empty, film("20.mp4", ("zoom", 0, 4), crf=20))
    empty.stop()
    with sqlite3.connect(empty.data / "catalog.db") as catalog:
        catalog.execute("UPDATE fingerprints SET data = zeroblob(length(data))")
    empty.start()
    verdict = judged(empty, film("28.mp4", ("zoom", 0, 4), crf=28))[0][0]
    assert (verdict["verdict"], verdict["of"]) == ("copy", original), "the look at the pictures finds it"


def test_last_copy_of_a_deleted_original_is_new(empty):
    _, (original, copy) = judged(empty, *(film(f"{crf}.mp4", ("zoom", 0, 6), crf=crf) for crf in (20, 30)))
    assert empty.delete(f"/v1/videos/{original}").ok
    assert empty.get("/v1/videos", params={"verdict": "copy"}).json()["items"] == []
    duplicate = empty.get(f"/v1/videos/{copy}").json()["duplicate"]
    assert (duplicate["verdict"], duplicate["of"], duplicate["share"]) == ("new", None, None)


def test_copies_of_an_unknown_video_are_404(empty):
    assert_problem(empty.get("/v1/videos/vnone/copies"), 404, "not-found")
