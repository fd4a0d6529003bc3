"""Filters over HTTP: in lists and searches, under changes, and what is refused. What a filter means is
compared with plain Python in tests/filter."""

import json
import threading

import numpy as np
import pytest
from conftest import assert_problem, wait_until

CAMERAS = ["front", "rear", "front", "left", "front", "rear"]


@pytest.fixture(scope="module")
def videos(server, clip):
    """Six videos, each of two clips, oldest first."""
    return [server.upload(clip(seed, seconds=4), clip="fixed:2", filename=f"tour/{i}.mp4",
                          metadata=json.dumps({"camera": CAMERAS[i], "n": i, "tags": ["a", f"t{i}"],
                                               "a.b": i % 2 == 0})).json()
            for i, seed in enumerate(range(120, 126))]


@pytest.fixture(scope="module")
def vector(server, videos):
    dim = len(server.get(f"/v1/videos/{videos[0]['id']}/vectors").json()["items"][0]["vector"])
    return np.arange(1.0, dim + 1).tolist()


def listed(server, wanted, **params):
    answer = server.get("/v1/videos", params={"filter": json.dumps(wanted), **params})
    assert answer.status_code == 200, answer.text
    return [video["metadata"]["n"] for video in answer.json()["items"]]


def found(server, **query):
    answer = server.post("/v1/search", json={"k": 100, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


CASES = [
    ({}, [5, 4, 3, 2, 1, 0]),
    ({"metadata.camera": "front"}, [4, 2, 0]),
    ({"metadata.camera": {"$ne": "front"}}, [5, 3, 1]),
    ({"metadata.n": {"$gte": 2, "$lt": 4.5}}, [4, 3, 2]),
    ({"metadata.tags": "t3"}, [3]),
    ({"metadata.tags": {"$contains": "t3"}}, [3]),
    ({"metadata.a\\.b": True}, [4, 2, 0]),
    ({"metadata.missing": None}, [5, 4, 3, 2, 1, 0]),
    ({"metadata.missing": {"$exists": True}}, []),
    ({"filename": {"$contains": "TOUR/1"}}, [1]),
    ({"filename": {"$prefix": "tour/"}, "$not": {"metadata.n": {"$in": [0, 1, 2]}}}, [5, 4, 3]),
    ({"$or": [{"metadata.n": 1}, {"$and": [{"metadata.camera": "rear"}, {"metadata.n": {"$gt": 4}}]}]}, [5, 1]),
    ({"media.duration_s": {"$gte": 3.9}, "media.width": {"$gt": 1}, "media.codec": "h264"}, [5, 4, 3, 2, 1, 0]),
    ({"duplicate.of": None, "duplicate.mirrored": False, "decode.path": "cpu"}, [5, 4, 3, 2, 1, 0]),
    ({"created_at": {"$gte": "2020-01-01", "$lt": "2999-01-01T00:00:00Z"}}, [5, 4, 3, 2, 1, 0]),
    ({"created_at": {"$lt": "2020-01-01"}}, []),
]


@pytest.mark.parametrize("wanted, expected", CASES, ids=lambda v: json.dumps(v)[:50])
def test_list_and_search_return_what_passes(server, videos, vector, wanted, expected):
    assert listed(server, wanted) == expected
    hits = found(server, vector=vector, filter=wanted)
    assert sorted(hit["metadata"]["n"] for hit in hits) == sorted(expected)


def test_every_shown_value_is_found_by_its_own_filter(server, videos):
    """A field of a filter is named as the video shows it, and has the value that it shows."""
    for video in videos:
        for field in ("id", "filename", "bytes", "created_at", "media.container", "media.codec", "media.width",
                      "media.height", "media.fps", "media.duration_s", "media.sample_aspect_ratio", "media.rotation", "media.hdr",
                      "duplicate.verdict", "duplicate.of",
                      "duplicate.score", "duplicate.share", "duplicate.share_of_new", "duplicate.share_of_stored",
                      "duplicate.offset_s", "duplicate.mirrored", "decode.path", "metadata.n", "clips.start_s", "clips.end_s"):
            value = video
            for step in field.split("."):
                value = value[1][step] if isinstance(value, list) else value[step]
            assert video["metadata"]["n"] in listed(server, {field: value}), (field, value)


def test_list_parameters_and_filter_hold_together(server, videos):
    assert listed(server, {"metadata.camera": "front"}, filename="R/2") == [2]
    assert listed(server, {"metadata.camera": "front"}, verdict="copy") == []
    page = server.get("/v1/videos", params={"filter": '{"metadata.camera":"front"}', "limit": 2, "count": "true"})
    assert page.json()["total"] == 3 and [v["metadata"]["n"] for v in page.json()["items"]] == [4, 2]
    assert listed(server, {"metadata.camera": "front"}, limit=2, cursor=page.json()["next"], count="true") == [0]
    last = server.get("/v1/videos", params={"filter": '{"metadata.camera":"front"}', "limit": 3}).json()
    assert last["next"] is None


def test_k_hits_come_whenever_that_many_pass(server, vector):
    """In the order of the search without the filter."""
    query = {"vector": vector, "group_by": "clip"}
    everything = found(server, **query)
    fronts = [hit["clip_id"] for hit in everything if hit["metadata"]["camera"] == "front"]
    assert len(fronts) == 6
    for k in (1, 3, 6):
        hits = found(server, **{**query, "k": k}, filter={"metadata.camera": "front"})
        assert [hit["clip_id"] for hit in hits] == fronts[:k]


@pytest.mark.parametrize("wanted, start_s, numbers", [
    ({"clips.start_s": {"$gte": 2}}, 2, [0, 1, 2, 3, 4, 5]),
    ({"clips.end_s": {"$lte": 2.5}}, 0, [0, 1, 2, 3, 4, 5]),
    ({"$not": {"clips.start_s": 0}, "metadata.n": {"$in": [1, 4]}}, 2, [1, 4]),
    ({"clips.start_s": {"$lt": 2}, "filename": {"$prefix": "tour/"}, "metadata.camera": "front"}, 0, [0, 2, 4]),
    ({"clips.start_s": {"$gt": 100}}, None, []),
])
def test_time_within_the_video_selects_clips_in_searches_and_their_videos_in_lists(
        server, videos, vector, wanted, start_s, numbers):
    """Each video has a clip from 0 to 2 s and one from 2 to 4 s."""
    assert listed(server, wanted) == numbers[::-1]
    everything = [hit for hit in found(server, vector=vector, group_by="clip") if hit["start_s"] == start_s]
    expected = [hit["clip_id"] for hit in everything if hit["metadata"]["n"] in numbers]
    assert [hit["clip_id"] for hit in found(server, vector=vector, group_by="clip", filter=wanted)] == expected
    hits = found(server, vector=vector, filter=wanted)
    assert [hit["clip_id"] for hit in hits] == expected and {hit["start_s"] for hit in hits} <= {start_s}
    for k in range(1, len(numbers) + 1):
        assert [hit["clip_id"] for hit in found(server, vector=vector, filter=wanted, k=k)] == expected[:k]


def test_filter_of_clips_of_one_query_leaves_the_others_alone(server, videos, vector):
    answer = server.post("/v1/search", json={
        "k": 100, "group_by": "clip", "explain": True, "filter": {"clips.start_s": {"$gte": 2}},
        "queries": [{"vector": vector}, {"vector": vector, "filter": {}}, {"video_id": videos[0]["id"]}]})
    results = answer.json()["results"]
    assert [len(result["items"]) for result in results] == [6, 12, 5]
    assert [result["explain"].get("filter_clips") for result in results] == [6, None, 6]
    assert [result["explain"].get("filter_videos") for result in results] == [None, 6, None]


def test_queries_have_filters_of_their_own_or_the_common_one(server, videos, vector):
    answer = server.post("/v1/search", json={
        "k": 100, "filter": {"metadata.camera": "rear"},
        "queries": [{"vector": vector}, {"vector": vector, "filter": {"metadata.n": 0}},
                    {"video_id": videos[1]["id"]}, {"vector": vector, "filter": {}}]})
    assert answer.status_code == 200, answer.text
    numbers = [sorted(hit["metadata"]["n"] for hit in result["items"]) for result in answer.json()["results"]]
    assert numbers == [[1, 5], [0], [5], [0, 1, 2, 3, 4, 5]]


def test_file_search_takes_a_filter_as_a_form_field(server, videos, clip):
    with clip(120, seconds=4).open("rb") as file:
        answer = server.post("/v1/search", files={"file": file}, data={"filter": '{"metadata.n": {"$gt": 3}}'})
    assert sorted(hit["metadata"]["n"] for hit in answer.json()["items"]) == [4, 5]
    with clip(120, seconds=4).open("rb") as file:
        answer = server.post("/v1/search", files={"file": file}, data={"filter": '{"n": 3}'})
    assert_problem(answer, 422, "bad-filter", "n")


def test_filters_follow_patches_and_deletes_at_once(server, clip):
    stored = server.upload(clip(130), metadata='{"n": 130, "who": "ann"}').json()
    address = f"/v1/videos/{stored['id']}"
    assert listed(server, {"metadata.who": "ann"}) == [130]
    server.patch(address, json={"metadata": {"who": "bob"}, "filename": "renamed.mp4"})
    assert listed(server, {"metadata.who": "ann"}) == []
    assert listed(server, {"metadata.who": "bob", "filename": "renamed.mp4"}) == [130]
    server.delete(address)
    assert listed(server, {"metadata.who": "bob"}) == []
    again = server.upload(clip(130), metadata='{"n": 131}').json()
    assert listed(server, {"id": again["id"]}) == [131]
    server.delete(address)


def test_verdict_that_changes_when_the_original_goes_is_found(server, clip, tmp_path):
    """The delete changes the copy too, in the same transaction."""
    first = server.upload(clip(140)).json()
    content = clip(140).read_bytes()
    (tmp_path / "copy.mp4").write_bytes(content + b"\0\0\0\x08free")
    copy = server.upload(tmp_path / "copy.mp4", metadata='{"n": 141}').json()
    assert copy["duplicate"]["of"] == first["id"]
    assert listed(server, {"duplicate.of": first["id"]}) == [141]
    server.delete(f"/v1/videos/{first['id']}")
    assert listed(server, {"duplicate.of": first["id"]}) == []
    server.delete(f"/v1/videos/{copy['id']}")


def test_filtered_searches_during_changes_return_only_what_passes(server, videos, vector):
    """Metadata that a hit shows may be newer than the filter saw, so each video keeps to one camera here."""
    problems, stop = [], threading.Event()
    address = f"/v1/videos/{videos[0]['id']}"

    def change():
        n = 0
        while not stop.is_set():
            n += 1
            if server.patch(address, json={"metadata": {"round": n}}).status_code != 200:
                problems.append("patch")
            if n not in [v["metadata"].get("round") for v in server.get(
                    "/v1/videos", params={"filter": json.dumps({"metadata.round": n})}).json()["items"]]:
                problems.append(f"round {n} is not found")

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(40):
        hits = found(server, vector=vector, filter={"metadata.camera": "front"})
        if sorted(hit["metadata"]["n"] for hit in hits) != [0, 2, 4]:
            problems.append(hits)
    stop.set()
    thread.join()
    server.patch(address, json={"metadata": {"round": None}})
    assert problems == []


def test_filters_after_a_restart_find_the_same(start, clip):
    server = start()
    server.upload(clip(150), metadata='{"n": 1, "a": [1, {"b": "x"}]}')
    server.upload(clip(151), metadata='{"n": 2}')
    for _ in range(2):
        assert listed(server, {"metadata.a.b": "x"}) == [1]
        assert listed(server, {"metadata.a": {"$exists": False}}) == [2]
        server.kill()
        server.start()


# ---- indexes ----

def declare(server, *fields):
    answer = server.put("/v1/metadata-indexes", json={"fields": list(fields)})
    assert answer.status_code == 200, answer.text
    assert [index["field"] for index in answer.json()["items"]] == sorted(set(fields))
    wait_until(lambda: all(index["state"] == "ready" for index in indexes(server)), "an index is not built")


def indexes(server):
    return server.get("/v1/metadata-indexes").json()["items"]


def test_indexed_fields_select_what_unindexed_ones_do(server, videos):
    """Before, with one index, with all, and without them again; what comes and goes meanwhile counts."""
    everything = ["metadata.camera", "metadata.n", "metadata.tags", "metadata.a\\.b", "metadata.missing"]
    for fields in ([], everything[:1], everything, everything[2:], []):
        declare(server, *fields)
        for wanted, expected in CASES:
            assert listed(server, wanted) == expected, (fields, wanted)
        if fields:
            assert all(index["videos"] == len(videos) and index["missing"] == 0 for index in indexes(server))


def test_indexed_field_follows_changes(server, videos, clip):
    declare(server, "metadata.mood")
    stored = server.upload(clip(131), metadata='{"n": 131, "mood": "calm"}').json()
    address = f"/v1/videos/{stored['id']}"
    assert listed(server, {"metadata.mood": "calm"}) == [131]
    server.patch(address, json={"metadata": {"mood": "x" * 5000}})
    assert listed(server, {"metadata.mood": {"$contains": "XXX"}}) == [131]
    assert [index["long_values"] for index in indexes(server)] == [1]
    server.patch(address, json={"metadata": {"mood": None}})
    assert listed(server, {"metadata.mood": {"$exists": True}}) == []
    server.delete(address)
    declare(server)


def test_indexes_survive_a_restart(start, clip):
    server = start()
    server.upload(clip(152), metadata='{"n": 1, "a": "x"}')
    declare(server, "metadata.a", "metadata.b.c")
    server.kill()
    server.start()
    assert [(index["field"], index["state"], index["videos"]) for index in indexes(server)] == [
        ("metadata.a", "ready", 1), ("metadata.b.c", "ready", 1)]
    assert listed(server, {"metadata.a": "x", "metadata.b.c": None}) == [1]


@pytest.mark.parametrize("fields, place, word", [
    (["metadata.a", "camera"], "/fields/1", "camera"), (["bytes"], "/fields/0", "index"),
    ([1], "/fields/0", "string"), (["metadata."], "/fields/0", "empty"),
    (["metadata." + "x" * 300], "/fields/0", "256")], ids=str)
def test_bad_index_names_the_place(server, fields, place, word):
    body = assert_problem(server.put("/v1/metadata-indexes", json={"fields": fields}), 422, "bad-filter", word)
    assert body["pointer"] == place
    assert indexes(server) == []


@pytest.mark.parametrize("body", [{}, {"fields": "metadata.a"}, {"fields": [f"metadata.{n}" for n in range(65)]},
                                  {"fields": [], "more": 1}], ids=lambda v: str(v)[:30])
def test_bad_list_of_indexes_is_refused(server, body):
    assert server.put("/v1/metadata-indexes", json=body).status_code == 400


# ---- what is refused ----

BAD = [
    ({"camera": 1}, "/camera", "metadata.NAME"),
    ({"$or": [{"bytes": 1}, {"media.fps": "x"}]}, "/$or/1/media.fps", "number"),
    ({"metadata.a": {"$near": 1}}, "/metadata.a/$near", "$near"),
    ({"created_at": {"$gte": "yesterday"}}, "/created_at/$gte", "RFC 3339"),
    ({"metadata.a/b": [1]}, "/metadata.a~1b", "$in"),
    ({"$or": [{"bytes": n} for n in range(30_000)]}, "/$or", "64"),
    ({"metadata.a": {"$in": ["x"] * 30_000}}, "/metadata.a/$in", "1000"),
    ({"metadata.\u0001\u202e": {"$gt": True}}, "/metadata.\u0001\u202e/$gt", "order"),
    ({"metadata.a": {"$not": {"$not": {"$not": {}}}}}, "/metadata.a/$not/$not/$not", "operator"),
]


@pytest.mark.parametrize("wanted, place, word", BAD, ids=lambda v: str(v)[:30])
def test_bad_filter_names_the_place(server, vector, wanted, place, word):
    body = assert_problem(server.post("/v1/search", json={"vector": vector, "filter": wanted}), 422,
                          "bad-filter", word)
    assert body["pointer"] == "/filter" + place
    several = {"queries": [{"vector": vector}, {"vector": vector, "filter": wanted}]}
    body = assert_problem(server.post("/v1/search", json=several), 422, "bad-filter", word)
    assert body["pointer"] == "/queries/1/filter" + place
    if len(str(wanted)) < 1000:
        body = assert_problem(server.get("/v1/videos", params={"filter": json.dumps(wanted)}), 422, "bad-filter")
        assert body["pointer"] == place


@pytest.mark.parametrize("text", ['{"bytes": 1e999}', '{"bytes": NaN}', '{"bytes": 1', "[]", '"x"', "", "\x00",
                                  '{"bytes": 1, "bytes": 2}', '{"bytes": 99999999999999999999}',
                                  '{"a":' * 100 + "1" + "}" * 100, '{"metadata.a": "\\ud800"}', '{"\\u0000": 1}'])
def test_filter_that_is_no_json_object_is_refused(server, text):
    answer = server.get("/v1/videos", params={"filter": text})
    assert answer.status_code == 400, answer.text
    answer = server.post("/v1/search", data=f'{{"vector": [1,1,1,1,1,1,1,1], "filter": {text}}}'.encode(),
                         headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text


def test_million_conditions_are_refused_quickly(server):
    text = '{"vector": [1], "filter": {"$or": [' + ",".join(['{"a":1}'] * 1_000_000) + "]}}"
    answer = server.post("/v1/search", data=text, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 413), answer.text
