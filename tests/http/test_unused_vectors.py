"""Vectors that no loaded model can use: listed, deleted when asked, for good."""

import json
import shutil
import sqlite3
import time

import pytest
from conftest import assert_problem, wait_until
from server import Server
from test_backfill import backfill, ended, model, restart, vectors

MANY, DIM = 60_000, 48  # vectors of the space that takes a while to delete


def unused(server):
    return server.get("/v1/models").json()["unused"]


def sql(server, query, *values):
    with sqlite3.connect(server.data / "catalog.db", timeout=180) as catalog:
        return catalog.execute(query, values).fetchall()


def delete(server, name, **params):
    answer = server.delete(f"/v1/models/{name}/vectors", params=params)
    assert answer.status_code == 202, answer.text
    return answer.json()["items"]


@pytest.fixture
def left(start, clip):
    """A server with tiny alone, whose catalog has two videos' vectors of small; (server, digest)."""
    server = start(model="tiny,small")
    for i in range(2):
        assert server.upload(clip(440 + i), clip="fixed:1.5").status_code == 201
    digest = model(server, "small")["digest"]
    assert unused(server) == []
    return restart(server, "tiny"), digest


def test_unused_vectors_are_listed_and_deleted_when_asked(left, clip):
    server, digest = left
    space = {"name": "small", "digest": digest, "dim": 48, "vectors": 4, "bytes": 4 * 48 * 4}
    assert unused(server) == [space | {"deleting": False}]
    assert server.upload(clip(442)).status_code == 201
    gone = server.get("/v1/videos?limit=1").json()["items"][0]["id"]
    assert server.delete(f"/v1/videos/{gone}").status_code == 204
    assert unused(server)[0]["vectors"] == 4

    assert delete(server, "small") == [space | {"deleting": True}]
    wait_until(lambda: not unused(server), seconds=120)
    assert "model=small" in server.tail(50) and "deleting=yes" in server.tail(50)
    assert sql(server, "SELECT model, vectors FROM spaces") == [("tiny", 4)]
    assert sql(server, "SELECT count(*) FROM vectors") == [(4,)]
    assert_problem(server.delete("/v1/models/small/vectors"), 404, "not-found", "small")
    restart(server, "tiny,small")
    assert (model(server, "small")["vectors"], model(server, "small")["missing"]) == (0, 4)


def test_clusters_of_deleted_vectors_are_in_no_filter_any_more(start, clip):
    server = start(model="tiny,small")
    for i in range(2):
        assert server.upload(clip(440 + i), clip="fixed:1.5").status_code == 201
    job = server.post("/v1/clusters", json={"model": "small", "k": 1}).json()["id"]
    assert server.wait_for_job(job)["state"] == "done"
    restart(server, "tiny")
    wanted = {"filter": json.dumps({"cluster": {"$prefix": "c" + job[1:]}})}
    assert len(server.get("/v1/videos", params=wanted).json()["items"]) == 2
    delete(server, "small")
    wait_until(lambda: server.get("/v1/videos", params=wanted).json()["items"] == [])


def test_deleted_video_is_not_counted_among_the_unused(left):
    server, _ = left
    for video in server.get("/v1/videos").json()["items"][:1]:
        assert server.delete(f"/v1/videos/{video['id']}").status_code == 204
    assert unused(server)[0]["vectors"] == 2
    assert sql(server, "SELECT count(*) FROM vectors") == [(4,)]


def test_vectors_of_a_loaded_model_are_not_deleted(start, clip):
    server = start()
    assert server.upload(clip(443)).status_code == 201
    digest = model(server, "tiny")["digest"]
    for query in ("", f"?digest={digest}"):
        answer = server.delete(f"/v1/models/tiny/vectors{query}")
        assert_problem(answer, 409, "model-loaded", "tiny", digest)
    assert_problem(server.delete("/v1/models/tiny/vectors?digest=" + "0" * 64), 404, "not-found")
    for wrong in ("12", "0" * 65, "Z" * 64):
        answer = server.delete(f"/v1/models/tiny/vectors?digest={wrong}")
        assert_problem(answer, 400, "bad-parameter", "digest")
    assert_problem(server.delete("/v1/models/nix/vectors"), 404, "not-found", "nix")
    assert model(server, "tiny")["vectors"] == 1


def test_old_digest_of_a_loaded_model_is_deleted_by_its_name_alone(tmp_path, tiny_model, clip):
    packages = tmp_path / "models"
    for name in ("tiny", "small"):
        shutil.copytree(tiny_model / name, packages / name)
    manifest = packages / "small" / "manifest.json"
    digests = []
    with Server(tmp_path / "data", packages, "tiny,small") as server:
        server.upload(clip(444))
        for fps in (3.0, 4.0):
            digests.append(model(server, "small")["digest"])
            manifest.write_text(json.dumps(json.loads(manifest.read_text()) |
                                           {"frames": {"count": 8, "fps": fps, "sampling": "spread"}}))
            restart(server)
            server.upload(clip(445 + int(fps)))
        assert model(server, "small")["old_digests"] == digests
        delete(server, "small", digest=digests[1])
        assert model(server, "small")["old_digests"] == digests[:1]
        while len(unused(server)) == 2:
            time.sleep(0.02)
        assert [space["digest"] for space in unused(server)] == digests[:1]
        assert model(server, "small")["vectors"] == 1


def test_deletion_goes_on_after_a_kill_beside_uploads_and_the_room_is_used_again(left, clip):
    server, digest = left
    assert server.stop() == 0
    (space,), = sql(server, "SELECT row FROM spaces WHERE model = 'small'")
    with sqlite3.connect(server.data / "catalog.db") as catalog:  # clips that nobody has
        catalog.executemany("INSERT INTO vectors (key, data) VALUES (?, ?)", (
            (space << 40 | clip_row, bytes(4 * DIM)) for clip_row in range(1000, 1000 + MANY)))
        catalog.execute("UPDATE spaces SET vectors = vectors + ? WHERE row = ?", (MANY, space))
    server.start()
    assert unused(server)[0]["vectors"] == MANY + 4
    kills = 0
    delete(server, "small")
    while left_now := unused(server):
        assert left_now[0]["deleting"] and left_now[0]["digest"] == digest
        assert server.upload(clip(450 + kills)).ok
        count = sql(server, "SELECT count(*) FROM vectors WHERE key >> 40 = ?", space)[0][0]
        if kills < 2 and count:
            kills += 1
            server.kill()
            server.start()
            assert sum(space["vectors"] for space in unused(server)) <= count
    assert kills
    pages, = sql(server, "SELECT (SELECT page_count FROM pragma_page_count),"
                 " (SELECT freelist_count FROM pragma_freelist_count)")
    assert pages[1] > pages[0] / 2  # what comes next is written there
    assert sql(server, "SELECT count(*) FROM spaces") == [(1,)]


def test_model_that_comes_back_while_its_vectors_are_deleted_gets_a_new_space(left):
    server, digest = left
    assert server.stop() == 0
    sql(server, "UPDATE spaces SET digest = digest || ':' || row WHERE model = 'small'")
    # as a kill right after the answer leaves it
    restart(server, "tiny,small")
    small = model(server, "small")
    assert (small["digest"], small["vectors"], small["missing"], small["old_digests"]) == (
        digest, 0, 4, [])
    ended(server, backfill(server, "small"))
    wait_until(lambda: not unused(server), seconds=120)
    assert model(server, "small")["vectors"] == 4
    restart(server)
    assert model(server, "small")["vectors"] == 4
    for video in server.get("/v1/videos").json()["items"]:
        assert vectors(server, video["id"], "small").shape == (2, 48)
