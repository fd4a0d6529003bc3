"""An outside store has what the collection has, whatever happens on the way.

The oracle reads the store back by itself, and vidx by GET /v1/videos and …/vectors; neither asks vidx what
it believes it sent. The parameter names the store: milvus and pgvector are real servers, mocks are named so.
"""

import base64
import io
import json
import struct
import time

import pyarrow.parquet as pq
import pytest
from conftest import start_mock
from server import wait_until

STEPS = 12

# Beside those of the fixture: stores that have files in place of points.
FILES = ["files-parquet", "files-npy", "files-faiss"]
every_store = pytest.mark.parametrize("store", ["milvus", "pgvector", "qdrant-mock", "pinecone-mock", "milvus-v2-mock",
                                                *FILES], indirect=True)


def add(server, store, name="out"):
    answer = server.post("/v1/stores", json={"name": name, "url": store.url})
    assert answer.status_code == 201, answer.text
    return answer.json()


def is_equal(server, name="out"):
    found = server.get(f"/v1/stores/{name}").json()
    assert found["state"] != "blocked", found
    return found if found["state"] == "equal" and not found["check"]["due"] else None


def wait_equal(server, name="out"):
    return wait_until(lambda: is_equal(server, name), lambda_text(server, name), seconds=120)


def lambda_text(server, name):
    return f"{server.get(f'/v1/stores/{name}').text}\n{server.tail()}"


def collection(server):
    """{clip id: (vector, video)} as vidx says it."""
    found, cursor = {}, None
    while True:
        page = server.get("/v1/videos", params={"limit": 100, **({"cursor": cursor} if cursor else {})}).json()
        for video in page["items"]:
            vectors = server.get(f"/v1/videos/{video['id']}/vectors").json()
            found.update({item["clip_id"]: (item["vector"], video) for item in vectors["items"]})
        cursor = page["next"]
        if not cursor:
            return found


def as_floats(vector):
    return struct.pack(f"{len(vector)}f", *vector)


def assert_same(server, store):
    """Milvus answers queries with bounded staleness: it gets a minute to show what it has acknowledged."""
    deadline = time.monotonic() + (60 if store.is_stale else 0)
    while True:
        try:
            return compare(server, store)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def compare(server, store):
    want, have = collection(server), store.rows()
    assert sorted(have) == sorted(want)
    for clip, (vector, video) in want.items():
        stored, row = have[clip]
        assert as_floats(stored) == as_floats(vector), clip
        number = int(clip.rsplit(".", 1)[1])
        assert (row["video"], int(row["clip"])) == (video["id"], number)
        assert row["filename"] == video["filename"]
        assert (row["start_s"], row["end_s"]) == pytest.approx(
            (video["clips"][number]["start_s"], video["clips"][number]["end_s"]))
        if "metadata" in row:
            assert row["metadata"] == video["metadata"]
        else:  # Pinecone's is flat
            flat = {k.removeprefix("metadata."): v for k, v in row.items() if k.startswith("metadata.")}
            assert flat == {k: v for k, v in video["metadata"].items() if not isinstance(v, (dict, type(None)))}


def upload(server, clip, seed, **metadata):
    answer = server.upload(clip(seed), metadata=json.dumps(metadata))
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["id"]


@every_store
def test_store_gets_what_was_there_and_every_change_after(store, start, clip):
    server = start(store)
    first = [upload(server, clip, seed, camera=f"cäm-{seed}", n=seed, tags=["a", 'b"\\']) for seed in range(4)]
    add(server, store)
    wait_equal(server)
    assert_same(server, store)

    upload(server, clip, 10)
    assert server.patch(f"/v1/videos/{first[0]}", json={"metadata": {"camera": "other"}}).status_code == 200
    assert server.delete(f"/v1/videos/{first[1]}").status_code in (200, 204)
    wait_equal(server)
    assert_same(server, store)
    assert len(store.rows()) == 4


@every_store
def test_films_with_many_clips_and_their_deletion_reach_the_store(store, start, clip):
    server = start(store, flags=["--clip", "fixed:0.5"])
    kept, gone = (upload(server, clip, seed) for seed in (1, 2))
    add(server, store)
    wait_equal(server)
    assert_same(server, store)
    assert len(store.rows()) > 10
    server.delete(f"/v1/videos/{gone}")
    wait_equal(server)
    assert_same(server, store)
    assert {row["video"] for _, row in store.rows().values()} == {kept}


@every_store
def test_server_killed_at_any_step_ends_with_an_equal_store(store, start, clip):
    """kill -9 after each of a dozen changes, whatever the store's thread is doing then."""
    server = start(store)
    add(server, store)
    ids = []
    for step in range(STEPS):
        ids.append(upload(server, clip, step, step=step))
        if step % 3 == 2:
            server.delete(f"/v1/videos/{ids.pop(0)}")
        server.kill()
        server.start()
    wait_equal(server)
    assert_same(server, store)
    assert len(store.rows()) == len(ids)


