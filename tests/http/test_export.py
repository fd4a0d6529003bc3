"""The export: the stored vectors to the bit in every format, of one moment, over HTTP and from the data folder."""

import io
import json
import socket
import subprocess
import threading
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import assert_problem
from server import BINARY

FORMATS = ["faiss", "npy", "jsonl", "parquet", "pinecone"]


@pytest.fixture(scope="module")
def videos(server, clip):
    return [server.upload(clip(seed, seconds=4), clip="fixed:2", filename=f"tour/é {i}.mp4",
                          metadata=json.dumps({"n": i, "exact": 0.1234567890123456})).json()
            for i, seed in enumerate(range(300, 304))]


@pytest.fixture(scope="module")
def stored(server, videos):
    """(video id, clip index) → vector, as /vectors gives it, in the order of the export."""
    everything = server.get("/v1/videos", params={"limit": 500}).json()["items"][::-1]
    found = {}
    for video in everything:
        for i, item in enumerate(server.get(f"/v1/videos/{video['id']}/vectors").json()["items"]):
            found[video["id"], i] = np.array(item["vector"], np.float32)
    return found


def read_faiss(data):
    index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT
    inner = faiss.downcast_index(faiss.downcast_index(index).index)
    ids = faiss.vector_to_array(faiss.downcast_index(index).id_map)
    return ids, inner.reconstruct_n(0, inner.ntotal) if inner.ntotal else np.zeros((0, inner.d), np.float32)


def vectors_of(form, data):
    if form == "faiss":
        return read_faiss(data)[1]
    if form == "npy":
        return np.load(io.BytesIO(data))
    if form == "jsonl":
        return np.array([json.loads(line)["embedding"] for line in data.splitlines()], np.float32)
    column = "values" if form == "pinecone" else "embedding"
    return np.array(pq.read_table(io.BytesIO(data))[column].to_pylist(), np.float32)


def export(server, **params):
    answer = server.get("/v1/export", params=params)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_the_stored_vectors_to_the_bit(server, stored, form):
    answer = export(server, format=form)
    found = vectors_of(form, answer.content)
    assert found.dtype == np.float32 and int(answer.headers["X-Rows"]) == len(stored)
    assert found.tobytes() == np.stack(list(stored.values())).tobytes()


