"""The Parquet reader: files that pyarrow and our own writer write, however they are encoded, come back to the bit; what
is damaged, contradicts itself or unpacks to too much is refused, in bounded memory."""

import json
import math
import random
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tools


def read(*paths):
    """What each file has: ([rows], error or None); and the most memory in KiB."""
    lines = tools.run("parquet/parquet_read_tool", *paths, timeout=300).stdout.splitlines()
    files = [json.loads(line) for line in lines[:-1]]
    for file in files:
        assert file["code"] == 0 or (file["code"] > 0 and file["error"]), file["error"]
    return [(file["rows"], file["error"]) for file in files], int(lines[-1])


def shown(number):
    return number if math.isfinite(number) else str(number)


N = 500


@pytest.fixture(scope="module")
def rows():
    chance = random.Random(3)
    made = []
    for i in range(N):
        numbers = [float(np.float32(chance.choice([0.0, -1.5, math.inf, math.nan, 1e-42, chance.gauss(0, 1)])))
                   for _ in range(chance.choice([1, 2, 9, 40]))]
        made.append((chance.choice([None, [], numbers, numbers, numbers, made[-1][0] if made else None]),
                     chance.choice([None, "", "aß水🎬\n", f"text {i}", "the same"]), chance.choice([None, float(i), 2.5, 2.5])))
    return made


def expected(rows):
    """An empty list is as good as none."""
    return [[[shown(x) for x in numbers] if numbers else None, text, real] for numbers, text, real in rows]


def table(rows, numbers=pa.list_(pa.float32()), real=None):
    """With columns of other kinds between, which the reader passes over."""
    real = real or pa.float64()
    return pa.table({"nested": pa.array([{"a": [[i], []], "b": {"embedding": 1}} for i in range(len(rows))]),
                     "real": pa.array([row[2] for row in rows], real), "flag": pa.array([i % 3 == 0 for i in range(len(rows))]),
                     "text": [row[1] for row in rows], "map": pa.array([[("k", i)] for i in range(len(rows))], pa.map_(pa.string(), pa.int32())),
                     "embedding": pa.array([row[0] for row in rows], numbers)})


WRITTEN = {
    "snappy": {}, "zstd": {"compression": "zstd"}, "gzip": {"compression": "gzip"}, "none": {"compression": "none"},
    "plain": {"use_dictionary": False},
    "version 2": {"data_page_version": "2.0"},
    "version 2, not compressed": {"data_page_version": "2.0", "compression": "none", "use_dictionary": False},
    "small pages": {"data_page_size": 100, "write_batch_size": 3},
    "small pages of version 2": {"data_page_size": 100, "write_batch_size": 3, "data_page_version": "2.0", "compression": "gzip"},
    "dictionary that ends": {"dictionary_pagesize_limit": 400, "data_page_size": 1000, "write_batch_size": 7},
    "row groups": {"row_group_size": 7},
    "split bytes": {"use_dictionary": False, "use_byte_stream_split": ["embedding.list.element", "real"]},
    "old list names": {"use_compliant_nested_type": False},
    "page index and checksums": {"write_page_index": True, "write_page_checksum": True},
}


def test_files_come_back_to_the_bit_however_pyarrow_writes_them(rows, tmp_path):
    paths, wanted = [], []

    def add(of, *of_table, **options):
        paths.append(tmp_path / f"{len(paths)}.parquet")
        pq.write_table(table(of, *of_table), paths[-1], **options)
        wanted.append(expected(of))

    for options in WRITTEN.values():
        add(rows, **options)
    add(rows, pa.list_(pa.float64()))
    add(rows, pa.large_list(pa.float32()))
    add([(numbers[:1] * 3 if numbers else [1.0] * 3, *rest) for numbers, *rest in rows], pa.list_(pa.float32(), 3))
    add([(numbers, text, real and float(int(real))) for numbers, text, real in rows], pa.list_(pa.float32()), pa.int32())
    add([(numbers, text, real and float(int(real))) for numbers, text, real in rows], pa.list_(pa.float32()), pa.int64())
    add([(numbers or [1.0], text or "", real or 0.5) for numbers, text, real in rows], pa.list_(pa.field("element", pa.float32(), nullable=False)))
    add([])
    read_back, _ = read(*paths)
    for path, (found, error), should in zip(paths, read_back, wanted, strict=True):
        assert error is None, (path, error)
        assert found == should, path


def test_columns_that_are_not_there_are_null(tmp_path):
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "t.parquet")
    pq.write_table(pa.table({"text": ["a", "b"], "real": pa.nulls(2), "embedding": pa.nulls(2, pa.list_(pa.null()))}), tmp_path / "u.parquet")
    for found, error in read(tmp_path / "t.parquet", tmp_path / "u.parquet")[0]:
        assert error is None and found == [[None, "a", None], [None, "b", None]]


