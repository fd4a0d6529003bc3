"""Searching by what is stored, by a vector, by a file."""

import numpy as np
import pytest
import requests
from conftest import assert_problem


@pytest.fixture(scope="module")
def videos(server, clip):
    made = [server.upload(clip(seed, seconds=4), clip="fixed:2", metadata=f'{{"n":{seed}}}').json()
            for seed in range(20, 26)]
    return {video["id"]: video for video in made}


@pytest.fixture(scope="module")
def vectors(server, videos):
    """Clip id → vector, read back from the server."""
    return {item["clip_id"]: np.array(item["vector"])
            for id in videos for item in server.get(f"/v1/videos/{id}/vectors").json()["items"]}


def search(server, **query):
    answer = server.post("/v1/search", json=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_vectors_are_unit_length_and_one_per_clip(server, videos, vectors):
    assert len(vectors) == 12
    for vector in vectors.values():
        assert abs(np.linalg.norm(vector) - 1) < 1e-5


def test_clip_search_equals_brute_force(server, videos, vectors):
    """Every other clip, in the order of the inner products that numpy computes."""
    asked = next(iter(vectors))
    hits = search(server, clip_id=asked, k=100, group_by="clip")
    expected = {clip: float(vectors[asked] @ v) for clip, v in vectors.items() if clip != asked}
    assert {hit["clip_id"] for hit in hits} == set(expected)
    for hit in hits:
        assert hit["score"] == pytest.approx(expected[hit["clip_id"]], abs=1e-5)
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert [hit["rank"] for hit in hits] == list(range(1, len(hits) + 1))


def test_video_search_gives_each_other_video_once_with_its_best(server, videos, vectors):
    asked = next(iter(videos))
    mine = [vectors[f"{asked}.0"], vectors[f"{asked}.1"]]
    hits = search(server, video_id=asked, k=100)
    assert {hit["video_id"] for hit in hits} == set(videos) - {asked}
    for hit in hits:
        best = max(float(a @ vectors[f"{hit['video_id']}.{i}"]) for a in mine for i in (0, 1))
        assert hit["score"] == pytest.approx(best, abs=1e-5)
        assert hit["filename"] == videos[hit["video_id"]]["filename"]
        assert hit["metadata"] == videos[hit["video_id"]]["metadata"]


def test_vector_search_finds_the_clip_it_came_from(server, vectors, videos):
    for clip_id, vector in vectors.items():
        hit = search(server, vector=(vector * 3).tolist(), k=1, group_by="clip")[0]
        assert hit["score"] == pytest.approx(1, abs=1e-5)
        span = next(c for c in videos[hit["video_id"]]["clips"] if c["id"] == hit["clip_id"])
        assert (hit["start_s"], hit["end_s"]) == (span["start_s"], span["end_s"])
        assert vectors[hit["clip_id"]] @ vector > 0.9999


def test_file_search_finds_the_stored_video_and_stores_nothing(server, videos, clip):
    whole = server.upload(clip(27)).json()
    before = server.get("/v1/stats").json()
    with clip(27).open("rb") as file:
        answer = server.post("/v1/search", files={"file": file}, data={"k": "2", "min_score": "0.99"})
    server.delete(f"/v1/videos/{whole['id']}")
    assert answer.status_code == 200, answer.text
    best, = answer.json()["items"]
    assert best["video_id"] == whole["id"] and best["score"] == pytest.approx(1, abs=1e-5)
    after = server.get("/v1/stats").json()
    assert after["videos"] == before["videos"] - 1  # the one deleted above
    assert list((server.data / "incoming").iterdir()) == []


def test_k_and_min_score_bound_the_hits(server, videos):
    asked = next(iter(videos))
    hits = search(server, video_id=asked, k=100)
    assert len(search(server, video_id=asked, k=2)) == 2
    middle = (hits[1]["score"] + hits[2]["score"]) / 2
    assert len(search(server, video_id=asked, k=100, min_score=middle)) == 2


def test_model_of_the_server_is_accepted_by_name(server, videos):
    asked = next(iter(videos))
    assert search(server, video_id=asked, model="tiny") == search(server, video_id=asked)


def test_same_search_gives_the_same_answer_every_time(server, videos):
    asked = next(iter(videos))
    first = search(server, video_id=asked, k=100)
    for _ in range(5):
        assert search(server, video_id=asked, k=100) == first


# ---- What is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("query, status, name, word", [
    ({}, 400, "missing-parameter", "exactly one"),
    ({"video_id": "a", "clip_id": "b"}, 400, "bad-parameter", "exactly one"),
    ({"video_id": "vnone"}, 404, "not-found", "video"),
    ({"clip_id": "vnone.0"}, 404, "not-found", "clip"),
    ({"clip_id": "nonsense"}, 404, "not-found", "clip"),
    ({"video_id": ""}, 404, "not-found", "video"),
    ({"video_id": "v" + "0" * 5000}, 404, "not-found", "video"),
    ({"video_id": 5}, 400, "bad-parameter", "video_id must be a string"),
    ({"vector": []}, 400, "bad-parameter", "vector"),
    ({"vector": "abc"}, 400, "bad-parameter", "vector"),
    ({"vector": [1, "2"]}, 400, "bad-parameter", "vector[1]"),
    ({"vector": [1, None]}, 400, "bad-parameter", "vector[1]"),
    ({"vector": [True]}, 400, "bad-parameter", "vector[0]"),
    ({"vector": [1e39] * 64}, 400, "bad-parameter", "vector[0]"),
    ({"vector": [0] * 64}, 400, "bad-parameter", "not all zeros"),
    ({"vector": [1] * 63}, 422, "wrong-space", "64"),
    ({"vector": [1] * 64, "k": 0}, 400, "bad-parameter", "from 1 to 1000"),
    ({"vector": [1] * 64, "k": 10**9}, 400, "bad-parameter", "from 1 to 1000"),
    ({"vector": [1] * 64, "k": 1.5}, 400, "bad-parameter", "whole number"),
    ({"vector": [1] * 64, "k": "5"}, 400, "bad-parameter", "whole number"),
    ({"vector": [1] * 64, "min_score": 2}, 400, "bad-parameter", "min_score"),
    ({"vector": [1] * 64, "group_by": "file"}, 400, "bad-parameter", "clip or video"),
    ({"vector": [1] * 64, "model": "other"}, 422, "wrong-space", "other"),
    ({"vector": [1] * 64, "limit": 5}, 400, "unknown-parameter", "limit"),
])
def test_wrong_query_is_refused_with_its_reason(server, query, status, name, word):
    assert_problem(server.post("/v1/search", json=query), status, name, word)


