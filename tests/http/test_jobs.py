"""Uploads that are worked on in the background."""

import concurrent.futures

import pytest
import requests
from conftest import assert_problem, held_committer, wait_until


def test_job_is_accepted_done_and_leads_to_the_video(server, clip):
    accepted = server.upload(clip(60), wait="false")
    assert accepted.status_code == 202
    job = accepted.json()
    assert accepted.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["state"]) == ("ingest", "queued")
    done = server.wait_for_job(job["id"])
    assert done["state"] == "done" and done["phase"] == "DONE" and done["problem"] is None
    assert done["filename"] == clip(60).name and done["finished_at"] >= done["created_at"]
    video = server.get(f"/v1/videos/{done['video_id']}").json()
    assert video["filename"] == clip(60).name
    assert done["report"] == {"duplicate": video["duplicate"]}


def test_job_of_a_bad_file_fails_with_the_problem(server):
    accepted = server.post("/v1/videos", data=b"text " * 100, params={"wait": "false"})
    assert accepted.status_code == 202
    job = server.wait_for_job(accepted.json()["id"])
    assert job["state"] == "failed" and job["video_id"] is None
    assert job["problem"]["type"] == "/problems/media-unsupported"
    assert job["problem"]["status"] == 415 and job["problem"]["detail"]
    assert list((server.data / "incoming").iterdir()) == []


def test_job_of_stored_bytes_leads_to_the_stored_video(server, clip):
    video = server.upload(clip(61)).json()
    job = server.wait_for_job(server.upload(clip(61), wait="false").json()["id"])
    assert job["state"] == "done" and job["video_id"] == video["id"]
    assert job["report"] == {"duplicate": server.upload(clip(61)).json()["duplicate"]}
    assert job["report"]["duplicate"]["verdict"] == "exact"