def test_what_our_writer_writes_is_read_to_the_bit(rows, tmp_path):
    columns = [("text", "utf8"), ("embedding", "list_float"), ("other", "int64"), ("real", "double")]
    lines = [json.dumps(columns), *(json.dumps([text, numbers and [shown(x) for x in numbers], 1, real]) for numbers, text, real in rows)]
    tools.run("parquet/parquet_tool", tmp_path / "t.parquet", input="\n".join(lines).encode())
    ((found, error),), _ = read(tmp_path / "t.parquet")
    assert error is None and found == expected(rows)


def test_null_inside_a_list_is_not_a_number(tmp_path):
    pq.write_table(pa.table({"embedding": pa.array([[1.0, None, 2.0]], pa.list_(pa.float32()))}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet")[0] == [([[[1.0, "nan", 2.0], None, None]], None)]


# ---- what is refused ----


def nested(depth):
    """A footer of Thrift structs in structs."""
    body = b"\x1c" * depth + b"\x00" * depth
    return b"PAR1" + body + struct.pack("<I", len(body)) + b"PAR1"


def written(path, made, **options):
    pq.write_table(made, path, **{"write_statistics": False, "store_schema": False, **options})
    return path.read_bytes()


def small():
    return pa.table({"embedding": pa.array([[0.5, 0.25]] * 40, pa.list_(pa.float32())), "text": ["a"] * 40})


def text(n, n_bytes):
    return pa.table({"text": pa.array(["x" * n_bytes] * n)})


REFUSED = {
    "cut": (lambda p: written(p, small())[:-3], "copied completely"),
    "nothing": (lambda p: b"", "too short"),
    "only magic": (lambda p: b"PAR1PAR1", "too short"),
    "footer longer than the file": (lambda p: b"PAR1" + b"x" * 20 + struct.pack("<I", 1 << 31) + b"PAR1", "footer"),
    "footer of other bytes": (lambda p: b"PAR1" + b"\x15\xff" * 50 + struct.pack("<I", 100) + b"PAR1", "footer is damaged"),
    "deep thrift": (lambda p: nested(100000), "footer is damaged"),
    "rows that are not there": (lambda p: written(p, small()).replace(b"\x16\x50", b"\x16\x52"), ""),
    "brotli": (lambda p: written(p, small(), compression="brotli"), "Brotli"),
    "lz4": (lambda p: written(p, small(), compression="lz4"), "LZ4"),
    "delta encoding": (lambda p: written(p, small(), use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY"}), "encoding 7"),
    "text of numbers": (lambda p: written(p, pa.table({"text": [1]})), "text is not text"),
    "vector that is no list": (lambda p: written(p, pa.table({"embedding": [1.0]})), "embedding is not a list"),
    "lists in lists": (lambda p: written(p, pa.table({"embedding": [[[1.0]]]})), "embedding is not a list"),
    "long list": (lambda p: written(p, pa.table({"embedding": [[1.0] * 70000]})), "row 1: a list has more than 65536"),
    "long text": (lambda p: written(p, text(1, 5 << 20)), "row 1: a text has 5242880 bytes"),
    "page of 100 MiB": (lambda p: written(p, text(1, 100 << 20), compression="zstd", use_dictionary=False), "the limit is 67108864"),
    "pages of 300 MiB": (lambda p: written(p, text(100, 3 << 20), compression="zstd", use_dictionary=False, write_batch_size=1), "64 times its size"),
}


def test_hostile_files_are_refused_in_bounded_memory(tmp_path):
    paths = []
    for i, (make, _) in enumerate(REFUSED.values()):
        path = tmp_path / f"{i}.parquet"
        path.write_bytes(make(tmp_path / "made.parquet"))
        paths.append(path)
    files, kib = read(*paths)
    for (name, (_, why)), (_, error) in zip(REFUSED.items(), files, strict=True):
        assert error and why in error, (name, error)
    assert kib < 400 << 10


def test_files_with_a_byte_changed_are_read_or_refused(tmp_path):
    """None ends the process, and none takes much memory."""
    chance = random.Random(5)
    sources = [written(tmp_path / "m.parquet", small(), **options) for options in
               ({}, {"compression": "none", "data_page_version": "2.0"}, {"use_dictionary": False, "compression": "zstd"})]
    paths = []
    for i in range(600):
        content = bytearray(chance.choice(sources))
        for _ in range(chance.choice([1, 1, 3])):
            content[chance.randrange(4, len(content) - 4)] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        paths.append(tmp_path / f"{i}.parquet")
        paths[-1].write_bytes(content)
    files, kib = read(*paths)
    assert any(error for _, error in files) and any(not error for _, error in files)
    assert kib < 400 << 10
