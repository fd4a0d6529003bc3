"""Makes and fills a collection, for bench_search_http.py and bench_import.py: milvus_fill.py NAME LEVEL VECTORS DIM"""
import sys
import time

import numpy as np
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections

name, level, path, dim = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
connections.connect(host="127.0.0.1", port="19530")
schema = CollectionSchema([FieldSchema("id", DataType.INT64, is_primary=True),
                           FieldSchema("vector", DataType.FLOAT_VECTOR, dim=dim)])
collection = Collection(name, schema, consistency_level=level, num_shards=1)
vectors = np.memmap(path, np.float32, "r").reshape(-1, dim)
start = time.monotonic()
for first in range(0, len(vectors), 5000):
    part = vectors[first:first + 5000]
    collection.insert([list(range(first, first + len(part))), part.tolist()])
collection.flush()
print(time.monotonic() - start)  # seconds until they are durable, for bench_import.py
collection.create_index("vector", {"index_type": "FLAT", "metric_type": "IP", "params": {}})
collection.load()
assert len(collection.search([vectors[0].tolist()], "vector", {"metric_type": "IP"}, limit=10)[0]) == 10
