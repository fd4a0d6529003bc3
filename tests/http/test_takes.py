"""Two takes of one fixed camera, whose frames have nearly the same hashes, are no copies of each other."""
import sys
import threading
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "tools"), str(TESTS / "recall")]
import corpus  # noqa: E402
import takes  # noqa: E402
from server import wait_until  # noqa: E402

BY_PICTURES = ("copy", "part_of", "contains", "shared_segment")
SIZE = 26  # of what moves: too small for the hashes


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """footage(room, take, change=…) is the path of a file."""
    folder = tmp_path_factory.mktemp("takes")

    def make(room, seed, change=None, crf=23, seconds=8):
        name = f"{room}-{seed}-{getattr(change, '__name__', 'as_is')}-{crf}-{seconds}.mp4"
        frames = takes.take(room, seed, seconds, SIZE)
        if change:
            frames, _ = change(frames, takes.RATE)
        return corpus.write(folder / name, frames, takes.RATE, corpus.x264(crf))
    return make


def verdict(server, path, **params):
    answer = server.upload(path, **params)
    assert answer.status_code in (201, 409), answer.text
    return answer.json()


def evidence(server):
    return server.get("/v1/stats").json()["ingest"]["evidence"]["checks"]


def test_hashes_alone_call_another_take_a_copy(start, footage):
    """Why anybody looks again. If this fails, the other tests prove nothing."""
    server = start("--evidence", "off")
    assert server.upload(footage(1, 1)).status_code == 201
    assert verdict(server, footage(1, 2))["duplicate"]["verdict"] in BY_PICTURES
    assert sum(evidence(server).values()) == 0


def test_other_take_of_one_camera_is_no_copy(server, footage):
    first = verdict(server, footage(1, 1))
    before = evidence(server)["other_take"]
    second = verdict(server, footage(1, 2))
    assert second["duplicate"]["verdict"] in ("new", "similar"), second["duplicate"]
    assert evidence(server)["other_take"] > before
    assert first["id"] != second["id"]


def test_copy_of_a_take_is_named_among_other_takes(server, footage):
    ids = [verdict(server, footage(2, seed))["id"] for seed in (1, 2, 3)]
    for seed, original in enumerate(ids, 1):
        copy = verdict(server, footage(2, seed, crf=30))
        assert copy["duplicate"]["verdict"] == "copy" and copy["duplicate"]["of"] == original
        assert server.delete(f"/v1/videos/{copy['id']}").ok


def test_other_take_is_not_refused_and_a_copy_is(server, footage):
    verdict(server, footage(3, 1))
    assert server.upload(footage(3, 2), on_duplicate="reject").status_code == 201
    assert server.upload(footage(3, 1, crf=31), on_duplicate="reject").status_code == 409


def test_mirrored_copy_of_a_take_is_still_one(server, footage):
    original = verdict(server, footage(4, 1))["id"]
    found = verdict(server, footage(4, 1, corpus.mirrored))["duplicate"]
    assert (found["verdict"], found["of"], found["mirrored"]) == ("copy", original, True)


def test_copy_of_a_slideshow_is_still_one(server, footage):
    """Nothing moves in it but that one picture follows another."""
    def slides(frames, rate):
        return takes.np.concatenate([frames[:1].repeat(70, 0), frames[:1, ::-1, ::-1].repeat(70, 0),
                                     frames[:1, ::-1].repeat(70, 0)]), rate
    original = verdict(server, footage(5, 1, slides))["id"]
    found = verdict(server, footage(5, 1, slides, crf=31))["duplicate"]
    assert (found["verdict"], found["of"]) == ("copy", original)


def test_stored_file_that_is_gone_or_damaged_leaves_the_hashes_to_decide(start, footage):
    server = start()
    for room, damage in ((6, lambda p: p.unlink()), (7, lambda p: p.write_bytes(b"x" * 5000))):
        video = verdict(server, footage(room, 1))
        (path,) = [p for p in (server.data / "media").rglob("*") if p.is_file() and p.stem == video["sha256"]]
        damage(path)
        for table in (server.data / "cache").rglob("*"):
            if table.is_file():
                table.unlink()
        found = verdict(server, footage(room, 1, crf=31))["duplicate"]
        assert (found["verdict"], found["of"]) == ("copy", video["id"])


def test_takes_that_arrive_at_once_are_no_copies(server, footage):
    """The writer meets a match that nobody looked at, because it was stored a moment before."""
    paths = [footage(8, seed) for seed in range(1, 7)]
    answers = {}

    def upload(path):
        answers[path] = type(server)(server.data, server.models)
        answers[path].url = server.url
        answers[path] = verdict(answers[path], path)
    threads = [threading.Thread(target=upload, args=(p,)) for p in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(paths)
    assert all(a["duplicate"]["verdict"] in ("new", "similar") for a in answers.values()), answers


def test_background_upload_of_a_take_is_no_copy(server, footage):
    verdict(server, footage(9, 1))
    job = server.upload(footage(9, 2), wait="false").json()
    done = server.wait_for_job(job["id"])
    video = server.get(f"/v1/videos/{done['video_id']}").json()
    assert video["duplicate"]["verdict"] in ("new", "similar")


def scan(server):
    return server.wait_for_job(server.post("/v1/duplicates/scan").json()["id"])


def copies(server):
    """The filenames of each group of copies, parts and wholes."""
    groups = server.get("/v1/duplicates").json()["items"]
    return sorted(sorted(v["filename"] for v in g["videos"]) for g in groups)


def test_scan_groups_a_copy_with_its_take_and_no_other_take(start, footage):
    server = start()
    for path in (footage(10, 1), footage(10, 2), footage(10, 1, crf=31)):
        verdict(server, path)
    scan(server)
    assert copies(server) == [sorted(p.name for p in (footage(10, 1), footage(10, 1, crf=31)))]


def test_scan_goes_over_what_hashes_alone_called_copies(start, footage):
    """A store from before anybody looked again, whose verdicts name another take."""
    server = start("--evidence", "off")
    for seed in (1, 2):
        verdict(server, footage(1, seed))
    scan(server)
    assert len(copies(server)) == 1, "hashes alone: if this fails, the test proves nothing"
    server.stop()
    server = start(data=server.data)
    scan(server)
    assert copies(server) == []


def test_scan_without_a_file_leaves_the_hashes_to_decide(start, footage):
    server = start()
    for crf in (23, 31):
        video = verdict(server, footage(12, 1, crf=crf))
    for path in (server.data / "media").rglob("*"):
        if path.is_file() and path.stem == video["sha256"]:
            path.unlink()
    scan(server)
    assert len(copies(server)) == 1


def test_take_whose_original_is_deleted_is_no_copy_of_another_take(start, footage):
    server = start()
    first, original, copy = (verdict(server, footage(13, seed, crf=crf)) for seed, crf in ((1, 23), (2, 23), (2, 31)))
    assert copy["duplicate"]["of"] == original["id"]
    assert server.delete(f"/v1/videos/{original['id']}").ok
    found = wait_until(lambda: (d := server.get(f"/v1/videos/{copy['id']}").json()["duplicate"])["of"] != original["id"] and d,
                       "the copy was not judged anew")
    assert found["verdict"] in ("new", "similar"), (found, first["id"])
