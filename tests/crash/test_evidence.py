"""The job of second looks is killed, is cancelled, and loses the videos that it looks at."""

import sys
from pathlib import Path

import pytest
from server import Server, wait_until

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
