"""POST /v1/import: the files of `vidx import`, into a running server, as a job. What is wrong in them is told with the
row, and nothing of them is stored; what was accepted survives kill -9."""

import io
import json
import os
import sqlite3

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import assert_problem, wait_until
from server import Server

DIM = 64


def unit(n, seed=7):
    made = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def npy(vectors):
    out = io.BytesIO()
    np.save(out, vectors)
    return out.getvalue()


def faiss_file(vectors):
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return faiss.serialize_index(index).tobytes()


def lines(objects):
    return "".join(json.dumps(line) + "\n" for line in objects).encode()


def parquet(vectors):
    out = io.BytesIO()
    pq.write_table(pa.table({"id": [f"c{i}" for i in range(len(vectors))], "embedding": list(vectors)}), out)
    return out.getvalue()


FORMS = {"npy": npy, "faiss": faiss_file, "parquet": parquet,
         "jsonl": lambda vectors: lines({"embedding": row.tolist()} for row in vectors)}


def send(server, content, rows=None, name="v", **fields):
    files = {"file": (name, content)} | ({"rows": ("rows.jsonl", rows)} if rows else {})
    return server.http.post(f"{server.url}/v1/import", files=files, data={"model": "tiny", "wait": "true", **fields})


def total(server):
    return server.get("/v1/videos", params={"limit": 1, "count": "true"}).json()["total"]


def incoming(server):
    return list((server.data / "incoming").iterdir())


@pytest.mark.parametrize("form", FORMS)
def test_vectors_are_searched_at_once_to_the_bit(server, form):
    vectors = unit(30, seed=len(form))
    before = total(server)
    answer = send(server, FORMS[form](vectors), name=f"{form}.bin")
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert job["kind"] == "import" and job["state"] == "done" and job["filename"] == f"{form}.bin" and job["model"] == "tiny"
    assert job["report"] == {"rows": 30, "stored": 30, "existing": 0, "unlike": 0, "vectors": 30, "refused": 0}
    assert total(server) == before + 30 and not incoming(server)
    hit = server.post("/v1/search", json={"vector": vectors[11].tolist(), "k": 1}).json()["items"][0]
    assert hit["score"] > 0.9999 and hit["has_file"] is False
    stored = server.get(f"/v1/videos/{hit['video_id']}/vectors").json()["items"][0]["vector"]
    assert np.array(stored, np.float32).tobytes() == vectors[11].tobytes()
    again = send(server, FORMS[form](vectors), name=f"{form}.bin").json()["report"]
    assert again["stored"] == 0 and again["existing"] == 30 and total(server) == before + 30
    assert server.get("/v1/stats").json()["videos_outdated"] == 0, "there is no file that could be read again"


def test_form_with_rows_says_what_vectors_are_of(server):
    vectors = unit(8, seed=20)
    rows = lines({"video_id": f"film{i // 4}", "filename": f"film{i // 4}.mp4", "start_s": i % 4, "end_s": i % 4 + 1,
                  "metadata": {"n": i}} for i in range(8))
    assert send(server, npy(vectors), rows, source="films").json()["report"]["stored"] == 2
    found = server.get("/v1/videos", params={"filename": "film1.mp4"}).json()["items"][0]
    assert len(found["clips"]) == 4 and found["metadata"] == {"n": 4} and found["duplicate"]["verdict"] == "new"
    page = server.get("/v1/videos", params={"filter": '{"metadata.n": 4}'}).json()["items"]
    assert [video["id"] for video in page] == [found["id"]]