@pytest.mark.parametrize("body, word", [
    (b"", "too early"), (b"{", "too early"), (b"nonsense", "line 1"), (b"[]", "object"),
    (b'"x"', "object"), (b'{"vector":[NaN]}', "line 1, column"), (b'{"vector":[Infinity]}', "line 1"),
    (b'{"vector":[1e400]}', "too large"), (b'{"k":1}{"k":2}', "follows the end"),
    (b'{"k":1,"k":2}', "twice"), (b'{"video_id":"a\xff"}', "UTF-8"), (b'{"video_id":"a\\u0000"}', "U+0000"),
    (b'{"a":' * 100 + b"1" + b"}" * 100, "64 levels"), (b"[" * 500_000, "64 levels"),
    (b'{"queries":[' + b"{}," * 140_000 + b"{}]}", "262144 values"),
])
def test_broken_json_is_refused_with_its_place(server, body, word):
    answer = server.post("/v1/search", data=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, 400, "bad-json", word)


def test_brackets_inside_strings_are_not_depth(server):
    answer = server.post("/v1/search", json={"video_id": "\\\"[{" * 100})
    assert_problem(answer, 404, "not-found")


def test_json_over_the_limit_is_refused(server):
    answer = server.post("/v1/search", data=b" " * (1 << 20) + b"{}",
                         headers={"Content-Type": "application/json"})
    assert_problem(answer, 413, "body-too-large", "1048576")