def test_list_is_newest_first_in_pages(server, clip):
    ids = [server.upload(clip(62), wait="false").json()["id"] for _ in range(3)]
    page = server.get("/v1/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in page["items"]] == [ids[2], ids[1]]
    following = server.get("/v1/jobs", params={"limit": 1, "cursor": page["next"]}).json()
    assert following["items"][0]["id"] == ids[0]


def test_queued_job_that_is_cancelled_is_so_at_once_and_stores_nothing(start, clip):
    slow = start("--ingest-threads", "1", model="slow")
    paths = [clip(seed) for seed in range(160, 172)]  # made first: the queue must not drain meanwhile
    ids = [slow.upload(path, wait="false", clip="fixed:0.2").json()["id"] for path in paths]
    answer = slow.delete(f"/v1/jobs/{ids[-1]}")
    assert answer.status_code == 200 and answer.json()["id"] == ids[-1]
    assert answer.json()["state"] == "cancelled" and answer.json()["finished_at"]
    assert slow.delete(f"/v1/jobs/{ids[-1]}").json() == answer.json()
    assert [slow.wait_for_job(job_id)["state"] for job_id in ids[:-1]] == ["done"] * 11
    assert slow.get(f"/v1/jobs/{ids[-1]}").json() == answer.json()
    assert answer.json()["problem"]["type"] == "/problems/cancelled"
    assert slow.get("/v1/stats").json()["videos"] == 11


def test_job_that_is_cancelled_as_soon_as_it_is_known_ends_as_the_answer_says(start, clip):
    """It may be done by then: on a busy machine hundreds of milliseconds lie between the two requests."""
    slow = start("--ingest-threads", "1", model="slow")
    answers = []
    for seed in range(180, 200):
        job_id = slow.upload(clip(seed), wait="false", clip="fixed:0.2").json()["id"]
        answers.append(slow.delete(f"/v1/jobs/{job_id}").json())
        assert answers[-1]["id"] == job_id and answers[-1]["state"] in ("cancelled", "done")
    wait_until(lambda: not list((slow.data / "incoming").iterdir()))
    assert slow.get("/v1/jobs").json()["items"] == answers[::-1]
    done = sum(answer["state"] == "done" for answer in answers)
    assert slow.get("/v1/stats").json()["videos"] == done


def test_job_that_is_cancelled_before_its_video_is_written_stores_nothing(start, clip):
    slow = start(model="slow")
    job_id = slow.upload(clip(215), wait="false", clip="fixed:0.2").json()["id"]
    path = f"/v1/jobs/{job_id}"
    wait_until(lambda: slow.get(path).json()["state"] == "running")
    with concurrent.futures.ThreadPoolExecutor(1) as pool, held_committer(slow):
        cancelling = pool.submit(slow.delete, path)  # written first
        wait_until(lambda: requests.get(slow.url + path).json()["phase"] == "COMMIT")
        assert not cancelling.done()
    assert cancelling.result().json()["state"] == "cancelled"
    wait_until(lambda: not list((slow.data / "incoming").iterdir()))
    assert slow.get(path).json()["state"] == "cancelled"
    assert slow.get("/v1/stats").json()["videos"] == 0
    assert list((slow.data / "media").glob("*/*")) == []


@pytest.mark.parametrize("state", ["queued", "running"])
def test_cancelled_job_stays_so_after_a_crash(start, clip, state):
    slow = start("--ingest-threads", "1", model="slow")
    paths = [clip(seed, seconds=90) for seed in (216, 217, 218)]  # made first: two run at once, the third waits
    jobs = [slow.upload(path, wait="false", clip="fixed:0.2").json()["id"] for path in paths]
    wait_until(lambda: slow.get(f"/v1/jobs/{jobs[0]}").json()["state"] == "running")
    cancelled = jobs.pop(0 if state == "running" else 2)
    assert slow.get(f"/v1/jobs/{cancelled}").json()["state"] == state
    answer = slow.delete(f"/v1/jobs/{cancelled}").json()
    slow.kill()
    assert answer["state"] == "cancelled"
    slow.start()
    assert slow.get(f"/v1/jobs/{cancelled}").json() == answer
    assert [slow.wait_for_job(other)["state"] for other in jobs] == ["done"] * 2
    assert slow.get("/v1/stats").json()["videos"] == 2
    assert list((slow.data / "incoming").iterdir()) == []


def test_all_jobs_go_on_after_a_restart_with_a_shorter_queue(start, clip):
    slow = start("--ingest-threads", "1", model="slow")
    paths = [clip(seed, seconds=30) for seed in range(220, 224)]  # made first, so that they wait together
    jobs = [slow.upload(path, wait="false", clip="fixed:0.2").json()["id"] for path in paths]
    slow.kill()
    slow.flags += ["--queue", "1"]
    slow.start()
    assert [slow.wait_for_job(job)["state"] for job in jobs] == ["done"] * 4


def test_job_that_waits_for_another_of_its_bytes_can_be_cancelled(start, clip):
    slow = start("--ingest-threads", "2", model="slow")
    first, second = (slow.upload(clip(210), wait="false", clip="fixed:0.2").json()["id"] for _ in range(2))
    assert slow.delete(f"/v1/jobs/{second}").status_code == 200
    assert slow.wait_for_job(second)["state"] == "cancelled"
    assert slow.wait_for_job(first)["state"] == "done"
    assert slow.get("/v1/stats").json()["ingest"]["finished"]["existing"] == 0


def test_finished_job_stays_as_it_is_when_cancelled(server, clip):
    job = server.wait_for_job(server.upload(clip(63), wait="false").json()["id"])
    answer = server.delete(f"/v1/jobs/{job['id']}")
    assert answer.status_code == 200 and answer.json()["state"] == "done"


@pytest.mark.parametrize("id", ["j000000000000000000000000", "x", "j" * 2000])
def test_unknown_job_is_not_found(server, id):
    assert_problem(server.get(f"/v1/jobs/{id}"), 404, "not-found")
    assert_problem(server.delete(f"/v1/jobs/{id}"), 404, "not-found")


def test_unknown_cursor_is_refused(server):
    assert_problem(server.get("/v1/jobs", params={"cursor": "x"}), 400, "bad-parameter", "cursor")


def test_count_gives_the_number_of_all_jobs(server, clip):
    server.wait_for_job(server.upload(clip(64), wait="false").json()["id"])
    every = server.get("/v1/jobs", params={"limit": 500}).json()
    page = server.get("/v1/jobs", params={"limit": 1, "count": "true"}).json()
    assert page["total"] == len(every["items"]) and len(page["items"]) == 1
    assert "total" not in every
    assert_problem(server.get("/v1/jobs?count=1"), 400, "bad-parameter", "count")
