"""Searches of one other engine, for bench_search.py; runs in the virtual environment of the peers.

    search_peers.py ENGINE VECTORS QUERIES DIM

Prints what bench_search.c prints. Every engine searches exactly, by inner product, with its own threads.
Each is asked in the cheapest way that its documentation names; what it returns is read as arrays where it
offers that.
"""
import atexit
import json
import shutil
import sys
import tempfile
import time

import numpy as np

NS, KS = (1, 8, 64, 512), (10, 100)
TOO_LONG_MS = 10e3  # more queries, which the engine answers one by one, are not tried


def median_ms(call, seconds=1.0, at_least=3, at_most=201):
    took, end = [], time.perf_counter() + seconds
    while len(took) < at_least or (len(took) < at_most and time.perf_counter() < end):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
        if took[0] > 2:  # seconds: once says enough
            break
    return 1e3 * float(np.median(took))


def faiss(vectors):
    import faiss
    index = faiss.IndexFlatIP(vectors.shape[1])
    for first in range(0, len(vectors), 20000):
        index.add(np.ascontiguousarray(vectors[first:first + 20000]))
    return faiss.__version__, lambda queries, k: index.search(queries, k)[1]


def usearch(vectors):
    import usearch
    from usearch.index import MetricKind, search
    return usearch.__version__, lambda queries, k: search(
        vectors, queries, k, MetricKind.IP, exact=True).keys.reshape(len(queries), -1)


def lancedb(vectors):
    """A table without an index; it lies on disk, and comes from the page cache after the first search."""
    import lancedb
    import pyarrow as pa
    folder = tempfile.mkdtemp(dir=".")
    atexit.register(shutil.rmtree, folder)
    dim = vectors.shape[1]
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), dim))])

    def batches():
        for first in range(0, len(vectors), 20000):
            part = np.ascontiguousarray(vectors[first:first + 20000])
            yield pa.record_batch([pa.array(np.arange(first, first + len(part))),
                                   pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), dim)], schema)
    table = lancedb.connect(folder).create_table(
        "clips", pa.RecordBatchReader.from_batches(schema, batches()), schema=schema)

    def find(queries, k):
        searches = (table.search(q, vector_column_name="vector").distance_type("dot") for q in queries)
        return np.array([search.select(["id", "_distance"]).limit(k).to_arrow()["id"].to_numpy()
                         for search in searches])
    return lancedb.__version__, find


def qdrant(vectors):
    """The local mode of the client: numpy in this process, without the server. It takes points one by one, and for each
    it copies its flags of all points: 8 TB for a million. So one point is given to it, and then its arrays are
    enlarged to what all of them would leave."""
    from importlib.metadata import version

    from qdrant_client import QdrantClient, models
    client = QdrantClient(":memory:")
    client.create_collection("clips", vectors_config=models.VectorParams(
        size=vectors.shape[1], distance=models.Distance.DOT))
    client.upsert("clips", models.Batch(ids=[0], vectors=vectors[:1].tolist()))
    points, n = client._client.collections["clips"], len(vectors)
    points.vectors[""] = np.array(vectors, points.vectors[""].dtype)
    points.deleted = np.zeros(n, points.deleted.dtype)
    points.deleted_per_vector[""] = np.zeros(n, points.deleted_per_vector[""].dtype)
    points.ids, points.ids_inv = {i: i for i in range(n)}, list(range(n))
    points.payload = [{} for _ in range(n)]
    assert client.count("clips").count == n and client.retrieve("clips", [n - 1])
    return version("qdrant-client"), lambda queries, k: [
        [hit.id for hit in client.query_points("clips", query=q, limit=k, with_payload=False).points] for q in queries]


def chroma(vectors):
    """It has no exact search, but a graph that is walked as far as one asks: here to its last vector."""
    import chromadb
    client = chromadb.EphemeralClient()
    clips = client.create_collection("clips", embedding_function=None, configuration={
        "hnsw": {"space": "ip", "ef_search": len(vectors)}})
    for first in range(0, len(vectors), client.get_max_batch_size()):
        part = np.ascontiguousarray(vectors[first:first + client.get_max_batch_size()])
        clips.add([str(i) for i in range(first, first + len(part))], embeddings=part)
    return chromadb.__version__, lambda queries, k: [
        [int(i) for i in ids] for ids in clips.query(query_embeddings=queries, n_results=k, include=[])["ids"]]


def main():
    engine, path, query_path, dim = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    vectors = np.memmap(path, np.float32, "r").reshape(-1, dim)
    queries = np.fromfile(query_path, np.float32).reshape(-1, dim)
    version, find = globals()[engine](vectors)
    ids = np.array(find(queries[:8], 10)).ravel().tolist()
    print(json.dumps({"what": "ids", "ids": ids, "version": version}))
    for n in NS:
        for k in KS:
            took = median_ms(lambda: find(queries[:n], k))
            print(json.dumps({"what": "search", "n": n, "k": k, "ms": took}), flush=True)
            if took > TOO_LONG_MS:
                return


if __name__ == "__main__":
    main()
