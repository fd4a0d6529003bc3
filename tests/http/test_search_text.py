"""Searching by text, by several queries at once, and by address.

tiny-text is tiny with a text tower that knows seven words (tests/testmodel/make.py); its module, run
here by PyTorch, is the oracle for what a text's vector must be.
"""

import json

import numpy as np
import pytest
import torch
from conftest import assert_problem

WORDS = ["left", "right", "top", "bottom", "red", "green", "blue"]


@pytest.fixture(scope="module")
def server(start):
    return start(model="tiny-text")


@pytest.fixture(scope="module")
def videos(server, clip):
    made = [server.upload(clip(seed, seconds=4), clip="fixed:2").json() for seed in range(40, 46)]
    return {video["id"]: video for video in made}


@pytest.fixture(scope="module")
def vectors(server, videos):
    """Clip id → vector, read back from the server."""
    return {item["clip_id"]: np.array(item["vector"])
            for id in videos for item in server.get(f"/v1/videos/{id}/vectors").json()["items"]}


@pytest.fixture(scope="module")
def vector_of(tiny_model):
    tower = torch.jit.load(tiny_model / "tiny-text" / "text.pt")
    ids = {word: i for i, word in enumerate((tiny_model / "tiny-text" / "vocab.txt").read_text().split())}

    def embed(*words):
        tokens = [ids["[CLS]"], *(ids.get(word, ids["[UNK]"]) for word in words), ids["[SEP]"]]
        pad = 16 - len(tokens)
        return tower(torch.tensor([tokens + [0] * pad]),
                     torch.tensor([[1] * len(tokens) + [0] * pad]))[0].numpy()

    return embed