def test_chunked_json_over_the_limit_is_refused(server):
    answer = server.post("/v1/search", data=(b" " * 65536 for _ in range(20)),
                         headers={"Content-Type": "application/json"})
    assert_problem(answer, 413, "body-too-large")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_other_content_type_is_refused_with_the_right_one(server, content_type):
    answer = server.post("/v1/search", data=b"{}", headers={"Content-Type": content_type})
    assert_problem(answer, 415, "bad-content-type", "application/json")


@pytest.mark.parametrize("field, value, word", [
    ("k", "0", "from 1 to 1000"), ("k", "1e2", "whole number"), ("k", "", "whole number"),
    ("min_score", "nan", "min_score"), ("min_score", "0x1", "min_score"), ("group_by", "x", "clip or video"),
])
def test_wrong_form_field_is_refused_with_its_reason(server, clip, field, value, word):
    with clip(22, seconds=4).open("rb") as file:
        answer = requests.post(f"{server.url}/v1/search", files={"file": file}, data={field: value})
    assert_problem(answer, 400, "bad-parameter", word)


def test_file_that_is_no_video_is_refused(server):
    answer = server.post("/v1/search", files={"file": ("a.mp4", b"text " * 100)})
    assert_problem(answer, 415, "media-unsupported")


def unit(vector):
    return vector / np.linalg.norm(vector)


def of_video(vectors, video):
    """The direction of the mean of a video's clips."""
    return unit(sum(v for clip, v in vectors.items() if clip.startswith(f"{video}.")))


def clips_of(videos):
    return {f"{video}.{i}" for video in videos for i in (0, 1)}


EXAMPLES = {
    "like alone": (None, [0, 1], [], "mean"),
    "like and unlike": (None, [0, 1], [2], "mean"),
    "a vector with both": (3, [0], [1, 2], "mean"),
    "a vector with unlike": (3, [], [1], "mean"),
    "Rocchio": (3, [0, 1], [2], "rocchio"),
    "Rocchio without a subject": (None, [0, 1], [2], "rocchio"),
}


@pytest.mark.parametrize("case", EXAMPLES)
def test_search_with_examples_equals_brute_force(server, videos, vectors, case):
    """The documented formulas, computed by numpy."""
    subject, like, unlike, combine = EXAMPLES[case]
    ids = list(videos)
    good, bad = [of_video(vectors, ids[i]) for i in like], [of_video(vectors, ids[i]) for i in unlike]
    query = {"like": [ids[i] for i in like], "unlike": [ids[i] for i in unlike], "combine": combine}
    own = [] if subject is None else [unit(of_video(vectors, ids[subject]) + 0.1)]
    if own:
        query["vector"] = own[0].tolist()
    minus = np.mean(bad, axis=0) if bad else 0
    if combine == "mean":
        wanted = np.mean(own + good, axis=0) - minus
    else:
        wanted = np.mean(own or good, axis=0) + 0.75 * np.mean(good, axis=0) - 0.15 * minus
    hits = search(server, **query, k=100, group_by="clip")
    expected = {clip: float(unit(wanted) @ v) for clip, v in vectors.items()
                if clip not in clips_of(ids[i] for i in like + unlike)}
    assert {hit["clip_id"] for hit in hits} == set(expected)
    for hit in hits:
        assert hit["score"] == pytest.approx(expected[hit["clip_id"]], abs=1e-5)


def test_search_by_a_video_with_a_clip_as_example_leaves_out_both(server, videos):
    one, other, *_ = videos
    hits = search(server, video_id=one, like=[f"{other}.1"], k=100, group_by="clip")
    assert {hit["clip_id"] for hit in hits} == clips_of(videos) - clips_of([one]) - {f"{other}.1"}


def test_examples_in_several_queries_belong_to_their_own_query(server, videos):
    one, other, *_ = videos
    answer = server.post("/v1/search", json={"k": 100, "queries": [
        {"like": [one]}, {"video_id": other, "unlike": [one]}]}).json()
    first, second = answer["results"]
    assert first["items"] == search(server, like=[one], k=100)
    assert second["items"] == search(server, video_id=other, unlike=[one], k=100)


