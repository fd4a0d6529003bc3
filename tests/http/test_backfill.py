"""A model that comes later: its vectors for what is stored already."""

import json
import shutil
import sqlite3
import time

import numpy as np
import pytest
from conftest import assert_problem, wait_until
from server import Server


def restart(server, model=None, models=None):
    if server.process.poll() is None:
        assert server.stop() == 0
    server.model, server.models = model or server.model, models or server.models
    return server.start()


def model(server, name):
    return next(m for m in server.get("/v1/models").json()["items"] if m["name"] == name)


def backfill(server, name):
    answer = server.post(f"/v1/models/{name}/backfill")
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{body['id']}" and body["kind"] == "backfill"
    return body["id"]


def ended(server, job_id, state="done"):
    job = server.wait_for_job(job_id)
    assert (job["state"], job["kind"]) == (state, "backfill"), job
    return job


def progress(server, job_id, at_least, seconds=180):
    """Waits until that many videos are done."""
    deadline = time.monotonic() + seconds
    while (job := server.get(f"/v1/jobs/{job_id}").json())["done"] < at_least:
        assert job["state"] in ("queued", "running") and time.monotonic() < deadline, job
        time.sleep(0.005)
    return job


def vectors(server, video_id, name):
    answer = server.get(f"/v1/videos/{video_id}/vectors", params={"model": name})
    assert answer.status_code == 200, answer.text
    return np.array([item["vector"] for item in answer.json()["items"]])


@pytest.fixture
def fill(start, clip):
    """fill(n, model) starts a server, stores n videos of two clips, and starts it with that model
    beside tiny."""

    def make(n, name="small"):
        server = start()
        ids = [server.upload(clip(400 + i), clip="fixed:1.5").json()["id"] for i in range(n)]
        return restart(server, f"tiny,{name}"), ids

    return make


def test_backfill_makes_what_a_server_with_that_model_would_have(fill, start, clip):
    server, ids = fill(3)
    before = model(server, "small")
    assert (before["vectors"], before["missing"], before["old_digests"]) == (0, 6, [])
    assert "model=small clips_without_vector=6" in server.tail(100)
    answer = server.get(f"/v1/videos/{ids[0]}/vectors", params={"model": "small"})
    assert_problem(answer, 404, "not-found", "small", "backfill")
    answer = server.post("/v1/search", json={"video_id": ids[0], "model": "small"})
    assert_problem(answer, 404, "not-found", "small")

    job = ended(server, backfill(server, "small"))
    assert job["report"] == {"embedded": 3, "deleted": 0, "failed": 0, "failures": []}
    assert (job["model"], job["problem"], job["filename"]) == ("small", None, None)
    after = model(server, "small")
    assert (after["vectors"], after["missing"]) == (6, 0)
    alone = start(model="small")
    for i, id in enumerate(ids):
        assert alone.upload(clip(400 + i), clip="fixed:1.5").json()["id"] == id
        assert np.allclose(vectors(server, id, "small"), vectors(alone, id, "small"), atol=1e-6)
    hits = server.post("/v1/search", json={"video_id": ids[0], "model": "small"}).json()["items"]
    assert {hit["video_id"] for hit in hits} == set(ids[1:])
    restart(server)  # they are durable
    assert (model(server, "small")["vectors"], model(server, "small")["missing"]) == (6, 0)


def test_backfill_of_nothing_is_done_at_once(start):
    server = start()
    job = ended(server, backfill(server, "tiny"))
    assert job["report"]["embedded"] == 0 and job["total"] == 0


def test_backfill_of_an_unknown_model_is_not_found(start):
    assert_problem(start().post("/v1/models/nix/backfill"), 404, "not-found", "nix", "tiny")


def test_backfill_asked_for_twice_is_one_job_and_uploads_go_on(fill, clip):
    server, ids = fill(6, "slow")
    job_id = backfill(server, "slow")
    assert backfill(server, "slow") == job_id
    seen = progress(server, job_id, 2)
    assert seen["state"] == "running" and seen["total"] == 6 and seen["eta_s"] > 0
    assert server.upload(clip(420)).status_code == 201
    assert ended(server, job_id)["report"]["embedded"] == 6
    assert model(server, "slow")["missing"] == 0
    assert backfill(server, "slow") != job_id


def test_bad_file_is_reported_and_a_deleted_video_is_skipped(fill):
    server, ids = fill(8, "slow")
    sha256 = server.get(f"/v1/videos/{ids[0]}").json()["sha256"]
    stored, = server.data.glob(f"media/*/{sha256}")
    stored.chmod(0o600)
    stored.write_bytes(b"no video any more" * 50)
    job_id = backfill(server, "slow")
    progress(server, job_id, 1)
    assert server.delete(f"/v1/videos/{ids[-1]}").status_code == 204
    report = ended(server, job_id)["report"]
    assert (report["embedded"], report["deleted"], report["failed"]) == (6, 1, 1)
    failure, = report["failures"]
    assert failure["video_id"] == ids[0] and failure["detail"]
    assert (model(server, "slow")["missing"], model(server, "slow")["vectors"]) == (2, 12)


