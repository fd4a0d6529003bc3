"""--search: a server without the collection answers out of the store, as the writer does out of memory."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import KEY, real_milvus, start_mock
from server import wait_until


@pytest.fixture(params=["milvus", "milvus-v2-mock"])
def filled(request, start, clip):
    """(writer, reader, store) with six videos; the reader has no data of its own."""
    if request.param == "milvus":
        store, mock = real_milvus(request.getfixturevalue("milvus_port"), "searched"), None
    else:
        mock = start_mock(request.param)
        store = mock.store
    writer = start(store, flags=["--clip", "fixed:1"])
    for seed in range(6):
        assert writer.upload(clip(seed), metadata=f'{{"n": {seed}}}').status_code == 201
    writer.post("/v1/stores", json={"name": "out", "url": store.url})
    wait_until(lambda: writer.get("/v1/stores/out").json()["state"] == "equal", seconds=120)
    wait_until(lambda: len(store.rows()) == writer.get("/v1/stats").json()["vectors"], seconds=60)
    reader = start(store, data=writer.data.parent / "reader", flags=["--search", store.url])
    yield writer, reader, mock
    if mock:
        mock.stop()
        assert mock.broken == []


def search(server, **body):
    answer = server.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def vectors(server):
    videos = server.get("/v1/videos").json()["items"]
    return {v["id"]: [c["vector"] for c in server.get(f"/v1/videos/{v['id']}/vectors").json()["items"]] for v in videos}


def test_reader_finds_what_the_writer_finds(filled):
    writer, reader, mock = filled
    assert reader.get("/v1/stats").json()["videos"] == 0
    for vector in [v[0] for v in vectors(writer).values()]:
        for options in ({"k": 4}, {"k": 4, "group_by": "clip"}, {"k": 2, "offset": 2}, {"k": 50, "min_score": 0.2}):
            want, have = search(writer, vector=vector, **options), search(reader, vector=vector, **options)
            assert have.pop("searched") == {"store": "milvus", "consistency": "bounded"}
            assert "searched" not in want
            assert [h["clip_id"] for h in have["items"]] == [h["clip_id"] for h in want["items"]]
            for a, b in zip(have["items"], want["items"]):
                assert a.pop("score") == pytest.approx(b.pop("score"), abs=1e-5)
                assert (a.pop("has_file"), b.pop("has_file")) == (False, True)  # the reader has no files
                assert (a.pop("frames"), b.pop("frames")) == (None, "exact")  # nor does the store know these
                assert a == b  # also rank, times, filename and metadata


def test_reader_refuses_what_the_store_does_not_know_and_says_when_it_is_away(filled):
    writer, reader, mock = filled
    vector = next(iter(vectors(writer).values()))[0]
    for odd in ({"filter": {"filename": "x"}}, {"histogram": True}):
        answer = reader.post("/v1/search", json={"vector": vector, **odd})
        assert answer.status_code == 400 and "--search" in answer.json()["detail"], answer.text
    if mock:
        mock.stop()
        answer = reader.post("/v1/search", json={"vector": vector})
        assert answer.status_code == 503 and KEY not in answer.text


@pytest.mark.parametrize("rows", [
    [{"id": "x" * 99, "distance": 1}, {"id": 7}, None, {"id": "v" + "0" * 24 + ".0", "distance": "near"}],
    {"a": 1}, "many",
    [{"id": "v" + "0" * 24 + ".0", "distance": 0.5, "filename": 7, "metadata": [1], "start_s": "x"}] * 5000,
], ids=["odd", "object", "text", "many"])
def test_hostile_hits_are_dropped_or_shown_without_what_is_wrong(start, clip, rows):
    with start_mock("milvus-v2-mock") as mock:
        mock.dim = 64
        reader = start(mock.store, flags=["--search", mock.store.url])
        mock.hook = lambda method, path, body: (
            (200, json.dumps({"code": 0, "data": rows}).encode()) if path.endswith("/search") else None)
        found = search(reader, vector=[1] * 64, k=3)["items"]
        assert len(found) <= 1 and all(h["metadata"] == {} and h["filename"] == "" for h in found)


def test_silent_store_does_not_hold_the_stop(start):
    asked, released = threading.Event(), threading.Event()

    def be_silent(method, path, body):
        if path.endswith("/search"):
            asked.set()
            released.wait(100)

    with start_mock("milvus-v2-mock") as mock:
        mock.dim = 64
        reader = start(mock.store, flags=["--search", mock.store.url])
        mock.hook = be_silent
        try:
            with ThreadPoolExecutor() as pool:
                answer = pool.submit(reader.post, "/v1/search", json={"vector": [1] * 64})
                assert asked.wait(60)
                reader.stop()  # fails unless the server ends while the store is still silent
                assert answer.exception() or answer.result().status_code == 503
        finally:
            released.set()


def test_address_that_cannot_answer_ends_the_start(start, tmp_path):
    with pytest.raises(AssertionError, match="Milvus alone"):
        start(flags=["--search", "qdrant+http://127.0.0.1/clips"])
