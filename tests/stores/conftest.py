"""The outside stores of the suite. Each gives url, the key that it wants, and rows(): what it really has."""

import json
import subprocess
import urllib.request
from types import SimpleNamespace
from urllib.parse import urlsplit

import faiss
import make as samples
import mocks
import numpy as np
import pyarrow.parquet as pq
import pytest
import real_servers
from server import BINARY, Server

KEY = "s3cret-Key/of+the=store"


@pytest.fixture(scope="session")
def milvus_port(tmp_path_factory):
    with real_servers.milvus(tmp_path_factory.mktemp("milvus")) as port:
        yield port


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    with real_servers.postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=180) as answer:
        return json.load(answer)


def real_milvus(port, name):
    """Read with a client of the test's own: another endpoint's answer, every field."""
    base = f"http://127.0.0.1:{port}/v1/vector"

    def rows():
        found = post(f"{base}/query", {"collectionName": name, "filter": "id > -1", "outputFields": ["*"],
                                       "limit": 10000})["data"]
        ids = [row["clip_id"] for row in found]
        assert len(ids) == len(set(ids)), "a clip is there twice"
        return {row["clip_id"]: (row["vector"], row) for row in found}

    return SimpleNamespace(url=f"milvus+http://127.0.0.1:{port}/{name}", rows=rows, key=None, mock=None, is_stale=True,
                           add=lambda row: post(f"{base}/insert", {"collectionName": name, "data": [row]}),
                           damage=lambda row: post(f"{base}/delete", {"collectionName": name, "id": row["id"]}))


def real_postgres(server, name):
    port, password, sql = server

    def rows():
        found = [json.loads(line) for line in sql(f'SELECT row_to_json(t) FROM "{name}" t')]
        return {row["id"]: (json.loads(row.pop("embedding")), row) for row in found}

    return SimpleNamespace(url=f"postgresql://vidx@127.0.0.1:{port}/postgres?table={name}&sslmode=disable",
                           rows=rows, key=password, mock=None, is_stale=False,
                           damage=lambda row: sql(f"DELETE FROM \"{name}\" WHERE id = '{row['id']}'"))


def files_store(root, form):
    """A folder of files, read as src/stores/README.md tells: what index.json names, and nothing else."""

    def rows():
        folder, found = root / "clips", {}
        index = json.loads((folder / "index.json").read_text())
        assert (index["files"], index["dim"]) == (form, 64)
        for part in index["parts"]:
            vectors, lines = read_part(folder, part, form)
            assert len(vectors) == len(lines) == part["rows"]
            for vector, line in zip(vectors, lines, strict=True):
                assert line["id"] not in found and line["model"] == index["model"]
                found[line["id"]] = (vector, {"video": line["video_id"], "clip": line["clip_index"], **line})
        assert len(found) == index["rows"]
        return found

    root.mkdir(exist_ok=True)
    return SimpleNamespace(url=f"files://out/clips?format={form}", rows=rows, key=None, mock=None, is_stale=False,
                           root=root, folder=root / "clips")


def read_part(folder, part, form):
    if form == "parquet":
        lines = pq.read_table(folder / part["vectors"]).to_pylist()
        return [line["embedding"] for line in lines], [{**line, "metadata": json.loads(line["metadata"])} for line in lines]
    lines = [json.loads(line) for line in (folder / part["clips"]).read_text().splitlines()]
    assert not any("embedding" in line for line in lines)
    if form == "npy":
        return np.load(folder / part["vectors"]).tolist(), lines
    index = faiss.read_index(str(folder / part["vectors"]))
    assert faiss.vector_to_array(index.id_map).tolist() == [line["faiss_id"] for line in lines]
    return faiss.downcast_index(index.index).reconstruct_n(0, index.ntotal).tolist(), lines


@pytest.fixture(params=["milvus", "pgvector", "qdrant-mock", "pinecone-mock", "milvus-v2-mock"])
def store(request):
    """Milvus and PostgreSQL are real servers. Mocks are named so."""
    name = "t" + "".join(c for c in request.node.name if c.isalnum()).lower()[-40:]
    kind = request.param
    if kind.startswith("files-"):
        yield files_store(request.getfixturevalue("tmp_path") / "files", kind.removeprefix("files-"))
    elif kind == "milvus":
        yield real_milvus(request.getfixturevalue("milvus_port"), name)
    elif kind == "pgvector":
        yield real_postgres(request.getfixturevalue("postgres"), name)
    else:
        with start_mock(kind) as mock:
            yield mock.store
            assert mock.broken == []


def start_mock(kind, port=0, key=KEY):
    mock = {"qdrant-mock": mocks.Qdrant, "pinecone-mock": mocks.Pinecone, "milvus-v2-mock": mocks.MilvusV2}[kind]()
    mock.key, mock.port = key, port
    if kind == "pinecone-mock":
        mock.dim = 64
    mock.start()
    scheme, path = {"qdrant-mock": ("qdrant", "clips"), "pinecone-mock": ("pinecone", "space"),
                    "milvus-v2-mock": ("milvus", "clips")}[kind]
    mock.store = SimpleNamespace(url=f"{scheme}+http://127.0.0.1:{mock.port}/{path}", rows=mock.rows, key=key,
                                 mock=mock, is_stale=False, damage=lambda row: damage(mock, row["id"]))
    return mock


def damage(mock, clip):
    for name in [name for name, (_, row) in mock.points.items() if row.get("id", name) == clip]:
        del mock.points[name]


@pytest.fixture
def start(tmp_path, tiny_model):
    """start(store) gives a running server that may use the store; start(data=…) one on the same data."""
    servers = []

    def start_server(store=None, data=None, flags=(), hosts=None):
        keys = tmp_path / "keys"
        is_files = store and store.url.startswith("files:")
        address = f"127.0.0.1:{urlsplit(store.url).port}" if store and not is_files else "127.0.0.1"
        if hosts is None:
            hosts = f"http://{address}"
        if store and store.key:
            keys.write_text(f"# of the tests\n{address} {store.key}\n")
        elif not keys.exists():
            keys.write_text("")
        server = Server(data or tmp_path / "data", tiny_model,
                        flags=["--store-hosts", hosts, "--store-keys", keys,
                               *(["--store-folder", f"out={store.root}"] if is_files else []), *flags])
        servers.append(server)
        return server.start()

    yield start_server
    for server in (server for server in servers if server.url):
        if server.process.returncode is None:
            assert server.stop() == 0, server.tail()
        assert KEY not in server.log.read_text(errors="replace")


@pytest.fixture(scope="session")
def clip():
    return samples.small


@pytest.fixture
def run_sync(tmp_path):
    """run_sync(server, store) runs vidx sync on its folder and gives what it prints."""

    def run(server, store, *flags):
        folder = ["--store-folder", f"out={store.root}"] if store.url.startswith("files:") else []
        done = subprocess.run([BINARY, "sync", "--data", server.data, "--to", store.url, "--store-keys",
                               tmp_path / "keys", *folder, *flags], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert KEY not in done.stdout + done.stderr
        return done.stdout

    return run