def test_check_mends_what_was_lost_or_added_outside(store, start, clip):
    server = start(store)
    for seed in range(5):
        upload(server, clip, seed)
    add(server, store)
    wait_equal(server)
    assert_same(server, store)
    lost = next(iter(store.rows().values()))[1]
    store.damage(lost)
    wait_until(lambda: len(store.rows()) == 4)
    assert server.post("/v1/stores/out/check").status_code == 202
    found = wait_equal(server)
    assert_same(server, store)
    assert found["check"]["missing"] == 1 and found["check"]["stray"] == 0


def test_store_that_is_forgotten_and_added_again_loses_what_was_deleted_meanwhile(store, start, clip):
    server = start(store)
    ids = [upload(server, clip, seed) for seed in range(3)]
    add(server, store)
    wait_equal(server)
    assert server.delete("/v1/stores/out").status_code == 204
    assert server.get("/v1/stores/out").status_code == 404
    server.delete(f"/v1/videos/{ids[0]}")
    add(server, store, "again")
    found = wait_equal(server, "again")
    assert_same(server, store)
    assert found["check"]["stray"] == 1


def test_sync_without_a_server_sends_only_what_changed(store, start, clip, run_sync):
    server = start(store)
    first = upload(server, clip, 1)
    upload(server, clip, 2)
    server.stop()
    assert "sent 2 clips" in run_sync(server, store)
    assert "sent 0 clips, deleted 0" in run_sync(server, store)
    server.start()
    assert_same(server, store)
    server.delete(f"/v1/videos/{first}")
    server.stop()
    assert "deleted 1" in run_sync(server, store)
    server.start()
    assert_same(server, store)


def test_a_store_that_is_away_is_caught_up_with(start, clip):
    mock = start_mock("qdrant-mock")
    server = start(mock.store)
    upload(server, clip, 1)
    add(server, mock.store)
    wait_equal(server)
    mock.stop()
    upload(server, clip, 2)
    away = wait_until(lambda: (s := server.get("/v1/stores/out").json())["state"] == "waiting" and s)
    assert away["waiting_videos"] == 1 and away["lag_s"] > 0
    assert "127.0.0.1" in away["last_error"] and away["next_try_at"]
    assert 'vidx_store_equal{store="out"} 0' in server.get("/v1/metrics").text
    assert server.upload(clip(3)).status_code == 201  # the collection does not wait for it
    with start_mock("qdrant-mock", port=mock.port) as back:
        back.points, back.dim = mock.points, mock.dim
        wait_equal(server)
        assert_same(server, back.store)
    assert server.get("/v1/stores/out").json()["lag_s"] == 0


def test_video_deleted_and_sent_again_while_the_store_is_away_is_there(start, clip):
    mock = start_mock("qdrant-mock")
    server = start(mock.store)
    video = upload(server, clip, 1)
    add(server, mock.store)
    wait_equal(server)
    mock.stop()
    assert server.delete(f"/v1/videos/{video}").status_code == 204
    upload(server, clip, 2)
    assert upload(server, clip, 1) == video
    with start_mock("qdrant-mock", port=mock.port) as back:
        back.points, back.dim = mock.points, mock.dim
        wait_equal(server)
        assert_same(server, back.store)
        assert len(back.rows()) == 2


def test_one_clip_that_the_store_refuses_does_not_hold_up_the_others(start, clip):
    with start_mock("qdrant-mock") as mock:
        server = start(mock.store)
        bad = upload(server, clip, 1, poison=True)
        for seed in range(2, 6):
            upload(server, clip, seed)
        mock.hook = lambda method, path, body: (
            (422, b'{"status": {"error": "I do not take poison"}}') if b'"poison"' in body else None)
        add(server, mock.store)
        found = wait_equal(server)
        assert found["refused_clips"] == 1
        assert "poison" in found["last_error"] and bad in found["last_error"]
        assert len(mock.rows()) == 4


def test_vectors_are_those_that_the_api_shows(start, clip):
    """base64 of the API and the store's numbers: the same float32, to the bit."""
    with start_mock("qdrant-mock") as mock:
        server = start(mock.store)
        upload(server, clip, 1)
        add(server, mock.store)
        wait_equal(server)
        (vector, _), = mock.rows().values()
        raw = base64.b64encode(as_floats(vector))
        (shown, _), = collection(server).values()
        assert raw == base64.b64encode(as_floats(shown))


def test_pinecone_that_imported_the_export_is_equal_and_gets_only_what_changed(start, clip, tmp_path):
    with start_mock("pinecone-mock") as mock:
        server = start(mock.store)
        for seed in range(3):
            upload(server, clip, seed, camera=f"cäm-{seed}", nested={"x": 1}, tags=["a", "b"], exact=0.1)
        table = pq.read_table(io.BytesIO(server.get("/v1/export", params={"format": "pinecone"}).content)).to_pylist()
        mock.points = {row["id"]: (row["values"], json.loads(row["metadata"])) for row in table}
        add(server, mock.store)
        found = wait_equal(server)
        assert found["check"]["points"] == 3 and found["check"]["differing"] == found["check"]["missing"] == 0
        assert found["sent_clips"] == 0
        assert_same(server, mock.store)
