"""Long videos and searches by file take turns with the others: nobody waits until they have ended."""

import concurrent.futures
import os
import threading

import make as samples
import pytest
import requests
from conftest import assert_problem, wait_until


@pytest.fixture(scope="module")
def films():
    """Four of eleven minutes, which count as long. Cut into pieces of a second they keep the model `slow`
    busy for a while."""
    return [samples.small(700 + i, seconds=660, size=(32, 32), options={"preset": "ultrafast"}) for i in range(4)]


def send(server, films, rule="fixed:1"):
    return [server.upload(film, wait="false", clip=rule).json()["id"] for film in films]


def running(server):
    """Jobs that have not ended."""
    states = [server.get("/v1/jobs", params={"state": state}).json()["items"] for state in ("queued", "running")]
    return [job["id"] for jobs in states for job in jobs]


def test_short_upload_does_not_wait_for_long_ones_that_came_before(start, films, clip):
    server = start("--ingest-threads", "1", model="slow")
    jobs = send(server, films)
    answer = server.upload(clip(710))
    assert answer.status_code == 201, answer.text
    assert set(jobs[1:]) <= set(running(server))
    for job in reversed(jobs[1:]):  # from those that wait to the one that runs
        assert server.delete(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    server.delete(f"/v1/jobs/{jobs[0]}")
    wait_until(lambda: list((server.data / "incoming").iterdir()) == [])


def test_long_uploads_are_all_stored_in_the_end(start, films):
    server = start("--ingest-threads", "1")
    jobs = send(server, films, "auto")
    assert [server.wait_for_job(job)["state"] for job in jobs] == ["done"] * 4
    assert server.get("/v1/stats").json()["videos"] == 4


def test_long_uploads_that_wait_for_their_place_survive_a_stop(start, films):
    server = start("--ingest-threads", "1", model="slow")
    jobs = send(server, films)
    wait_until(lambda: server.get("/v1/stats").json()["ingest"]["queued"])
    assert server.stop() == 0
    server.model = "tiny"
    server.start()
    assert [server.wait_for_job(job)["state"] for job in jobs] == ["done"] * 4