def test_backfill_killed_in_the_middle_goes_on_where_it_was(fill):
    server, ids = fill(10, "slow")
    job_id = backfill(server, "slow")
    progress(server, job_id, 3)
    server.kill()
    server.start()
    job = ended(server, job_id)
    assert 0 < job["report"]["embedded"] <= 7  # what was done before the kill was not done again
    assert (model(server, "slow")["missing"], model(server, "slow")["vectors"]) == (0, 20)
    for id in ids:
        assert vectors(server, id, "slow").shape == (2, 64)


def test_stopped_server_goes_on_with_the_backfill(fill):
    server, _ = fill(6, "slow")
    job_id = backfill(server, "slow")
    progress(server, job_id, 1)
    restart(server)
    ended(server, job_id)
    assert model(server, "slow")["missing"] == 0


def test_job_of_a_model_that_is_not_loaded_any_more_fails(fill):
    server, _ = fill(6, "slow")
    job_id = backfill(server, "slow")
    server.kill()
    restart(server, "tiny")
    assert_problem_of(ended(server, job_id, "failed"), "wrong-space")


def assert_problem_of(job, name):
    assert job["problem"]["type"] == f"/problems/{name}", job


def test_cancelled_backfill_keeps_what_it_did(fill):
    server, _ = fill(8, "slow")
    job_id = backfill(server, "slow")
    progress(server, job_id, 2)
    assert server.delete(f"/v1/jobs/{job_id}").json()["state"] == "cancelled"
    wait_until(lambda: ended(server, job_id, "cancelled")["report"])
    job = ended(server, job_id, "cancelled")
    assert_problem_of(job, "cancelled")
    done = job["report"]["embedded"]
    assert 2 <= done < 8 and model(server, "slow")["vectors"] == 2 * done
    rest = ended(server, backfill(server, "slow"))["report"]["embedded"]
    assert done + rest == 8


def test_backfill_after_one_was_cancelled_is_another_job(fill):
    server, _ = fill(4, "slow")
    cancelled = backfill(server, "slow")
    server.delete(f"/v1/jobs/{cancelled}")
    following = backfill(server, "slow")
    assert following != cancelled and backfill(server, "slow") == following
    assert ended(server, following)["report"]["failed"] == 0
    assert ended(server, cancelled, "cancelled")
    assert model(server, "slow")["missing"] == 0


def test_changed_package_is_another_space_until_its_backfill(tmp_path, tiny_model, clip):
    packages = tmp_path / "models"
    for name in ("tiny", "small"):
        shutil.copytree(tiny_model / name, packages / name)
    manifest = packages / "small" / "manifest.json"
    first = manifest.read_text()
    changed = json.loads(first)
    changed["frames"]["fps"] = 4.0
    with Server(tmp_path / "data", packages, "tiny,small") as server:
        id = server.upload(clip(430)).json()["id"]
        digest, old = model(server, "small")["digest"], vectors(server, id, "small")

        manifest.write_text(json.dumps(changed))
        restart(server)
        listed = model(server, "small")
        assert listed["digest"] != digest and listed["old_digests"] == [digest]
        assert (listed["vectors"], listed["missing"]) == (0, 1)

        manifest.write_text(first)  # back: its vectors were kept
        restart(server)
        assert model(server, "small")["missing"] == 0
        assert np.array_equal(vectors(server, id, "small"), old)

        manifest.write_text(json.dumps(changed))
        restart(server)
        assert ended(server, backfill(server, "small"))["report"]["embedded"] == 1
        listed = model(server, "small")
        assert (listed["vectors"], listed["missing"], listed["old_digests"]) == (1, 0, [])
        assert not np.allclose(vectors(server, id, "small"), old)
    with sqlite3.connect(tmp_path / "data" / "catalog.db") as catalog:
        assert catalog.execute("SELECT count(*) FROM spaces").fetchone() == (2,)
        assert catalog.execute("SELECT count(*) FROM vectors").fetchone() == (2,)


def test_failure_of_the_server_keeps_the_old_vectors(tmp_path, tiny_model, clip):
    """A backfill that did not complete for the model's own fault leaves what an older package made."""
    packages = tmp_path / "models"
    for name in ("tiny", "small"):
        shutil.copytree(tiny_model / name, packages / name)
    with Server(tmp_path / "data", packages, "tiny,small") as server:
        video = server.upload(clip(431)).json()
        digest = model(server, "small")["digest"]
        shutil.rmtree(packages / "small")
        shutil.copytree(tiny_model / "moody", packages / "small")
        manifest = json.loads((packages / "small" / "manifest.json").read_text())
        manifest |= {"name": "small", "picture": manifest["picture"] | {"mean": [2.0, 2.0, 2.0]}}
        (packages / "small" / "manifest.json").write_text(json.dumps(manifest))
        restart(server)
        job = f"/v1/jobs/{backfill(server, 'small')}"
        wait_until(lambda: server.get(job).json()["next_try_at"])
        waiting = server.get(job).json()
        assert waiting["last_error"] and waiting["problem"] is None  # not ended: it is tried again
        assert f"video={video['id']}" in server.tail(100)
        assert model(server, "small")["old_digests"] == [digest]