def test_rows_tell_what_their_vectors_are_of(server, videos, stored):
    lines = [json.loads(line) for line in export(server).text.splitlines()]
    assert [(line["video_id"], line["clip_index"]) for line in lines] == list(stored)
    table = pq.read_table(io.BytesIO(export(server, format="parquet").content)).to_pylist()
    ids, _ = read_faiss(export(server, format="faiss").content)
    assert [line["faiss_id"] for line in lines] == ids.tolist()
    for line, row in zip(lines, table, strict=True):
        assert {**line, "embedding": None, "metadata": None} == {**row, "embedding": None, "metadata": None}
        assert json.loads(row["metadata"]) == line["metadata"]
    video = videos[2]
    mine = [line for line in lines if line["video_id"] == video["id"]]
    for line, clip in zip(mine, video["clips"], strict=True):
        assert line["id"] == clip["id"] and (line["start_s"], line["end_s"]) == (clip["start_s"], clip["end_s"])
        assert line["filename"] == video["filename"] and line["sha256"] == video["sha256"]
        assert line["metadata"] == {"n": 2, "exact": 0.1234567890123456}
        assert line["created_at"] == video["created_at"] and line["duration_s"] == video["media"]["duration_s"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("wanted, keep", [
    ({"metadata.n": {"$in": [1, 3]}}, lambda v, i: v["metadata"]["n"] in (1, 3)),
    ({"clips.start_s": {"$gte": 2}, "metadata.n": {"$gt": 0}}, lambda v, i: i == 1 and v["metadata"]["n"] > 0),
    ({"filename": "nothing"}, lambda v, i: False),
])
def test_filter_keeps_what_passes(server, videos, stored, form, wanted, keep):
    of = {video["id"]: video for video in videos}
    expected = [vector for (video, i), vector in stored.items() if video in of and keep(of[video], i)]
    answer = export(server, format=form, filter=json.dumps(wanted))
    assert int(answer.headers["X-Rows"]) == len(expected)
    assert vectors_of(form, answer.content).tobytes() == b"".join(v.tobytes() for v in expected)


def test_wrong_requests_are_refused(server):
    assert_problem(server.get("/v1/export", params={"format": "csv"}), 400, "bad-parameter", "parquet")
    assert_problem(server.get("/v1/export", params={"model": "none"}), 422, "wrong-space")
    assert_problem(server.get("/v1/export", params={"filter": '{"a": 1}'}), 422, "bad-filter")


def test_export_is_of_one_moment_while_videos_come_and_go(start, clip):
    server = start()
    kept = [server.upload(clip(seed, seconds=2)).json()["id"] for seed in range(310, 314)]
    stop = threading.Event()

    def change():
        while not stop.is_set():
            server.upload(clip(320, seconds=2))
            server.delete(f"/v1/videos/{server.upload(clip(320, seconds=2)).json()['id']}")
    thread = threading.Thread(target=change)
    thread.start()
    try:
        for form in FORMATS * 5:
            answer = export(server, format=form)
            found = vectors_of(form, answer.content)
            assert len(found) == int(answer.headers["X-Rows"]) and len(found) in (4, 5)
            if form == "jsonl":
                assert [json.loads(line)["video_id"] for line in answer.text.splitlines()][:4] == kept
    finally:
        stop.set()
        thread.join()


def test_client_that_leaves_frees_its_export(start, clip):
    """More of them than may run at once, one after the other."""
    server = start()
    server.upload(clip(310, seconds=2))
    for _ in range(12):
        answer = server.get("/v1/export", stream=True)
        assert answer.status_code in (200, 503)
        answer.close()


def rss_peak(server, reset=False):
    if reset:
        with open(f"/proc/{server.process.pid}/clear_refs", "w") as file:
            file.write("5")
    return server.memory_peak_bytes()


def slow_export(server):
    """A client that has read the head and a little of the body, and then reads no more."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    connection.settimeout(180)
    connection.connect(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
    connection.sendall(b"GET /v1/export?format=jsonl HTTP/1.0\r\nHost: localhost\r\n\r\n")
    seen = b""
    while len(seen) < 32 << 10:
        seen += connection.recv(4096)
    return connection, seen


@pytest.mark.release_too
def test_slow_client_gets_one_moment_and_takes_no_memory_and_no_time_of_the_end(start, clip):
    """Some 50 MB wait for a client that reads nothing while videos come, one goes, and the server is told to stop."""
    n = 40000
    vectors = np.random.default_rng(3).standard_normal((n, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    server, out = start(), io.BytesIO()
    np.save(out, vectors)
    sent = server.http.post(f"{server.url}/v1/import", files={"file": ("v.npy", out.getvalue())}, data={"model": "tiny", "wait": "true"})
    assert sent.json()["report"]["stored"] == n
    gone = server.get("/v1/videos?limit=1").json()["items"][0]["id"]
    before = rss_peak(server, reset=True)
    connection, seen = slow_export(server)
    assert rss_peak(server) - before < 16 << 20
    assert server.upload(clip(331, seconds=2)).status_code == 201
    assert server.delete(f"/v1/videos/{gone}").status_code == 204
    size = len(seen)
    with connection:
        while piece := connection.recv(1 << 20):
            seen = seen[-(1 << 20):] + piece if size > 1 << 20 else seen + piece
            size += len(piece)
    assert size > 20 << 20
    last = json.loads(seen.splitlines()[-1])
    assert last["video_id"] == gone and np.array(last["embedding"], np.float32).tobytes() == vectors[-1].tobytes()
    waiting, _ = slow_export(server)
    with waiting:
        assert server.stop() == 0, server.tail()


def vidx(*arguments):
    return subprocess.run([BINARY, "export", *map(str, arguments)], capture_output=True, timeout=180, check=False)


def test_pinecones_file_has_the_columns_that_its_import_reads(server, videos):
    """Its documentation: id is a string, values a list of float32, metadata a string of JSON; and a value of metadata is
    text, a number, true or false, or a list of texts."""
    table = pq.read_table(io.BytesIO(export(server, format="pinecone").content))
    assert [(field.name, str(field.type).replace("element: ", "")) for field in table.schema] == \
           [("id", "string"), ("values", "list<float>"), ("metadata", "string")]
    rows = {row["id"]: json.loads(row["metadata"]) for row in table.to_pylist()}
    for video in videos:
        for number, clip in enumerate(video["clips"]):
            found = rows[clip["id"]]
            assert all(isinstance(value, (str, int, float, bool)) for value in found.values())
            assert len(found.pop("digest")) == 16
            assert found == {"video": video["id"], "clip": number, "start_s": clip["start_s"], "end_s": clip["end_s"],
                             "filename": video["filename"], "metadata.n": video["metadata"]["n"],
                             "metadata.exact": 0.1234567890123456}


def test_command_makes_the_folder_of_a_namespace_for_pinecone(server, stored, tmp_path):
    arguments = ["--data", server.data, "--format", "pinecone", "--output", tmp_path / "out"]
    assert vidx(*arguments, "--namespace", "films").returncode == 0
    assert [path.relative_to(tmp_path) for path in sorted((tmp_path / "out").rglob("*"))] == \
           [Path("out/films"), Path("out/films/0.parquet")]
    assert (tmp_path / "out/films/0.parquet").read_bytes() == export(server, format="pinecone").content
    assert vidx(*arguments).returncode == 0 and (tmp_path / "out/__default__/0.parquet").exists()
    again = vidx(*arguments)
    assert again.returncode == 1 and "exists" in again.stderr.decode()
    assert vidx(*arguments, "--namespace", "../up").returncode == 2 and not (tmp_path / "up").exists()


@pytest.mark.parametrize("form", FORMATS)
def test_command_writes_what_the_server_sends_beside_it(server, stored, form, tmp_path):
    path = tmp_path / "out"
    done = vidx("--data", server.data, "--format", form, "--output", path)
    assert done.returncode == 0, done.stderr
    if form == "pinecone":
        path = path.rename(tmp_path / "folder") / "__default__" / "0.parquet"
    assert path.read_bytes() == export(server, format=form).content and len(list(tmp_path.iterdir())) == 1
    wanted = ["--filter", '{"metadata.n": 1}']
    to_stdout = vidx("--data", server.data, "--format", form, *wanted)
    assert to_stdout.stdout == export(server, format=form, filter=wanted[1]).content


@pytest.mark.parametrize("arguments, word", [
    (["--format", "csv"], "--format"), (["--filter", "{"], "JSON"), (["--filter", '{"a": 1}'], "metadata.NAME"),
    (["--model", "none"], "none"),
])
def test_command_refuses_what_is_wrong(server, stored, arguments, word):
    done = vidx("--data", server.data, *arguments)
    assert done.returncode == 2 and word in done.stderr.decode() and not done.stdout
