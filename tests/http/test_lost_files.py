"""A stored file that is gone, and a row whose commit failed: what was acknowledged can be had again."""

import errno
import os
import signal

import pytest
from conftest import assert_problem, wait_until
from trouble import Troubled


def media(server):
    return [path for path in (server.data / "media").glob("*/*") if path.is_file()]


@pytest.mark.parametrize("damage", ["gone", "cut off"])
@pytest.mark.parametrize("background", [False, True])
def test_same_bytes_sent_again_replace_a_file_that_is_missing(server, clip, stored, damage, background):
    video = stored(1)
    file, = (path for path in media(server) if path.name == video["sha256"])
    if damage == "gone":
        file.unlink()
    else:
        os.truncate(file, 100)
    if background:
        job = server.upload(clip(1), wait="false").json()
        events = server.get(f"/v1/jobs/{job['id']}/events", stream=True).text
        assert "done" in events
    else:
        answer = server.upload(clip(1))
        assert answer.status_code == 200 and answer.json()["id"] == video["id"]
    assert server.get(f"/v1/videos/{video['id']}/content").content == clip(1).read_bytes()
    assert " restored " in server.tail() and video["id"] in server.tail()
    assert list((server.data / "incoming").iterdir()) == []


def test_missing_files_are_told_at_the_start_until_they_are_back_or_deleted(start, clip):
    server = start()
    videos = [server.upload(clip(20 + i)).json() for i in range(3)]
    gone, cut, whole = ({path.name: path for path in media(server)}[video["sha256"]] for video in videos)
    assert server.stop() == 0
    gone.unlink()
    os.truncate(cut, 100)
    server.start()

    def ready():
        answer = server.get("/v1/health/ready")
        assert answer.status_code == 200, answer.text
        return answer.json()

    wait_until(lambda: ready() == {"status": "ready", "missing_files": 2})
    assert server.get("/v1/stats").json()["missing_files"] == 2
    assert "\nvidx_missing_files 2\n" in server.get("/v1/metrics").text
    for video in videos[:2]:
        assert f"missing_file video={video['id']}" in server.tail()
    assert f"missing_file video={videos[2]['id']}" not in server.tail() and "vidx check" in server.tail()
    assert server.upload(clip(20)).status_code == 200
    assert ready()["missing_files"] == 1
    assert server.delete(f"/v1/videos/{videos[1]['id']}").status_code == 204
    assert ready() == {"status": "ready"}


@pytest.fixture
def troubled(tmp_path, tiny_model):
    if "ASAN_OPTIONS" in os.environ:
        pytest.skip("the address sanitizer must be loaded before the library that makes calls fail")
    server = Troubled(tmp_path, tiny_model).start()
    yield server
    assert server.stop() == 0, server.tail()


def test_video_whose_commit_failed_and_comes_back_after_a_crash_has_its_file(troubled, clip):
    first = troubled.upload(clip(1)).json()
    troubled.fail("sync", errno.EIO, "catalog.db-wal")
    answer = troubled.upload(clip(2))
    assert_problem(answer, 500, "internal")
    assert len(media(troubled)) == 2  # the log holds the row, synced or not
    troubled.kill()
    troubled.recover()
    troubled.start()
    videos = troubled.get("/v1/videos").json()["items"]
    assert first["id"] in [video["id"] for video in videos]
    assert len(videos) == 2, "the test is worth nothing if the log does not bring the row back"
    for video in videos:
        assert troubled.get(f"/v1/videos/{video['id']}/content").content in [clip(n).read_bytes() for n in (1, 2)]


def test_file_of_a_video_whose_commit_failed_for_good_is_swept_at_the_next_start(troubled, clip):
    troubled.fail("sync", errno.EIO, "catalog.db-wal")
    assert_problem(troubled.upload(clip(1)), 500, "internal")
    troubled.recover()
    kept = troubled.upload(clip(2)).json()  # writes over the failed commit in the log
    assert len(media(troubled)) == 2
    troubled.process.send_signal(signal.SIGTERM)
    troubled.process.wait()
    troubled.start()
    assert [path.name for path in media(troubled)] == [kept["sha256"]]
    assert troubled.upload(clip(1)).status_code == 201