@pytest.mark.parametrize("query, status, name, word", [
    ({"unlike": ["v0"]}, 400, "missing-parameter", "like"),
    ({"like": []}, 400, "missing-parameter", "like"),
    ({"like": "v0"}, 400, "bad-parameter", "like must be an array"),
    ({"like": ["v0"] * 101}, 400, "bad-parameter", "at most 100"),
    ({"like": [3]}, 400, "bad-parameter", "like[0] must be a string"),
    ({"like": ["v0"]}, 404, "not-found", "like[0]"),
    ({"like": ["v0"], "combine": "max"}, 400, "bad-parameter", "mean or rocchio"),
    ({"queries": [{"like": ["v0"]}]}, 404, "not-found", "like[0]"),
])
def test_wrong_examples_are_refused_with_their_place(server, videos, query, status, name, word):
    answer = server.post("/v1/search", json=query)
    assert_problem(answer, status, name, word)


def test_examples_that_cancel_each_other_are_refused(server, videos):
    one, *_ = videos
    answer = server.post("/v1/search", json={"like": [one], "unlike": [one]})
    assert_problem(answer, 400, "bad-request", "cancel each other")


def pages(server, **query):
    """All pages of a search: lists of hits."""
    cursor, found = None, []
    while True:
        answer = server.post("/v1/search", json=query | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found.append(body["items"])
        cursor = body["next"]
        if cursor is None:
            return found
        assert len(found) < 100


@pytest.mark.parametrize("group_by", ["clip", "video"])
@pytest.mark.parametrize("k", [1, 2, 3, 6, 12])
def test_pages_together_are_the_whole_answer(server, videos, vectors, group_by, k):
    vector = next(iter(vectors.values())).tolist()
    whole = search(server, vector=vector, k=100, group_by=group_by)
    found = pages(server, vector=vector, k=k, group_by=group_by)
    assert [hit for page in found for hit in page] == whole
    assert all(len(page) == k for page in found[:-1]) and 0 < len(found[-1]) <= k


def test_offset_leaves_out_the_first_hits(server, videos, vectors):
    vector = next(iter(vectors.values())).tolist()
    whole = search(server, vector=vector, k=100, group_by="clip")
    assert search(server, vector=vector, k=4, offset=3, group_by="clip") == whole[3:7]
    assert search(server, vector=vector, k=4, offset=50, group_by="clip") == []
    answer = server.get("/v1/search", params={"q": "a", "offset": -1})
    assert_problem(answer, 400, "bad-parameter", "offset")


@pytest.mark.parametrize("group_by", ["clip", "video"])
def test_page_after_an_insert_goes_on_where_the_first_ended(server, videos, vectors, clip, group_by):
    """A nearer video that comes between two pages moves no hit to another page."""
    vector = vectors[f"{next(iter(videos))}.0"].tolist()
    whole = search(server, vector=vector, k=100, group_by=group_by)
    first = server.post("/v1/search", json={"vector": vector, "k": 2, "group_by": group_by}).json()
    new = server.upload(clip(20, seconds=6), clip="fixed:2").json()
    rest = search(server, vector=vector, k=100, group_by=group_by, cursor=first["next"])
    now = search(server, vector=vector, k=100, group_by=group_by)
    server.delete(f"/v1/videos/{new['id']}")
    assert new["id"] in {hit["video_id"] for hit in now[:3]}
    old = [hit["clip_id"] for hit in first["items"] + rest if hit["video_id"] != new["id"]]
    assert old == [hit["clip_id"] for hit in whole]


def test_max_score_leaves_out_what_is_nearer(server, videos, vectors):
    vector = next(iter(vectors.values())).tolist()
    whole = search(server, vector=vector, k=100, group_by="clip")
    low, high = whole[8]["score"], whole[3]["score"]
    hits = search(server, vector=vector, k=100, group_by="clip", min_score=low, max_score=high)
    assert [hit["clip_id"] for hit in hits] == [hit["clip_id"] for hit in whole[3:9]]
    by_video = search(server, vector=vector, k=100, max_score=high)
    best = {}
    for hit in whole[3:]:
        best.setdefault(hit["video_id"], hit["clip_id"])
    assert {hit["video_id"]: hit["clip_id"] for hit in by_video} == best


@pytest.mark.parametrize("group_by", ["clip", "video"])
@pytest.mark.parametrize("subject", ["vector", "video_id"])
def test_histogram_counts_every_score(server, videos, vectors, group_by, subject):
    one = next(iter(videos))
    value = vectors[f"{one}.0"].tolist() if subject == "vector" else one
    body = server.post("/v1/search", json={subject: value, "k": 1, "group_by": group_by, "min_score": 0.9,
                                           "histogram": True}).json()
    asked = [vectors[f"{one}.0"]] if subject == "vector" else [vectors[f"{one}.{i}"] for i in (0, 1)]
    scores = {}
    for clip, v in vectors.items():
        video = clip.partition(".")[0]
        if subject == "video_id" and video == one:
            continue
        unit_of = clip if group_by == "clip" else video
        scores[unit_of] = max(scores.get(unit_of, -2), *(float(a @ v) for a in asked))
    counts = body["histogram"]
    assert len(counts) == 200 and sum(counts) == len(scores)
    for lowest in (-1, 0, 0.5, 0.8, 0.9):  # between bins, where no float32 rounding decides
        bin = round((lowest + 1) * 100)
        assert sum(counts[bin:]) == sum(score >= lowest for score in scores.values())


def test_explain_tells_what_the_search_did(server, videos, vectors):
    vector = next(iter(vectors.values())).tolist()
    body = server.post("/v1/search", json={"vector": vector, "k": 1, "explain": True}).json()
    told = body["explain"]
    assert told["model"] == body["model"]
    assert told["rows_scanned"] >= told["rows_rescored"] >= 1
    assert told["rows_on_gpu"] == 0
    assert all(told[name] >= 0 for name in ("encode_ms", "filter_ms", "index_ms", "catalog_ms", "histogram_ms"))
    assert "filter_videos" not in told
    told = server.post("/v1/search", json={"vector": vector, "explain": True,
                                           "filter": {"metadata.n": {"$lt": 23}}}).json()["explain"]
    assert told["filter_videos"] == 3 and told["filter_ms"] > 0
    assert "explain" not in server.post("/v1/search", json={"vector": vector}).json()
    answer = server.post("/v1/search", json={"explain": True, "queries": [{"vector": vector}] * 2}).json()
    assert all(result["explain"]["rows_scanned"] >= 1 for result in answer["results"])


@pytest.mark.parametrize("query, word", [
    ({"cursor": "x"}, "cursor"), ({"cursor": ""}, "cursor"), ({"cursor": "s3f800000-1-0"}, "cursor"),
    ({"cursor": "s7fc00000-1-1"}, "cursor"), ({"cursor": "s3f800000-1-2711"}, "cursor"),
    ({"cursor": "s3f800000-1-1 "}, "cursor"), ({"cursor": 5}, "string"),
    ({"cursor": "s3f800000-1-1", "offset": 1}, "not both"), ({"offset": 9995}, "10000"),
    ({"cursor": "s3f800000-1-2710"}, "10000"), ({"offset": 1.5}, "whole number"),
    ({"min_score": 0.5, "max_score": 0.4}, "max_score"), ({"max_score": 2}, "max_score"),
    ({"histogram": 1}, "true or false"), ({"explain": "yes"}, "true or false"),
])
def test_wrong_page_or_option_is_refused_with_its_reason(server, vectors, query, word):
    vector = next(iter(vectors.values())).tolist()
    answer = server.post("/v1/search", json={"vector": vector, "k": 6} | query)
    assert_problem(answer, 400, "bad-parameter", word)


def test_options_of_a_form_work_as_those_of_json(server, videos, clip):
    whole = server.upload(clip(27)).json()
    with clip(27).open("rb") as file:
        answer = server.post("/v1/search", files={"file": file},
                             data={"k": "1", "max_score": "0.99", "explain": "true", "histogram": "true"}).json()
    server.delete(f"/v1/videos/{whole['id']}")
    assert answer["items"][0]["video_id"] != whole["id"] and answer["items"][0]["score"] <= 0.99
    assert sum(answer["histogram"]) == len(videos) + 1 and answer["explain"] and answer["next"]