def search(server, **query):
    answer = server.post("/v1/search", json=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def expected(vector, vectors, k):
    scores = {clip: float(vector @ v) for clip, v in vectors.items()}
    return sorted(scores.items(), key=lambda item: -item[1])[:k]


@pytest.mark.parametrize("text", ["left", "red", "bottom blue", "left left top", "a LEFT, r\u00e9d.", "xyzzy"])
def test_text_search_equals_brute_force(server, vectors, vector_of, text):
    words = text.lower().replace("é", "e").replace(",", " ,").replace(".", " .").split()
    hits = search(server, text=text, k=8, group_by="clip")["items"]
    wanted = expected(vector_of(*words), vectors, 8)
    assert [hit["score"] for hit in hits] == pytest.approx([score for _, score in wanted], abs=1e-5)
    assert {hit["clip_id"] for hit in hits} == {clip for clip, _ in wanted}


def test_address_and_body_give_the_same_answer(server, videos):
    asked = search(server, text="top right", k=3, min_score=-0.5, group_by="clip")
    answer = server.get("/v1/search", params={"q": "top right", "k": 3, "min_score": -0.5, "group_by": "clip"})
    assert answer.status_code == 200
    assert answer.json() == asked and len(asked["items"]) == 3
    assert asked["model"] == "tiny-text"


def test_model_says_what_its_text_search_is_worth(server, start):
    model, = server.get("/v1/models").json()["items"]
    assert model["text"] == {"length": 16, "quality": "7 words"}
    model, = start().get("/v1/models").json()["items"]
    assert model["text"] is None


def assert_same(hits, others):
    """Batches round otherwise: the same hits in the same order, scores within 1e-5."""
    assert [hit | {"score": None} for hit in hits] == [hit | {"score": None} for hit in others]
    assert [hit["score"] for hit in hits] == pytest.approx([hit["score"] for hit in others], abs=1e-5)


# ---- Several queries at once ---------------------------------------------------------------------


def test_queries_of_all_kinds_get_what_each_gets_alone(server, videos, vectors):
    clip_id, vector = next(iter(vectors.items()))
    queries = [{"text": "left"}, {"video_id": clip_id.split(".")[0], "k": 7}, {"clip_id": clip_id, "min_score": 0},
               {"vector": vector.tolist(), "group_by": "clip", "k": 12}, {"text": "blue bottom", "k": 1},
               {"text": "left", "min_score": 0.05}]
    answer = search(server, queries=queries, k=4, group_by="video")
    assert answer["model"] == "tiny-text"
    assert len(answer["results"]) == len(queries)
    for query, result in zip(queries, answer["results"], strict=True):
        alone = search(server, **{"k": 4, "group_by": "video"} | query)["items"]
        assert_same(result["items"], alone)
    assert len(answer["results"][3]["items"]) == 12


def test_64_texts_in_one_request_get_what_each_gets_alone(server, videos):
    texts = [" ".join(WORDS[i % 7 - j] for j in range(1 + i // 16)) for i in range(64)]
    answer = search(server, queries=[{"text": text} for text in texts], k=5)
    for text, result in zip(texts, answer["results"], strict=True):
        alone = search(server, text=text, k=5)["items"]
        assert_same(result["items"], alone)


def test_one_query_in_a_list_is_answered_as_a_list(server, videos):
    answer = search(server, queries=[{"text": "left"}])
    assert set(answer) == {"model", "results"} and len(answer["results"]) == 1


# ---- What is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("body, status, name, word", [
    ({"text": ""}, 400, "bad-request", "no words"),
    ({"text": " \n\t"}, 400, "bad-request", "no words"),
    ({"text": 5}, 400, "bad-parameter", "text must be a string"),
    ({"text": "a" * 100_000}, 400, "bad-request", "100000"),
    ({"text": "left", "video_id": "v"}, 400, "bad-parameter", "exactly one"),
    ({"text": "left", "model": "tiny"}, 422, "wrong-space", "tiny"),
    ({"queries": []}, 400, "bad-parameter", "1 to 64"),
    ({"queries": None}, 400, "bad-parameter", "1 to 64"),
    ({"queries": "left"}, 400, "bad-parameter", "1 to 64"),
    ({"queries": [{"text": "left"}] * 65}, 400, "bad-parameter", "1 to 64"),
    ({"queries": [{"text": "left"}, 5]}, 400, "bad-parameter", "queries[1]"),
    ({"queries": [{"text": "left"}, {}]}, 400, "missing-parameter", "queries[1]"),
    ({"queries": [{"text": "left"}, {"text": "a", "k": 0}]}, 400, "bad-parameter", "queries[1]: k"),
    ({"queries": [{"text": "left", "model": "tiny"}]}, 400, "unknown-parameter", "queries[0]"),
    ({"queries": [{"text": "left"}], "text": "a"}, 400, "unknown-parameter", "text"),
    ({"queries": [{"text": "left"}] * 2 + [{"text": " "}]}, 400, "bad-request", "queries[2]: the text has no words"),
    ({"queries": [{"text": "left"}, {"clip_id": "vx.0"}]}, 404, "not-found", "queries[1]: there is no clip"),
    ({"queries": [{"vector": [1] * 64}, {"vector": [1] * 63}]}, 422, "wrong-space", "queries[1]"),
    ({"queries": [{"text": "left", "k": 1000}] * 11}, 400, "bad-parameter", "11000"),
])
def test_wrong_query_is_refused_with_its_reason(server, body, status, name, word):
    assert_problem(server.post("/v1/search", json=body), status, name, word)


def test_text_of_a_megabyte_is_refused(server):
    assert_problem(server.post("/v1/search", json={"text": "left " * 250_000}), 413, "body-too-large", "1048576")


def test_text_of_a_megabyte_is_refused_where_bodies_may_be_larger(start):
    server = start("--max-json", "4m", model="tiny-text")
    assert_problem(server.post("/v1/search", json={"text": "left " * 250_000}), 400, "bad-request", "1250000")
    assert search(server, text="left")["items"] == []


def test_text_that_is_not_utf8_is_refused(server):
    answer = server.post("/v1/search", data=b'{"text": "\xff"}', headers={"Content-Type": "application/json"})
    assert_problem(answer, 400, "bad-json", "UTF-8")
    assert_problem(server.get("/v1/search?q=%ff"), 400, "bad-uri", "UTF-8")


@pytest.mark.parametrize("query, name, word", [
    ("", "missing-parameter", "q="), ("q=", "bad-request", "no words"), ("q=left&k=0", "bad-parameter", "from 1"),
    ("q=left&group_by=x", "bad-parameter", "clip or video"), ("q=left&limit=1", "unknown-parameter", "limit"),
    ("q=a&q=b", "bad-parameter", "twice"), ("text=left", "unknown-parameter", "text"),
])
def test_wrong_address_is_refused_with_its_reason(server, query, name, word):
    assert_problem(server.get(f"/v1/search?{query}"), 400, name, word)


def test_model_without_text_names_those_that_have_it(start):
    server = start()
    for answer in (server.post("/v1/search", json={"text": "left"}), server.get("/v1/search?q=left"),
                   server.post("/v1/search", json={"queries": [{"vector": [1] * 64}, {"text": "left"}]})):
        assert_problem(answer, 422, "wrong-space", "tiny takes no text", "tiny-text")


def test_one_of_several_models_can_be_asked_by_text(start, clip):
    server = start(model="small,tiny-text")
    video = server.upload(clip(40)).json()
    assert_problem(server.get("/v1/search?q=left"), 422, "wrong-space", "small takes no text", "name model tiny-text")
    answer = server.get("/v1/search?q=left&model=tiny-text").json()
    assert answer["model"] == "tiny-text" and answer["items"][0]["video_id"] == video["id"]
    answer = search(server, queries=[{"text": "left"}, {"video_id": video["id"]}], model="tiny-text")
    assert [len(result["items"]) for result in answer["results"]] == [1, 0]


def test_hits_of_texts_are_plain_hits(server, videos):
    hit = search(server, text="left", k=1)["items"][0]
    assert set(hit) == {"video_id", "clip_id", "start_s", "end_s", "score", "rank", "filename", "has_file",
                        "frames", "metadata"}
    assert json.dumps(hit)
