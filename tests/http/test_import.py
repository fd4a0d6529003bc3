"""The import: vectors from files of FAISS, NumPy, Parquet and JSON lines, to the bit; what is wrong in them; and a process
that is killed meanwhile."""

import json
import shutil
import signal
import sqlite3
import struct
import subprocess
import uuid

import faiss
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import assert_problem, wait_until
from server import BINARY, Server


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_model):
    """A data folder on which a server has run with the model: (folder, dim)."""
    server = Server(tmp_path_factory.mktemp("import") / "data", tiny_model)
    with server:
        dim = server.get("/v1/models").json()["items"][0]["dim"]
    return server.data, dim


@pytest.fixture
def data(folder, tmp_path):
    shutil.copytree(folder[0], tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def vectors(folder):
    made = np.random.default_rng(7).standard_normal((40, folder[1])).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def vidx(data, *arguments, model="tiny"):
    return subprocess.run([BINARY, "import", "--data", data, "--model", model, *map(str, arguments)],
                          capture_output=True, text=True, timeout=120, check=False)


def stored(data):
    with sqlite3.connect(data / "catalog.db") as catalog:
        return catalog.execute("SELECT count(*) FROM videos").fetchone()[0]


def write_faiss(path, vectors, ids=None):
    index = faiss.IndexFlatIP(vectors.shape[1])
    if ids is not None:
        index = faiss.IndexIDMap(index)
        index.add_with_ids(vectors, np.array(ids, np.int64))
    else:
        index.add(vectors)
    faiss.write_index(index, str(path))
    return path


def write_npy(path, vectors):
    np.save(path, vectors)
    return path


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def parquet_table(vectors, **columns):
    return pa.table({"id": [f"clip{i}" for i in range(len(vectors))],
                     "embedding": pa.array(list(vectors), pa.list_(pa.float32())), **columns})


def write_parquet(path, table, **kw):
    pq.write_table(table, path, **kw)
    return path


def exported(data):
    done = subprocess.run([BINARY, "export", "--data", data], capture_output=True, timeout=180, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def to_bytes(lines):
    return np.array([line["embedding"] for line in lines], np.float32).tobytes()


FORMS = {
    "faiss": lambda tmp, v: [write_faiss(tmp / "v.faiss", v)],
    "idmap": lambda tmp, v: [write_faiss(tmp / "v.faiss", v, range(1000, 1000 + len(v)))],
    "npy": lambda tmp, v: [write_npy(tmp / "v.npy", v)],
    "jsonl": lambda tmp, v: [write_lines(tmp / "v.jsonl", [{"embedding": row.tolist()} for row in v])],
    "parquet": lambda tmp, v: [write_parquet(tmp / "v.parquet", parquet_table(v))],
}


@pytest.mark.parametrize("form", FORMS)
def test_vectors_are_stored_to_the_bit_and_searched(data, vectors, tiny_model, tmp_path, form):
    done = vidx(data, "--input", *FORMS[form](tmp_path, vectors))
    assert done.returncode == 0, done.stderr
    assert "40 videos are new, 0 were stored already; 40 vectors" in done.stdout
    assert to_bytes(exported(data)) == vectors.tobytes()
    with Server(data, tiny_model) as server:
        for row in (0, 17, 39):
            hit = server.http.post(f"{server.url}/v1/search", json={"vector": vectors[row].tolist(), "k": 1}).json()["items"][0]
            assert hit["score"] > 0.9999 and hit["has_file"] is False
            video = server.get(f"/v1/videos/{hit['video_id']}").json()
            assert video["has_file"] is False and video["bytes"] == 0 and video["media"]["codec"] is None
            assert video["filename"].endswith(f"#{row + 1}") and video["duplicate"]["verdict"] == "new"
            for path in ("content", "thumbnail", "clips/0/content"):
                assert_problem(server.get(f"/v1/videos/{video['id']}/{path}"), 404, "not-found", "imported")
        assert server.get("/v1/health/ready").json() == {"status": "ready"}
        assert server.get("/v1/videos", params={"filter": '{"has_file": false}', "count": "true"}).json()["total"] == 40
        assert server.http.delete(f"{server.url}/v1/videos/{video['id']}").status_code == 204
    assert stored(data) == 39
    checked = subprocess.run([BINARY, "check", "--data", data], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("form", FORMS)
def test_the_same_file_again_stores_nothing(data, vectors, tmp_path, form):
    files = FORMS[form](tmp_path, vectors)
    assert vidx(data, "--input", *files).returncode == 0
    before = exported(data)
    done = vidx(data, "--input", *files)
    assert done.returncode == 0 and "0 videos are new, 40 were stored already; 0 vectors" in done.stdout
    assert exported(data) == before
    other = vidx(data, "--input", *files, "--source", "another")
    assert "40 videos are new" in other.stdout


@pytest.mark.parametrize("shift, expected", [(0.0004, 4), (0.5, 0)])
def test_stored_video_gets_vectors_only_of_the_clips_that_it_has(data, vectors, tmp_path, shift, expected):
    def rows(by):
        return write_lines(tmp_path / "r.jsonl", [{"sha256": "0a" * 32, "start_s": i, "end_s": i + 1 + by} for i in range(4)])

    file = write_npy(tmp_path / "v.npy", vectors[:4])
    assert vidx(data, "--input", file, "--rows", rows(0)).returncode == 0
    with sqlite3.connect(data / "catalog.db") as catalog:
        catalog.execute("DELETE FROM vectors")
    done = vidx(data, "--input", file, "--rows", rows(shift))
    assert done.returncode == 0 and f"1 were stored already; {expected} vectors" in done.stdout, done.stderr
    assert ("1 stored videos got no vectors" in done.stdout) == (expected == 0)


def test_lines_say_what_vectors_are_of(data, vectors, tmp_path):
    lines = [{"video_id": f"film{i // 4}", "filename": f"film{i // 4}.mp4", "start_s": i % 4, "end_s": i % 4 + 0.5,
              "duration_s": 4, "metadata": {"n": i // 4}} for i in range(40)]
    done = vidx(data, "--input", write_npy(tmp_path / "v.npy", vectors), "--rows", write_lines(tmp_path / "r.jsonl", lines))
    assert done.returncode == 0 and "10 videos are new" in done.stdout, done.stderr
    for i, (line, asked) in enumerate(zip(exported(data), lines, strict=True)):
        assert line["clip_index"] == i % 4
        assert {key: line[key] for key in ("filename", "start_s", "end_s", "duration_s", "metadata")} == \
               {key: asked[key] for key in ("filename", "start_s", "end_s", "duration_s", "metadata")}


@pytest.mark.parametrize("form", ["jsonl", "npy", "faiss", "parquet"])
def test_export_of_one_folder_is_the_same_in_another(folder, data, tiny_model, tmp_path, clip, form):
    with Server(tmp_path / "first", tiny_model) as server:
        ids = [server.upload(clip(seed, seconds=4), clip="fixed:2", metadata='{"a": [1, "é"]}').json()["id"]
               for seed in (400, 401)]
        files = {}
        for name in ("jsonl", "npy", "faiss", "parquet"):
            files[name] = tmp_path / f"export.{name}"
            files[name].write_bytes(server.get("/v1/export", params={"format": name}).content)
    rows = [] if form in ("jsonl", "parquet") else ["--rows", files["jsonl"]]
    done = vidx(data, "--input", files[form], *rows)
    assert done.returncode == 0, done.stderr
    first, second = exported(tmp_path / "first"), exported(data)
    assert to_bytes(first) == to_bytes(second)
    for a, b in zip(first, second, strict=True):
        kept = ("id", "video_id", "sha256", "clip_index", "start_s", "end_s", "filename", "duration_s", "metadata", "model")
        assert {key: a[key] for key in kept} == {key: b[key] for key in kept}
    with Server(data, tiny_model) as server: # the file comes later
        video = server.upload(clip(400, seconds=4)).json()
        assert video["id"] == ids[0] and video["has_file"] is True and video["bytes"] > 0
        assert server.get(f"/v1/videos/{ids[0]}/content").content == clip(400, seconds=4).read_bytes()
        assert server.http.post(f"{server.url}/v1/reread").status_code == 202
        wait_until(lambda: server.get(f"/v1/videos/{ids[0]}").json()["media"]["codec"] == "h264")
        assert server.get(f"/v1/videos/{ids[1]}").json()["has_file"] is False


def changed(vectors, row, column, value):
    made = vectors.copy()
    made[row, column] = value
    return made


def broken(tmp, vectors, at, data):
    """A FAISS file with other bytes at a place."""
    path = write_faiss(tmp / "v.faiss", vectors)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)
    return [path]


def cut(path, n):
    path.write_bytes(path.read_bytes()[:-n])
    return [path]


def l2(tmp, vectors):
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(tmp / "v.faiss"))
    return [tmp / "v.faiss"]


REFUSED = [
    (lambda t, v: [write_npy(t / "v.npy", changed(v, 4, 2, np.nan))], "row 5: number 2", "finite"),
    (lambda t, v: [write_faiss(t / "v.faiss", changed(v, 39, 0, np.inf))], "row 40:", "finite"),
    (lambda t, v: [write_npy(t / "v.npy", v * 2)], "row 1:", "length 2"),
    (lambda t, v: [write_npy(t / "v.npy", np.zeros_like(v))], "row 1:", "length 0"),
    (lambda t, v: [write_npy(t / "v.npy", v[:, :-1])], "", "the model has"),
    (lambda t, v: [write_npy(t / "v.npy", v.astype(np.float64))], "", "float32"),
    (lambda t, v: [write_npy(t / "v.npy", np.asfortranarray(v))], "", "C order"),
    (lambda t, v: cut(write_npy(t / "v.npy", v), 1), "", "asks for"),
    (lambda t, v: cut(write_faiss(t / "v.faiss", v, range(40)), 8), "", "asks for"),
    (lambda t, v: broken(t, v, 8, struct.pack("<q", 1 << 60)), "", "header says"),
    (lambda t, v: broken(t, v, 8, struct.pack("<q", -1)), "", "header says"),
    (lambda t, v: broken(t, v, 4, struct.pack("<i", 0)), "", "header says"),
    (l2, "", "IndexFlatIP"),
    (lambda t, v: [write_lines(t / "v.jsonl", [{"embedding": v[0].tolist()}, {"embedding": [1]}])], "row 2:", "embedding"),
    (lambda t, v: [write_lines(t / "v.jsonl", [{"embedding": v[0].tolist(), "start_s": -1}])], "row 1:", "start_s"),
    (lambda t, v: [write_lines(t / "v.jsonl", [{"embedding": v[0].tolist(), "sha256": "x"}])], "row 1:", "sha256"),
    (lambda t, v: [write_lines(t / "v.jsonl", [{"embedding": v[0].tolist(), "metadata": []}])], "row 1:", "metadata"),
    (lambda t, v: [write_lines(t / "v.jsonl", [{"embedding": v[0].tolist(), "metadata": {"x": "y" * (256 << 10)}}])],
     "row 1:", "metadata must be at most 262144 bytes"),
    (lambda t, v: [write_lines(t / "v.jsonl", [{"embedding": v[0].tolist()}, {"x": "y" * (5 << 20)}])],
     "row 2:", "the line has more than 4194304 bytes"),
    (lambda t, v: [write_npy(t / "v.npy", np.repeat(v[:1], 10001, 0)), "--rows",
                   write_lines(t / "r.jsonl", [{"video_id": "a"}] * 10001)], "row 10001:", "more than 10000 rows"),
    (lambda t, v: [write_lines(t / "v.jsonl", [1])], "row 1:", "JSON object"),
    (lambda t, v: [write_lines(t / "v.jsonl", [{"embedding": v[i].tolist(), "video_id": k} for i, k in enumerate("aab" "a")])],
     "row 4:", "row 1"),
    (lambda t, v: [write_npy(t / "v.npy", v), "--rows", write_lines(t / "r.jsonl", [{}] * 39)], "", "fewer lines"),
    (lambda t, v: [write_npy(t / "v.npy", v), "--rows", write_lines(t / "r.jsonl", [{}] * 41)], "", "more lines"),
]


@pytest.mark.parametrize("make, row, why", REFUSED)
def test_file_with_something_wrong_is_refused_whole_with_the_row(data, vectors, tmp_path, make, row, why):
    done = vidx(data, "--input", *make(tmp_path, vectors))
    assert done.returncode == 1 and row in done.stderr and why in done.stderr, done.stderr
    assert stored(data) == 0


def test_curators_parquet_is_read_as_it_is(data, vectors, tmp_path):
    frame = pd.DataFrame({"id": [str(uuid.UUID(int=i)) for i in range(40)], "embedding": [row.tolist() for row in vectors]})
    frame.to_parquet(tmp_path / "chunk.parquet")
    done = vidx(data, "--input", tmp_path / "chunk.parquet")
    assert done.returncode == 0 and "40 videos are new" in done.stdout, done.stderr
    assert to_bytes(exported(data)) == vectors.tobytes()
    frame.iloc[::-1].to_parquet(tmp_path / "other.parquet")  # known by their ids, wherever they stand
    done = vidx(data, "--input", tmp_path / "other.parquet", "--source", "chunk.parquet")
    assert "0 videos are new, 40 were stored already" in done.stdout, done.stderr


def test_pinecones_parquet_is_read(data, vectors, tmp_path):
    rows = pa.table({"id": [f"p{i}" for i in range(40)], "values": pa.array(list(vectors), pa.list_(pa.float32())),
                     "metadata": [json.dumps({"n": i}) for i in range(40)]})
    assert vidx(data, "--input", write_parquet(tmp_path / "v.parquet", rows)).returncode == 0
    lines = exported(data)
    assert to_bytes(lines) == vectors.tobytes() and [line["metadata"]["n"] for line in lines] == list(range(40))


REFUSED_PARQUET = {
    "a null vector": (lambda t, v: parquet_table([*v[:3], None, *v[4:]]), "row 4:", "0 numbers"),
    "not finite": (lambda t, v: parquet_table(changed(v, 6, 3, np.nan)), "row 7: number 3", "finite"),
    "bad metadata": (lambda t, v: parquet_table(v, metadata=["{"] + ["{}"] * 39), "row 1:", "metadata"),
    "ids that are numbers": (lambda t, v: pa.table({"embedding": list(v), "id": list(range(40))}), "", "id is not text"),
}


@pytest.mark.parametrize("case", REFUSED_PARQUET)
def test_parquet_with_something_wrong_is_refused_whole_with_the_row(data, vectors, tmp_path, case):
    make, row, why = REFUSED_PARQUET[case]
    done = vidx(data, "--input", write_parquet(tmp_path / "v.parquet", make(tmp_path, vectors)))
    assert done.returncode == 1 and row in done.stderr and why in done.stderr, done.stderr
    assert stored(data) == 0


def test_parquet_that_is_cut_is_refused(data, vectors, tmp_path):
    done = vidx(data, "--input", *cut(write_parquet(tmp_path / "v.parquet", parquet_table(vectors)), 3))
    assert done.returncode == 1 and "v.parquet: it does not begin and end" in done.stderr, done.stderr


def test_lengths_are_mended_where_that_is_asked_for(data, vectors, tmp_path):
    assert vidx(data, "--input", write_npy(tmp_path / "v.npy", vectors * 3), "--normalize").returncode == 0
    found = np.array([line["embedding"] for line in exported(data)], np.float32)
    assert np.abs(found - vectors).max() < 1e-6


@pytest.mark.parametrize("arguments, word", [(["--input", "x"], "none"), (["--rows", "x"], "--input")])
def test_wrong_usage_is_told(data, arguments, word):
    done = vidx(data, *arguments, model="none")
    assert done.returncode == 2 and word in done.stderr


def test_import_that_was_killed_goes_on(data, folder, tmp_path):
    """Killed as soon as something is stored: whole videos are there, and the same command stores the rest."""
    made = np.random.default_rng(8).standard_normal((30000, folder[1])).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    path = write_npy(tmp_path / "v.npy", made)
    process = subprocess.Popen([BINARY, "import", "--data", data, "--model", "tiny", "--input", path])
    wait_until(lambda: stored(data) > 0 or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    part = stored(data)
    done = vidx(data, "--input", path)
    assert done.returncode == 0, done.stderr
    assert f"{30000 - part} videos are new, {part} were stored already" in done.stdout
    assert to_bytes(exported(data)) == made.tobytes()