def test_body_that_is_the_file_is_accepted_as_a_job(server):
    answer = server.http.post(f"{server.url}/v1/import", params={"model": "tiny", "source": "raw"}, data=npy(unit(5, seed=21)),
                              headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 202 and answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    job = server.wait_for_job(answer.json()["id"])
    assert job["state"] == "done" and job["report"]["stored"] == 5 and job["filename"] == "raw"


def test_vectors_of_other_lengths_are_mended_where_that_is_asked_for(server):
    assert_problem(send(server, npy(unit(3, seed=22) * 3), name="long"), 422, "import-refused", "row 1", "length 3")
    assert send(server, npy(unit(3, seed=22) * 3), name="long", normalize="true").json()["report"]["stored"] == 3


@pytest.mark.parametrize("make, words", [
    (lambda: npy(unit(4)[:, :-1]), ["v has vectors of 63 numbers", "the model has 64"]),
    (lambda: npy(unit(4))[:-1], ["asks for"]),
    (lambda: faiss_file(unit(4))[:-8], ["asks for"]),
    (lambda: parquet(unit(4))[:-2], ["copied completely"]),
    (lambda: npy(unit(4).astype(np.float64)), ["float32"]),
])
def test_file_whose_header_is_wrong_is_refused_before_it_is_a_job(server, make, words):
    before, jobs = total(server), len(server.get("/v1/jobs?limit=500").json()["items"])
    problem = assert_problem(send(server, make(), wait="false"), 422, "import-refused", *words)
    assert str(server.data) not in problem["detail"] and "job_id" not in problem
    assert total(server) == before and not incoming(server)
    assert len(server.get("/v1/jobs?limit=500").json()["items"]) == jobs


def with_row(form, row, vector):
    """Good vectors, but for one row."""
    if form in ("npy", "faiss"):
        vectors = unit(8)
        vectors[row - 1] = vector
        return FORMS[form](vectors)
    rows = [v.tolist() for v in unit(8)]
    rows[row - 1] = vector
    if form == "jsonl":
        return lines({"embedding": v} for v in rows)
    out = io.BytesIO()
    pq.write_table(pa.table({"embedding": pa.array(rows, pa.list_(pa.float32()))}), out)
    return out.getvalue()


def bomb():
    """300 MB of text in a file of some KB."""
    out = io.BytesIO()
    pq.write_table(pa.table({"embedding": list(unit(100)), "filename": ["x" * (3 << 20)] * 100}), out, compression="zstd",
                   use_dictionary=False, write_statistics=False, write_batch_size=1)
    return out.getvalue()


HOSTILE = {
    **{f"not finite, {form}": (lambda form=form: with_row(form, 5, [float("nan")] * DIM), ["row 5"]) for form in FORMS},
    **{f"of length 0, {form}": (lambda form=form: with_row(form, 3, [0.0] * DIM), ["row 3", "length 0"]) for form in FORMS},
    **{f"one number less, {form}": (lambda form=form: with_row(form, 4, unit(1)[0, :-1].tolist()), ["row 4"])
       for form in ("jsonl", "parquet")},
    **{f"other dimension, {form}": (lambda form=form: FORMS[form](unit(4)[:, :-1].copy()), ["63"]) for form in ("npy", "faiss")},
    **{f"cut, {form}": (lambda form=form: FORMS[form](unit(8))[:-40], []) for form in FORMS},
    "more rows than there are, npy": (lambda: npy(unit(8)).replace(b"(8, 64)", b"(9, 64)"), ["asks for"]),
    "more rows than there are, faiss": (lambda: faiss_file(unit(8)).replace((8).to_bytes(8, "little"), (1 << 60).to_bytes(8, "little")), ["header says"]),
    "more rows than there are, parquet": (lambda: parquet(unit(40)).replace(b"\x16\x50", b"\x16\x52"), []),
    "zip bomb": (bomb, ["64 times its size"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_of_every_kind_is_refused_and_nothing_is_stored(server, name):
    make, words = HOSTILE[name]
    before = total(server)
    assert_problem(send(server, make()), 422, "import-refused", *words)
    assert total(server) == before and not incoming(server)


def test_file_with_wrong_rows_is_refused_whole_and_the_first_thousand_are_told(server):
    vectors, before = unit(3000, seed=23), total(server)
    vectors[500:] = np.nan
    problem = assert_problem(send(server, npy(vectors)), 422, "import-refused", "row 501", "not finite")
    report = problem["report"]
    assert report["refused"] == 2500 and report["rows"] == 3000 and report["stored"] == 0
    assert [refusal["row"] for refusal in report["refusals"]] == list(range(501, 1501))
    assert "not finite" in report["refusals"][0]["reason"]
    job = server.get(f"/v1/jobs/{problem['job_id']}").json()
    assert job["state"] == "failed" and job["report"] == report and job["problem"]["type"] == "/problems/import-refused"
    listed = next(item for item in server.get("/v1/jobs").json()["items"] if item["id"] == job["id"])
    assert listed["report"]["refused"] == 2500 and "refusals" not in listed["report"]
    assert total(server) == before and not incoming(server)


@pytest.mark.parametrize("fields, status, name, word", [
    ({"model": "none"}, 422, "wrong-space", "none"),
    ({"model": ""}, 422, "wrong-space", ""),
    ({"normalize": "maybe"}, 400, "bad-parameter", "normalize"),
    ({"source": "a\nb"}, 400, "bad-parameter", "source"),
    ({"other": "1"}, 400, "unknown-parameter", "other"),
])
def test_request_with_something_wrong_is_refused(server, fields, status, name, word):
    assert_problem(send(server, npy(unit(2)), **fields), status, name, word)
    assert not incoming(server)


def test_model_and_a_name_for_ids_are_needed(server):
    def raw(**params):
        return server.http.post(f"{server.url}/v1/import", params=params, data=npy(unit(2)), headers={"Content-Type": "application/x"})

    assert_problem(raw(source="x"), 400, "missing-parameter", "model")
    assert_problem(raw(model="tiny"), 400, "missing-parameter", "filename or source")
    assert_problem(send(server, b""), 422, "file-empty")
    assert_problem(server.http.post(f"{server.url}/v1/import", files={"rows": ("r", b"{}")}, data={"model": "tiny"}), 400, "file-missing")


def test_other_uploads_have_no_second_file(server, clip):
    with clip(1).open("rb") as file:
        answer = server.http.post(f"{server.url}/v1/videos", files={"file": file, "rows": ("r", b"{}")})
    assert_problem(answer, 400, "unknown-parameter", "rows")


def test_metrics_count_what_was_imported(server):
    def count(name):
        line = next(line for line in server.get("/v1/metrics").text.splitlines() if line.startswith(f"vidx_{name}"))
        return float(line.split()[-1])

    before = {name: count(name) for name in ("import_rows_total", "import_vectors_total", 'imports_finished_total{outcome="ok"}')}
    send(server, npy(unit(6, seed=24)), name="counted")
    after = {name: count(name) for name in before}
    assert {name: after[name] - before[name] for name in before} == \
           {"import_rows_total": 6, "import_vectors_total": 6, 'imports_finished_total{outcome="ok"}': 1}


def test_cancelled_import_leaves_whole_videos_and_can_be_sent_again(server):
    vectors, before = unit(30000, seed=25), total(server)
    job = send(server, npy(vectors), name="large", wait="false").json()["id"]
    wait_until(lambda: total(server) > before)
    assert server.http.delete(f"{server.url}/v1/jobs/{job}").status_code == 200
    wait_until(lambda: not incoming(server))
    part = total(server) - before
    assert server.get(f"/v1/jobs/{job}").json()["state"] == "cancelled" and 0 < part < 30000
    report = send(server, npy(vectors), name="large").json()["report"]
    assert report["stored"] == 30000 - part and report["existing"] == part


def test_import_goes_on_after_kill(tmp_path, tiny_model):
    """Killed twice. Its report counts what the killed processes had stored, and no file is left. With VIDX_MANY_VECTORS=1000000
    in the environment it is a million."""
    n = int(os.environ.get("VIDX_MANY_VECTORS", 40000))
    vectors = unit(n, seed=26)
    server = Server(tmp_path / "data", tiny_model).start()
    job = send(server, npy(vectors), wait="false").json()["id"]
    for part in (n // 5, n // 2):
        wait_until(lambda: total(server) > part, seconds=1800)
        server.kill()
        with sqlite3.connect(tmp_path / "data" / "catalog.db") as catalog:
            print("killed with", catalog.execute("SELECT count(*) FROM videos").fetchone()[0], "stored")
        server.start()
    try:
        done = server.wait_for_job(job, seconds=1800)
        assert done["state"] == "done" and done["report"]["stored"] == n and done["report"]["existing"] == 0, done
        assert done["report"]["vectors"] == n and total(server) == n and not incoming(server)
        exported = server.get("/v1/export", params={"format": "npy"}).content
        assert np.load(io.BytesIO(exported)).tobytes() == vectors.tobytes()
    finally:
        server.stop()
