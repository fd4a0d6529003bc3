"""A stored file that is gone, and a row whose commit failed: what was acknowledged can be had again."""

import os
import signal

import pytest
from conftest import assert_problem
from server import ROOT, Server

FAULT = ROOT / os.environ.get("VIDX_BUILD", "build/release") / "tests" / "tools" / "libsync_fault.so"


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


@pytest.fixture
def faulty(tmp_path, tiny_model):
    """A server whose log cannot be synced while `fault` is there."""
    if not FAULT.exists():
        pytest.skip(f"{FAULT} is not built")
    fault = tmp_path / "fault"
    server = Server(tmp_path / "data", tiny_model,
                    env={"LD_PRELOAD": str(FAULT), "VIDX_TEST_SYNC_FAULT": str(fault)})
    server.fault = fault
    server.start()
    yield server
    assert server.stop() == 0, server.tail()


def test_video_whose_commit_failed_and_comes_back_after_a_crash_has_its_file(faulty, clip):
    first = faulty.upload(clip(1)).json()
    faulty.fault.write_text("catalog.db-wal")
    answer = faulty.upload(clip(2))
    assert_problem(answer, 500, "internal")
    assert len(media(faulty)) == 2  # the log holds the row, synced or not
    faulty.kill()
    faulty.fault.unlink()
    faulty.start()
    videos = faulty.get("/v1/videos").json()["items"]
    assert first["id"] in [video["id"] for video in videos]
    assert len(videos) == 2, "the test is worth nothing if the log does not bring the row back"
    for video in videos:
        assert faulty.get(f"/v1/videos/{video['id']}/content").content in [clip(n).read_bytes() for n in (1, 2)]


def test_file_of_a_video_whose_commit_failed_for_good_is_swept_at_the_next_start(faulty, clip):
    faulty.fault.write_text("catalog.db-wal")
    assert_problem(faulty.upload(clip(1)), 500, "internal")
    faulty.fault.unlink()
    kept = faulty.upload(clip(2)).json()  # writes over the failed commit in the log
    assert len(media(faulty)) == 2
    faulty.process.send_signal(signal.SIGTERM)
    faulty.process.wait()
    faulty.start()
    assert [path.name for path in media(faulty)] == [kept["sha256"]]
    assert faulty.upload(clip(1)).status_code == 201
