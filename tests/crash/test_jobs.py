"""Accepted jobs under faults of the machine: none is dropped, and all end once the fault has gone."""

import errno
import os
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "harness"), str(ROOT / "tests" / "samples"),
                str(ROOT / "tests" / "testmodel")]
import make as samples  # noqa: E402
from trouble import Troubled  # noqa: E402


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    samples.encode(path, "libx264", n=12, size=(96, 64), rate=8, seed=7)
    return path


@pytest.fixture
def server(tmp_path, tiny_model):
    server = Troubled(tmp_path, tiny_model).start()
    yield server
    if server.process.poll() is None:
        server.kill()


def job(server, job_id):
    return server.get(f"/v1/jobs/{job_id}").json()


def wait_until(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def incoming(server):
    return list((server.data / "incoming").iterdir())


@pytest.mark.parametrize("call, code, part", [("open", errno.EMFILE, "incoming/"), ("open", errno.EIO, "incoming/"),
                                              ("rename", errno.ENOSPC, "media")])
def test_job_that_meets_a_fault_of_the_machine_is_done_after_it_has_gone(server, clip, call, code, part):
    server.fail(call, code, part)
    job_id = server.upload(clip, wait="false").json()["id"]
    wait_until(lambda: job(server, job_id)["attempts"] >= 2)
    waiting = job(server, job_id)
    assert waiting["state"] in ("queued", "running") and waiting["problem"] is None
    assert os.strerror(code) in waiting["last_error"]
    assert len(incoming(server)) == 1
    wait_until(lambda: server.get("/v1/stats").json()["jobs"] == {"waiting": 1, "parked": 0})
    server.recover()
    done = server.wait_for_job(job_id)
    assert done["state"] == "done" and done["attempts"] >= 3 and done["next_try_at"] is None
    assert incoming(server) == []
    assert server.get(f"/v1/videos/{done['video_id']}").status_code == 200


def test_job_that_waits_is_tried_at_the_next_start_and_can_be_cancelled(server, clip):
    server.fail("open", errno.EIO, "incoming/")
    job_id = server.upload(clip, wait="false").json()["id"]
    wait_until(lambda: job(server, job_id)["next_try_at"])
    server.kill()
    server.start()
    wait_until(lambda: job(server, job_id)["attempts"] >= 2 and job(server, job_id)["state"] == "queued")
    assert server.delete(f"/v1/jobs/{job_id}").json()["state"] == "cancelled"
    wait_until(lambda: incoming(server) == [])
    server.recover()
    time.sleep(1.5)
    assert job(server, job_id)["state"] == "cancelled"


def test_upload_that_finds_no_free_file_is_told_to_come_back(server, clip):
    server.fail("open", errno.EMFILE, "incoming/")
    answer = server.upload(clip)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/busy")
    assert int(answer.headers["Retry-After"]) > 0 and "incoming" not in answer.text
    server.recover()
    assert server.upload(clip).status_code == 201


@pytest.fixture
def parked(server, clip):
    """The id of a job during which the process ended three times."""
    server.fail("open", 0, "incoming/")
    job_id = server.upload(clip, wait="false").json()["id"]
    server.process.wait(30)
    for _ in range(2):
        try:
            server.start()
        except AssertionError:
            pass  # it ended before its port could be read
        server.process.wait(30)
    server.start()
    return job_id


def test_job_that_ended_the_process_three_times_is_parked(server, parked):
    found = job(server, parked)
    assert (found["state"], found["attempts"]) == ("parked", 3)
    assert "3 of 3 times" in found["last_error"] and found["problem"]["status"] == 500
    listed = server.get("/v1/jobs", params={"state": "parked"}).json()["items"]
    assert listed == [found]
    assert server.get("/v1/jobs", params={"state": "done"}).json()["items"] == []
    assert server.get("/v1/jobs", params={"state": "x"}).status_code == 400
    assert server.get("/v1/stats").json()["jobs"] == {"waiting": 0, "parked": 1}
    assert "vidx_jobs_parked 1" in server.get("/v1/metrics").text
    assert len(incoming(server)) == 1


def test_parked_job_is_started_again_by_a_client(server, parked):
    server.recover()
    assert server.post(f"/v1/jobs/{parked}/retry").status_code == 202
    assert server.wait_for_job(parked)["state"] == "done"
    assert incoming(server) == []
    answer = server.post(f"/v1/jobs/{parked}/retry")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/job-ended")
    assert server.post("/v1/jobs/jnone/retry").status_code == 404


def test_parked_job_that_is_cancelled_leaves_no_file(server, parked):
    assert server.delete(f"/v1/jobs/{parked}").json()["state"] == "cancelled"
    assert incoming(server) == []


@pytest.mark.parametrize("call, code", [("read", errno.EIO), ("open", errno.EMFILE), ("open", errno.ENOSPC)])
def test_backfill_that_meets_a_fault_of_the_machine_is_done_after_it_has_gone(server, clip, call, code):
    server.upload(clip)
    assert server.stop() == 0
    server.model = "tiny,small"
    server.start()
    server.fail(call, code, "media/")
    job_id = server.post("/v1/models/small/backfill").json()["id"]
    wait_until(lambda: job(server, job_id)["attempts"] >= 2)
    waiting = job(server, job_id)
    assert waiting["state"] in ("queued", "running") and waiting["problem"] is None
    assert os.strerror(code) in waiting["last_error"]
    server.recover()
    done = server.wait_for_job(job_id)
    assert (done["state"], done["report"]["embedded"], done["report"]["failed"]) == ("done", 1, 0)
    assert [model["missing"] for model in server.get("/v1/models").json()["items"]] == [0, 0]
