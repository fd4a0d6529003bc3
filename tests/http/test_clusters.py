"""Clusterings: found by a job, listed, paged, used as a filter, deleted; and what videos that come and go do."""

import io
import json
import re
import subprocess
import sys

import numpy as np
import pyarrow.parquet as parquet
import pytest
from conftest import assert_problem
from filled import fill
from server import BINARY, ROOT, wait_until

sys.path.append(str(ROOT / "tests" / "cluster"))
from data import blobs  # noqa: E402

GROUPS, DIM = 6, 64


@pytest.fixture(scope="module")
def vectors():
    return blobs(31, 600, DIM, GROUPS, 0.4)


@pytest.fixture(scope="module")
def server(start, clip, vectors):
    server = start(model="tiny-text")
    assert server.upload(clip(900)).status_code == 201
    assert server.stop() == 0
    server.ids = fill(server.data, vectors[0], clips_each=4)
    return server.start()


@pytest.fixture(autouse=True)
def still_answers(server):
    """As in conftest.py, but the filled videos have no files."""
    yield
    assert server.process.poll() is None, server.tail()
    assert server.get("/v1/health/ready").json()["status"] == "ready"


def run_job(server, body, code=202):
    answer = server.post("/v1/clusters", json=body)
    assert answer.status_code == code, answer.text
    job = answer.json()["id"]
    assert answer.headers["Location"] == f"/v1/jobs/{job}"
    return wait_until(lambda: ended(server, job))


def ended(server, job):
    found = server.get(f"/v1/jobs/{job}").json()
    return found if found["state"] not in ("queued", "running") else None


