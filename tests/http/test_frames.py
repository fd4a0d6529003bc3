"""frames=keyframes: clips made of the nearest key frames. The oracle is a film in which every picture is the key
frame that is due, made by another decoder and stored without loss: its exact vectors are the ones to expect."""

import base64
import fractions
import json
import sqlite3

import av
import numpy as np
import pytest
from conftest import assert_problem

RATE, GROUP, SECONDS = 8, 30, 9
FILM = {"seconds": SECONDS, "options": {"g": str(GROUP), "keyint_min": str(GROUP), "sc_threshold": "0", "bf": "2"}}
PICTURES = 32  # of a clip: the first has two key frames, the next one each, the last, which is short, none
RULE = "fixed:4,4,1"


def film(clip, seed):
    return clip(seed, **FILM)


def shown_key_frames(path):
    """(pictures, numbers of the key frames)"""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return frames, [i for i, frame in enumerate(frames) if frame.key_frame]


def slides(path, to):
    """The same film, each picture replaced by the nearest key frame of its clip, as the API describes it."""
    frames, keys = shown_key_frames(path)
    assert keys == list(range(0, RATE * SECONDS, GROUP))
    step = fractions.Fraction(1, RATE)
    with av.open(str(to), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for i in range(len(frames)):
            first = i // PICTURES * PICTURES
            own = [key for key in keys if first <= key < first + PICTURES] or keys
            picture = frames[min(own, key=lambda key: (abs(key - i), key))]
            picture.pts, picture.time_base = i, step
            picture.pict_type = 0
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return to


def vectors(server, id, model="tiny"):
    answer = server.get(f"/v1/videos/{id}/vectors", params={"model": model}).json()
    return np.array([item["vector"] for item in answer["items"]]), answer["frames"]


def store(server, path, **params):
    answer = server.upload(path, clip=RULE, **params)
    assert answer.status_code == 201, answer.text
    return answer.json()


def search_by_file(server, path, **form):
    with open(path, "rb") as file:
        answer = server.post("/v1/search", files={"file": file}, data=form)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_vectors_are_those_of_the_nearest_key_frames(server, clip, tmp_path):
    path = film(clip, 1400)
    video = store(server, path, frames="keyframes")
    keys = shown_key_frames(path)[1]
    assert video["frames"] == "keyframes" and video["decode"]["fingerprints"] == "frames"
    assert video["decode"]["frames_decoded"] == len(keys)
    expected = vectors(server, store(server, slides(path, tmp_path / "slides.mp4"))["id"])
    found = vectors(server, video["id"])
    assert (found[1], expected[1]) == ("keyframes", "exact")
    np.testing.assert_allclose((found[0] * expected[0]).sum(1), 1, atol=1e-5)
    other = vectors(server, store(server, film(clip, 1401))["id"])[0]
    assert (found[0] * other).sum(1).max() < 0.9999, "the oracle tells nothing"


def test_exact_is_the_default_and_differs(server, clip):
    answer = store(server, film(clip, 1402))
    assert answer["frames"] == "exact" and answer["decode"]["fingerprints"] == "full"
    assert answer["decode"]["frames_decoded"] > len(shown_key_frames(film(clip, 1402))[1])
    exact, made_of = vectors(server, answer["id"])
    assert server.delete(f"/v1/videos/{answer['id']}").status_code == 204
    keyframes, other = vectors(server, store(server, film(clip, 1402), frames="keyframes")["id"])
    assert (made_of, other) == ("exact", "keyframes")
    assert (exact * keyframes).sum(1).min() < 0.9999


@pytest.mark.parametrize("first, second", [("exact", "keyframes"), ("keyframes", "exact")])
def test_same_bytes_keep_the_frames_of_the_first_upload(start, clip, first, second):
    server = start()
    video = store(server, film(clip, 1403), frames=first)
    before = vectors(server, video["id"])[0]
    again = server.upload(film(clip, 1403), clip=RULE, frames=second)
    assert again.status_code == 200
    assert (again.json()["frames"], again.json()["duplicate"]["verdict"]) == (first, "exact")
    after, made_of = vectors(server, video["id"])
    assert made_of == first
    np.testing.assert_array_equal(before, after)


def test_job_keeps_the_frames_over_a_restart(start, clip):
    server = start()
    job = server.upload(film(clip, 1404), frames="keyframes", clip=RULE, wait="false").json()
    assert server.stop() == 0
    server.start()
    done = server.wait_for_job(job["id"])
    assert done["state"] == "done"
    assert server.get(f"/v1/videos/{done['video_id']}").json()["frames"] == "keyframes"


def test_hits_say_it_and_a_filter_chooses(start, clip):
    server = start()
    fast = store(server, film(clip, 1405), frames="keyframes")["id"]
    exact = store(server, film(clip, 1406))["id"]

    def hits(**filter):
        return {hit["video_id"]: hit["frames"] for hit in
                search_by_file(server, film(clip, 1407), filter=json.dumps(filter))["items"]}

    assert hits() == {fast: "keyframes", exact: "exact"}
    assert hits(frames="keyframes") == {fast: "keyframes"}
    assert hits(frames={"$ne": "keyframes"}) == {exact: "exact"}
    listed = server.get("/v1/videos", params={"filter": '{"frames": "keyframes"}'}).json()["items"]
    assert [video["id"] for video in listed] == [fast]
    assert server.stop() == 0
    server.start()  # the columns are read from the catalog
    assert hits(frames="keyframes") == {fast: "keyframes"}


def test_search_by_file_finds_its_own_frames_exactly(start, clip):
    server = start()
    assert server.upload(film(clip, 1408), clip="whole", frames="keyframes").status_code == 201
    for frames in "keyframes", "exact":
        answer = search_by_file(server, film(clip, 1408), frames=frames)
        assert answer["frames"] == frames
        assert (answer["items"][0]["score"] > 1 - 1e-5) == (frames == "keyframes")


def test_embeddings_of_a_video_say_what_they_are_made_of(server, clip):
    uri = "data:video/mp4;base64," + base64.b64encode(film(clip, 1409).read_bytes()).decode()
    found = {}
    for frames in "exact", "keyframes", None:
        body = {"input": uri, **({"frames": frames} if frames else {})}
        item = server.post("/v1/embeddings", json=body).json()["data"][0]
        assert item["frames"] == (frames or "exact")
        found[frames] = np.array(item["embedding"])
    assert found["exact"] @ found["keyframes"] < 0.9999 < found["exact"] @ found[None]
    wrong = server.post("/v1/embeddings", json={"input": uri, "frames": "some"})
    assert wrong.status_code == 422 and wrong.json()["error"]["param"] == "frames"


def test_unknown_frames_are_refused(server, clip):
    assert_problem(server.upload(film(clip, 1410), frames="some"), 400, "bad-parameter", "frames", "exact", "keyframes")
    assert_problem(server.get("/v1/search", params={"q": "a", "frames": "keyframes"}), 400, "unknown-parameter")


def test_backfill_makes_the_vectors_of_a_further_model_of_the_same_frames(start, clip):
    server = start()
    id = store(server, film(clip, 1411), frames="keyframes")["id"]
    assert server.stop() == 0
    server.model = "tiny,small"
    server.start()
    assert server.wait_for_job(server.post("/v1/models/small/backfill").json()["id"])["state"] == "done"
    found, made_of = vectors(server, id, "small")
    assert made_of == "keyframes"
    assert server.delete(f"/v1/videos/{id}").status_code == 204
    store(server, film(clip, 1411), frames="keyframes")
    np.testing.assert_allclose(found, vectors(server, id, "small")[0], atol=1e-6)
    assert server.delete(f"/v1/videos/{id}").status_code == 204
    store(server, film(clip, 1411))
    assert (found * vectors(server, id, "small")[0]).sum(1).min() < 0.9999


def test_reread_keeps_the_frames_and_wants_no_other_hashes(start, clip):
    server = start()
    id = store(server, film(clip, 1412), frames="keyframes")["id"]
    before = vectors(server, id)[0]
    assert server.get("/v1/stats").json()["videos_outdated"] == 0, "full is not due on key frames"
    assert server.stop() == 0
    with sqlite3.connect(server.data / "catalog.db") as catalog:
        catalog.execute("UPDATE videos SET rules = 0, rotation_deg = 90")
        catalog.execute("UPDATE vectors SET data = zeroblob(length(data) - 4) || x'0000803f', checksum = NULL")
    catalog.close()
    server.start()
    assert server.get("/v1/stats").json()["videos_outdated"] == 1
    job = server.wait_for_job(server.post("/v1/reread").json()["id"])
    assert (job["state"], job["report"]["changed"]) == ("done", 1)
    video = server.get(f"/v1/videos/{id}").json()
    assert (video["frames"], video["decode"]["fingerprints"]) == ("keyframes", "frames")
    np.testing.assert_allclose(vectors(server, id)[0], before, atol=1e-6)
    assert server.get("/v1/stats").json()["videos_outdated"] == 0


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_export_and_import_keep_the_frames(start, clip, tmp_path, format):
    server = start()
    made_of = {store(server, film(clip, 1413), frames="keyframes")["id"]: "keyframes", store(server, film(clip, 1414))["id"]: "exact"}
    path = tmp_path / f"export.{format}"
    path.write_bytes(server.get("/v1/export", params={"format": format}).content)
    copy = start()
    with open(path, "rb") as file:
        report = copy.post("/v1/import", files={"file": file}, data={"model": "tiny", "wait": "true"})
    assert report.status_code == 200, report.text
    assert {video["id"]: video["frames"] for video in copy.get("/v1/videos").json()["items"]} == made_of


def imported(server, tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with open(path, "rb") as file:
        return server.post("/v1/import", files={"file": file}, data={"model": "tiny", "wait": "true"})


def test_import_refuses_rows_of_one_video_that_differ(start, clip, tmp_path):
    server = start()
    vector = [1.0] + [0.0] * (server.get("/v1/models").json()["items"][0]["dim"] - 1)
    rows = [{"video_id": "a", "start_s": i, "end_s": i + 1, "frames": frames, "embedding": vector}
            for i, frames in enumerate(("exact", "keyframes"))]
    answer = imported(server, tmp_path, rows)
    assert answer.status_code == 422 and "frames must be the same" in answer.text
    answer = imported(server, tmp_path, [{**rows[0], "frames": "some"}])
    assert answer.status_code == 422 and "frames must be exact or keyframes" in answer.text


def test_import_gives_a_stored_video_no_vectors_of_other_frames(start, clip, tmp_path):
    """The video is there without vectors of the model, as after a change of models."""
    server = start()
    video = store(server, film(clip, 1415))
    rows = [json.loads(line) for line in server.get("/v1/export", params={"format": "jsonl"}).text.splitlines()]
    assert server.stop() == 0
    with sqlite3.connect(server.data / "catalog.db") as catalog:
        catalog.execute("DELETE FROM vectors")
    catalog.close()
    server.start()
    for frames, vectors_stored in (("keyframes", 0), ("exact", len(video["clips"]))):
        answer = imported(server, tmp_path, [{**row, "frames": frames} for row in rows])
        assert answer.status_code == 200, answer.text
        assert answer.json()["report"]["vectors"] == vectors_stored, answer.text


def test_stream_without_known_key_frames_is_exact_and_says_so(start, clip):
    """Nobody proves where decoding of this codec can start, so all is decoded from the first picture on."""
    video = store(start(), clip(1416, codec="flv", suffix=".flv", seconds=SECONDS), frames="keyframes")
    assert (video["media"]["codec"], video["frames"], video["decode"]["fingerprints"]) == ("flv1", "exact", "full")
