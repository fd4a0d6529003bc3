"""The job of second looks is killed, is cancelled, and loses the videos that it looks at."""

import sqlite3
import sys
from pathlib import Path

import pytest
from server import Server, wait_until
from trouble import Troubled

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "tools"), str(TESTS / "recall")]
import corpus  # noqa: E402
import takes  # noqa: E402

N = 3


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """[(a film, a crop of it that no hash recognises)]"""
    folder = tmp_path_factory.mktemp("films")

    def pair(room):
        frames = takes.take(room, 1, 5)
        return (corpus.write(folder / f"film-{room}.mp4", frames, takes.RATE, corpus.x264(20)),
                corpus.write(folder / f"crop-{room}.mp4", *corpus.crop(35)(frames, takes.RATE), corpus.x264(23)))
    return [pair(room) for room in range(N)]


@pytest.fixture
def server(tmp_path, tiny_model):
    server = Server(tmp_path / "data", tiny_model, flags=("--evidence", "full"))
    with server:
        yield server


def upload(server, path):
    return server.upload(path).json()["id"]


def store_pairs(server, films):
    """[(id of the film, id of its crop)]"""
    return [(upload(server, film), upload(server, crop)) for film, crop in films]


def video(server, video_id):
    return server.get(f"/v1/videos/{video_id}").json()


def pending(server):
    return server.get("/v1/stats").json()["evidence"]["pending"]


def jobs(server, state):
    return [j["id"] for j in server.get("/v1/jobs").json()["items"] if (j["kind"], j["state"]) == ("evidence", state)]


def wait_until_looked(server):
    wait_until(lambda: pending(server) == 0 and not jobs(server, "running") and not jobs(server, "queued"),
               "the second looks do not end", 180)


def assert_found(server, pairs):
    for film, crop in pairs:
        found = video(server, crop)
        assert (found["evidence"], found["duplicate"]["verdict"], found["duplicate"]["of"]) == ("done", "copy", film)


def test_job_that_is_killed_goes_on_after_the_restart(server, films):
    pairs = store_pairs(server, films)
    server.kill()
    server.start()
    wait_until_looked(server)
    assert_found(server, pairs)


def test_videos_of_a_cancelled_job_are_looked_at_by_the_next_one(server, films):
    pairs = store_pairs(server, films[:-1])
    for job in jobs(server, "running") + jobs(server, "queued"):
        assert server.delete(f"/v1/jobs/{job}").ok
    pairs += store_pairs(server, films[-1:])
    wait_until_looked(server)
    assert_found(server, pairs)


def test_deleting_either_video_ends_its_look_alone(server, films):
    pairs = store_pairs(server, films)
    without_film, without_crop, whole = pairs
    assert server.delete(f"/v1/videos/{without_crop[1]}").ok
    assert server.delete(f"/v1/videos/{without_film[0]}").ok
    wait_until(lambda: video(server, without_film[1])["duplicate"]["of"] is None, "the verdict still names it")
    wait_until_looked(server)
    assert_found(server, [whole])


def mark_pending(server):
    """As a server leaves videos that was killed before it looked at them."""
    catalog = sqlite3.connect(server.data / "catalog.db")
    with catalog:
        catalog.execute("UPDATE videos SET evidence = 1, verdict = 0, duplicate_of = ''")
    catalog.close()


def test_job_that_will_look_is_named_until_it_is_cancelled(server, films):
    ids = [upload(server, path) for path in films[0]]
    wait_until_looked(server)
    assert server.get(f"/v1/videos/{ids[1]}/evidence").json()["job_id"] is None
    server.stop()
    mark_pending(server)
    server.start()
    for video_id in ids:
        seen = server.get(f"/v1/videos/{video_id}/evidence").json()
        assert seen["evidence"] == "done" or seen["job_id"] in jobs(server, "running") + jobs(server, "queued") + jobs(server, "done")
    for job in jobs(server, "running") + jobs(server, "queued"):
        assert server.delete(f"/v1/jobs/{job}").ok
    wait_until(lambda: not jobs(server, "running") and not jobs(server, "queued"), "the job does not end", 180)
    for video_id in ids:
        assert server.get(f"/v1/videos/{video_id}/evidence").json()["job_id"] is None


def start_and_wait_for_the_end(server):
    try:
        server.start()
    except AssertionError:  # it may end before it listens
        pass
    server.process.wait(180)
    server.http.close()


def test_video_that_ends_the_process_three_times_costs_only_its_own_look(tmp_path, tiny_model, films):
    """As a decoder that crashes on one stored file: the videos behind it are looked at all the same."""
    server = Troubled(tmp_path, tiny_model, flags=("--evidence", "off"))
    with server:
        film, bad, crop = (upload(server, path) for path in (films[0][0], films[1][0], films[0][1]))
        server.fail("read", 0, video(server, bad)["sha256"])
        server.stop()
        mark_pending(server)
        server.flags = ["--evidence", "full"]
        for _ in range(3):
            start_and_wait_for_the_end(server)
        server.start()
        server.recover()
        wait_until_looked(server)
        assert video(server, bad)["evidence"] == "failed"
        assert_found(server, [(film, crop)])
        assert jobs(server, "parked") == [] and len(jobs(server, "done")) == 1
        assert server.get("/v1/stats").json()["evidence"]["failed"] == 1
