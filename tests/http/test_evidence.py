"""The second look at the pictures of a new video: what hashes do not see is found after the answer, by a durable job."""
import sys
from pathlib import Path

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


def done(server, video, timeout=60):
    """The video once nothing is pending."""
    def ended():
        now = server.get(f"/v1/videos/{video['id']}").json()
        return now["evidence"] != "pending" and now
    return wait_until(ended, "the second look does not end", timeout)


def looks(server, video):
    return server.get(f"/v1/videos/{video['id']}/evidence").json()["looks"]


def test_crop_is_pending_at_first_and_a_copy_later(start, footage):
    server = start()
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
    jobs = [j for j in server.get("/v1/jobs").json()["items"] if j["kind"] == "evidence"]
    assert jobs and all(j["state"] == "done" for j in jobs)
    stats = server.get("/v1/stats").json()["evidence"]
    assert (stats["pending"], stats["lag_s"], stats["revised"], stats["videos"]) == (0, 0, 1, 2)
