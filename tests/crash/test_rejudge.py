"""Thousands of copies whose original is deleted: the job that judges them anew is killed, is cancelled, and does
not hold up uploads.
"""

import collections
import subprocess

import make as samples
import pytest
from many_copies import multiply
from server import Server, wait_until

N = 3000


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A film, and the same encoded anew."""
    folder = tmp_path_factory.mktemp("films")
    for crf in ("20", "30"):
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "mandelbrot=s=320x180:r=25",
                        "-t", "4", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-crf", crf,
                        folder / f"{crf}.mp4"], check=True)
    return folder / "20.mp4", folder / "30.mp4"


@pytest.fixture
def server(tmp_path, tiny_model, films):
    """Holds an original, a copy of it and N more; running."""
    server = Server(tmp_path / "data", tiny_model)
    with server:
        server.original, server.copy = (server.upload(film).json()["id"] for film in films)
    multiply(server.data / "catalog.db", server.copy, N)
    server.start()
    yield server
    server.stop()


def rejudge(server):
    """The newest job of that kind."""
    return next(job for job in server.get("/v1/jobs").json()["items"] if job["kind"] == "rejudge")


def start_rejudge(server):
    """Deletes the original; waits until the job has written its first verdicts."""
    assert server.get("/v1/videos", params={"verdict": "copy", "count": "true"}).json()["total"] == N + 1
    assert server.delete(f"/v1/videos/{server.original}").ok
    wait_until(lambda: rejudge(server).get("done"), "the job does not begin")


def wait_until_ended(server):
    wait_until(lambda: rejudge(server)["state"] == "done", "the job does not end", 240)


def verdicts(server, limit=500):
    """How many videos have which verdict, of which video."""
    found, cursor = collections.Counter(), ""
    while cursor is not None:
        page = server.get("/v1/videos", params={"limit": limit, "cursor": cursor}).json()
        found.update((v["duplicate"]["verdict"], v["duplicate"]["of"]) for v in page["items"])
        cursor = page["next"]
    return found


def all_mended(server):
    return collections.Counter({("new", None): 1, ("copy", server.copy): N})


def test_rejudge_that_is_killed_goes_on_after_the_restart(server):
    start_rejudge(server)
    server.kill()
    server.start()
    assert verdicts(server)["new", None] > 1
    wait_until_ended(server)
    assert verdicts(server) == all_mended(server)


def test_rejudge_that_is_cancelled_is_finished_by_the_next_one(server, films):
    start_rejudge(server)
    cancelled = rejudge(server)["id"]
    assert server.delete(f"/v1/jobs/{cancelled}").json()["state"] == "cancelled"
    left = verdicts(server)
    assert left["new", None] > 1 and set(left) == {("new", None), ("copy", server.copy)}
    server.stop()
    server.start()
    assert server.get(f"/v1/jobs/{cancelled}").json()["state"] == "cancelled" and verdicts(server) == left
    other = [server.upload(samples.small(900 + i)).json()["id"] for i in range(2)]
    copy_of_a_copy = server.upload(films[0]).json()
    assert copy_of_a_copy["duplicate"]["verdict"] == "copy"
    server.delete(f"/v1/videos/{copy_of_a_copy['duplicate']['of']}")
    wait_until_ended(server)
    found = verdicts(server)
    assert found["new", None] == 1 + len(other) and sum(found.values()) == N + 1 + len(other)


def test_uploads_are_stored_while_thousands_are_judged_anew(server):
    start_rejudge(server)
    stored = 0
    while rejudge(server)["state"] == "running":
        assert server.upload(samples.small(1000 + stored)).status_code == 201
        stored += 1
    assert stored
    assert verdicts(server) == all_mended(server) + collections.Counter({("new", None): stored})