def cluster(server, **body):
    job = run_job(server, body)
    assert job["state"] == "done", job
    answer = server.get(f"/v1/clusters/{job['report']['clustering_id']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def members(server, clustering, limit=5000, **params):
    items, cursor = [], ""
    while cursor is not None:
        answer = server.get(f"/v1/clusters/{clustering}/members", params={**params, "limit": limit, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        cursor = answer.json()["next"]
    return items


def groups_of(server, vectors, items):
    """{cluster: set of the groups that its filled clips are from}"""
    found = {}
    for item in items:
        if item["video_id"] in server.ids:
            at = server.ids.index(item["video_id"]) * 4 + int(item["clip_id"].split(".")[1])
            found.setdefault(item["cluster"], set()).add(int(vectors[1][at]))
    return found


@pytest.fixture(scope="module")
def kmeans(server):
    return cluster(server, method="kmeans", k=GROUPS, seed=3, name="by seven", concepts=["left", "right", "red", "blue"])


# ---- what a clustering says ---------------------------------------------------------------------


def test_clusters_are_the_groups_of_the_vectors(server, vectors, kmeans):
    items = members(server, kmeans["id"])
    assert len(items) == kmeans["clips"] == 601 and kmeans["clips_outside"] == 0
    found = groups_of(server, vectors, items)
    assert sorted(len(groups) for groups in found.values()) == [1] * GROUPS
    sizes = [c["clips"] for c in kmeans["clusters"]]
    assert sizes == sorted(sizes, reverse=True) and sum(sizes) == 601
    assert [sum(i["cluster"] == n for i in items) for n in range(GROUPS)] == sizes


def test_clustering_tells_how_it_was_made(kmeans):
    assert re.fullmatch("c[0-9a-f]{24}", kmeans["id"])
    assert kmeans["name"] == "by seven" and kmeans["method"] == "kmeans" and kmeans["model"] == "tiny-text"
    assert kmeans["why"] == "k = 6 was asked for" and kmeans["converged"] is True
    assert kmeans["request"]["seed"] == 3 and kmeans["drift"] is None
    assert 0.5 < sum(kmeans["variance_shown"]) <= 1 or sum(kmeans["variance_shown"]) > 0


def test_cluster_has_representatives_nearest_to_its_middle_and_names_of_the_list(server, kmeans):
    for c in kmeans["clusters"]:
        near = members(server, kmeans["id"], cluster=c["number"])
        assert [i["score"] for i in near] == sorted((i["score"] for i in near), reverse=True)
        assert c["representatives"][0] == near[0] and len(c["representatives"]) == 3
        assert len({i["video_id"] for i in c["representatives"]}) == 3
        assert c["name"] in ("left", "right", "red", "blue") and c["name"] == c["names"][0]["concept"]
        assert c["id"] == f"{kmeans['id']}.{c['number']}"


def test_members_page_by_page_are_those_of_one_page(server, kmeans):
    assert members(server, kmeans["id"], limit=37) == members(server, kmeans["id"])
    assert members(server, kmeans["id"], limit=1, cluster=2) == members(server, kmeans["id"], cluster=2)


def test_outliers_are_members_that_say_so(server, kmeans):
    flagged = [i for i in members(server, kmeans["id"]) if i["outlier"]]
    assert members(server, kmeans["id"], outliers="true") == flagged


def test_same_request_gives_the_same_clusters(server, kmeans):
    again = cluster(server, method="kmeans", k=GROUPS, seed=3)
    assert again["id"] != kmeans["id"]
    assert members(server, again["id"]) == members(server, kmeans["id"])
    assert again["drift"]["agreement"] == 1 and again["drift"]["clips_in_both"] == 601
    assert all(c["before"] == {"number": c["number"], "cosine": 1} for c in again["clusters"])


def test_k_that_is_not_given_is_chosen_and_explained(server):
    found = cluster(server, max_k=20)
    assert found["method"] == "kmeans" and len(found["clusters"]) == GROUPS
    assert "k = 6 was chosen" in found["why"] and "silhouette" in found["why"]


def test_density_leaves_out_what_is_in_no_group(server, vectors):
    found = cluster(server, method="density", min_cluster_size=20)
    items = members(server, found["id"])
    of = groups_of(server, vectors, [i for i in items if i["cluster"] is not None])
    assert len(found["clusters"]) == GROUPS and all(len(groups) == 1 for groups in of.values())
    none = members(server, found["id"], cluster="none")
    assert len(none) == found["clips_in_none"] > 0 and all(i["outlier"] and i["cluster"] is None for i in none)
    assert "20 clips" in found["why"]


def test_built_in_names_are_given_where_the_client_has_none(server):
    assert all(c["name"] for c in cluster(server, k=2)["clusters"])


def test_list_has_the_newest_first_page_by_page(server, kmeans):
    everything = server.get("/v1/clusters", params={"limit": 100}).json()
    assert everything["next"] is None
    first = server.get("/v1/clusters", params={"limit": 1}).json()
    rest = server.get("/v1/clusters", params={"limit": 100, "cursor": first["next"]}).json()
    assert first["items"] + rest["items"] == everything["items"]
    assert kmeans["id"] in [i["id"] for i in everything["items"]]
    assert server.get("/v1/stats").json()["clusterings"] == len(everything["items"])


# ---- filters ------------------------------------------------------------------------------------


def test_filter_by_cluster_finds_the_videos_that_have_clips_in_it(server, kmeans):
    items = members(server, kmeans["id"])
    for c in kmeans["clusters"]:
        expected = {i["video_id"] for i in items if i["cluster"] == c["number"]}
        body = {"vector": [1.0] * DIM, "k": 1000, "group_by": "video", "filter": {"cluster": c["id"]}}
        hits = server.post("/v1/search", json=body).json()["items"]
        assert {h["video_id"] for h in hits} == expected


def test_filter_by_the_clustering_finds_all_that_are_in_it(server, kmeans):
    body = {"vector": [1.0] * DIM, "k": 1000, "group_by": "video", "filter": {"cluster": {"$prefix": kmeans["id"]}}}
    assert len(server.post("/v1/search", json=body).json()["items"]) == 151
    body["filter"] = {"$not": body["filter"]}
    assert server.post("/v1/search", json=body).json()["items"] == []


def test_filter_of_the_request_restricts_what_is_clustered(server, kmeans):
    part = cluster(server, k=2, filter={"cluster": {"$in": [kmeans["clusters"][0]["id"], kmeans["clusters"][1]["id"]]}})
    assert 0 < part["clips"] < 601 and part["clips_outside"] == 601 - part["clips"]


@pytest.mark.parametrize("filter, passes", [
    ({"clips.start_s": {"$gte": 2}}, lambda m: m["start_s"] >= 2),
    ({"clips.end_s": {"$lte": 2}}, lambda m: m["end_s"] <= 2),
])
def test_filter_by_a_clips_time_clusters_the_clips_that_pass(server, kmeans, filter, passes):
    wanted = {(m["video_id"], m["start_s"]) for m in members(server, kmeans["id"]) if passes(m)}
    part = members(server, cluster(server, k=2, filter=filter)["id"])
    assert 0 < len(wanted) < 601 and {(m["video_id"], m["start_s"]) for m in part} == wanted


# ---- videos come and go -------------------------------------------------------------------------


def test_video_says_in_which_clusterings_it_is(server, kmeans, clip):
    old = server.get(f"/v1/videos/{server.ids[0]}/clusters").json()["items"]
    mine = [i for i in old if i["clustering_id"] == kmeans["id"]]
    assert mine[0]["in"] and mine[0]["clusters"]
    new = server.upload(clip(901)).json()
    items = server.get(f"/v1/videos/{new['id']}/clusters").json()["items"]
    assert items and all(not i["in"] and i["clusters"] == [] for i in items)
    assert server.get(f"/v1/clusters/{kmeans['id']}").json()["clips_outside"] == 1
    assert server.delete(f"/v1/videos/{new['id']}").status_code == 204


def test_deleted_video_leaves_its_clusters_and_the_counts_stay_right(server):
    found = cluster(server, k=GROUPS, seed=9)
    gone = members(server, found["id"])[0]["video_id"]
    assert server.delete(f"/v1/videos/{gone}").status_code == 204
    left = members(server, found["id"])
    assert gone not in {i["video_id"] for i in left}
    now = server.get(f"/v1/clusters/{found['id']}").json()
    assert now["clips"] == sum(c["clips"] for c in now["clusters"]) == len(left) < found["clips"]
    assert now["clips_found"] == found["clips"]


# ---- exported ----

def exported(server, **params):
    answer = server.get("/v1/export", params={"model": "tiny-text", **params})
    assert answer.status_code == 200, answer.text
    return answer.content


def test_export_has_the_cluster_of_each_clip(server, kmeans):
    wanted = {m["clip_id"]: (m["cluster"], m["score"]) for m in members(server, kmeans["id"])}
    rows = [json.loads(line) for line in exported(server, format="jsonl", clustering=kmeans["id"]).splitlines()]
    assert len(rows) >= len(wanted) > 0
    for row in rows:
        cluster, score = wanted.get(row["id"], (None, None))
        assert row["cluster"] == cluster and (score is None) == (row["cluster_score"] is None)
        assert score is None or row["cluster_score"] == pytest.approx(score, abs=1e-4)
    table = parquet.read_table(io.BytesIO(exported(server, format="parquet", clustering=kmeans["id"])))
    assert table["cluster"].to_pylist() == [r["cluster"] for r in rows]
    assert table["cluster_score"].to_pylist() == [r["cluster_score"] for r in rows]
    labels = np.load(io.BytesIO(exported(server, format="labels", clustering=kmeans["id"])))
    assert labels.dtype == np.int32 and labels.tolist() == [-1 if r["cluster"] is None else r["cluster"] for r in rows]
    vectors = np.load(io.BytesIO(exported(server, format="npy")))
    assert np.array_equal(vectors, np.array([r["embedding"] for r in rows], np.float32))
    assert "cluster" not in json.loads(exported(server, format="jsonl").splitlines()[0])


def test_command_exports_the_same_labels(server, kmeans):
    done = subprocess.run([BINARY, "export", "--data", server.data, "--model", "tiny-text", "--format", "labels", "--clustering",
                           kmeans["id"]], capture_output=True, timeout=180, check=True)
    assert done.stdout == exported(server, format="labels", clustering=kmeans["id"])


@pytest.mark.parametrize("params, status, kind", [
    ({"format": "labels"}, 400, "bad-parameter"), ({"format": "npy", "clustering": "c" + "0" * 24}, 400, "bad-parameter"),
    ({"format": "jsonl", "clustering": "c" + "0" * 24}, 404, "not-found"), ({"format": "labels", "clustering": "x"}, 404, "not-found")])
def test_wrong_clustering_of_an_export_is_refused(server, params, status, kind):
    assert_problem(server.get("/v1/export", params=params), status, kind)


def test_clusterings_survive_a_restart(server, kmeans):
    before = members(server, kmeans["id"])
    assert server.stop() == 0
    server.start()
    assert members(server, kmeans["id"]) == before
    body = {"vector": [1.0] * DIM, "k": 10, "filter": {"cluster": kmeans["clusters"][0]["id"]}}
    assert len(server.post("/v1/search", json=body).json()["items"]) == 10


def test_deleted_clustering_is_gone_with_its_members_and_its_filter(server):
    found = cluster(server, k=3)
    assert server.delete(f"/v1/clusters/{found['id']}").status_code == 204
    for path in (f"/v1/clusters/{found['id']}", f"/v1/clusters/{found['id']}/members"):
        assert_problem(server.get(path), 404, "not-found", "clustering")
    assert_problem(server.delete(f"/v1/clusters/{found['id']}"), 404, "not-found")
    body = {"vector": [1.0] * DIM, "filter": {"cluster": found["clusters"][0]["id"]}}
    wait_until(lambda: server.post("/v1/search", json=body).json()["items"] == [])


# ---- hostile requests ---------------------------------------------------------------------------


@pytest.mark.parametrize("body, word", [
    ({"k": 0}, "k"), ({"k": 4097}, "k"), ({"k": 2.5}, "k"), ({"k": "3"}, "k"), ({"k": None}, "k"),
    ({"method": "magic"}, "method"), ({"method": 3}, "method"), ({"restarts": 101}, "restarts"),
    ({"iterations": 0}, "iterations"), ({"seed": -1}, "seed"), ({"max_k": 1}, "max_k"),
    ({"method": "density", "k": 3}, "k"), ({"min_cluster_size": 5}, "min_cluster_size"),
    ({"method": "density", "min_cluster_size": 1}, "min_cluster_size"),
    ({"method": "density", "min_samples": 257}, "min_samples"), ({"name": ""}, "name"),
    ({"name": "a" * 201}, "name"), ({"name": "a\u0007"}, "name"), ({"concepts": []}, "concepts"),
    ({"concepts": ["a"] * 1001}, "concepts"), ({"concepts": [3]}, "concepts"), ({"concepts": ["a" * 201]}, "concepts"),
])
def test_wrong_value_is_refused_by_name(server, body, word):
    assert_problem(server.post("/v1/clusters", json=body), 400, "bad-parameter", word)


def test_unknown_field_filter_and_model_are_refused(server):
    assert_problem(server.post("/v1/clusters", json={"kk": 3}), 400, "unknown-parameter", "kk")
    assert server.post("/v1/clusters", json={"filter": {"nothing": 3}}).status_code == 422
    assert_problem(server.post("/v1/clusters", json={"model": "none"}), 422, "wrong-space")


@pytest.mark.parametrize("query", ["cursor=x", "cursor=1-", "cursor=-5", "cursor=99999999999-1", "cluster=-1", "cluster=a",
                                   "limit=0", "limit=5001", "outliers=maybe", "cursor=1-99999999999999999"])
def test_wrong_page_is_refused(server, kmeans, query):
    assert server.get(f"/v1/clusters/{kmeans['id']}/members?{query}").status_code == 400


@pytest.mark.parametrize("name", ["c", "c" + "0" * 24, "'; DROP TABLE clusterings; --", "j" + "0" * 24, "%2e%2e"])
def test_clustering_that_is_not_there_is_a_404(server, name):
    assert server.get(f"/v1/clusters/{name}").status_code == 404
    assert server.delete(f"/v1/clusters/{name}").status_code == 404


def test_nothing_to_cluster_fails_the_job_and_says_so(server):
    job = run_job(server, {"k": 2, "filter": {"filename": "no such file"}})
    assert job["state"] == "failed" and "pass the filter" in job["problem"]["detail"]


def test_job_that_needs_too_much_memory_fails_and_says_how_much(start, clip, vectors):
    small = start("--cluster-memory", "100k", model="tiny")
    small.upload(clip(902))
    assert small.stop() == 0
    fill(small.data, vectors[0])
    small.start()
    job = run_job(small, {"k": 2})
    assert job["state"] == "failed" and "--cluster-memory" in job["problem"]["detail"]


# ---- a job that is broken off -------------------------------------------------------------------

LONG = {"k": 200, "restarts": 100, "iterations": 1000, "seed": 1}


@pytest.fixture(scope="module")
def busy(start, clip):
    server = start(model="tiny")
    server.upload(clip(903))
    assert server.stop() == 0
    random = np.random.RandomState(1)
    noise = random.standard_normal((20000, DIM))
    fill(server.data, noise / np.linalg.norm(noise, axis=1, keepdims=True), clips_each=100)
    return server.start()


def begin(server, body):
    job = server.post("/v1/clusters", json=body).json()["id"]
    wait_until(lambda: server.get(f"/v1/jobs/{job}").json()["done"] > 0)
    return job


def test_cancelled_job_ends_and_leaves_nothing(busy):
    job = begin(busy, LONG)
    assert busy.delete(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    assert cluster(busy, k=2, restarts=1)["clips"] == 20001  # the coordinator is free
    assert [i["n_clusters"] for i in busy.get("/v1/clusters").json()["items"]] == [2]


def test_job_begins_anew_after_kill_9_and_a_stop(busy):
    job = begin(busy, LONG)
    busy.kill()
    busy.start()
    wait_until(lambda: busy.get(f"/v1/jobs/{job}").json()["done"] > 0)
    assert busy.stop() == 0
    busy.start()
    wait_until(lambda: busy.get(f"/v1/jobs/{job}").json()["done"] > 0)
    assert busy.delete(f"/v1/jobs/{job}").status_code == 200
    assert ended(busy, job)["state"] == "cancelled"
